"""Orders as events, made from few choices, for property tests."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from processors.shopify.orders import (
    CustomersMerged,
    Order,
    OrderDeleted,
    OrderEvent,
    Refund,
    RefundCreated,
)
from processors.shopify.raw_order import RawOrder
from processors.shopify.version import Version

SHOP = "example.myshopify.com"
DAY0 = 20_000
"""Days since 1970-01-01 of the first day that `orders` draws from (2024-10-04)."""


def order(
    order_id: str,
    *,
    version: int = 1,
    customer: str | None = "1",
    email: str | None = None,
    day: int = DAY0,
    total: int = 1000,
    current: int | None = None,
    status: str = "paid",
    test: bool = False,
    cancelled: bool = False,
    refunds: tuple[Refund, ...] = (),
    shop: str = SHOP,
    landing_site: str | None = None,
    currency: str = "USD",
    checkout_token: str | None = None,
) -> Order:
    """An order as a delivery would give it, with a value for everything a test does not name."""
    moment = datetime(1970, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
    return Order(
        shop=shop,
        order_id=order_id,
        version=Version(version, "", f"{version}"),
        processed_at=moment,
        created_at=moment,
        day=day,
        customer_id=customer,
        email=email,
        currency=currency,
        total=total,
        current_total=total if current is None else current,
        financial_status=status,
        test=test,
        cancelled=cancelled,
        refunds=refunds,
        checkout_token=checkout_token,
        cart_token=None,
        landing_site=landing_site,
        source_name="web",
        raw=RawOrder(),
        body=b"{}",
        received_ms=0,
    )


@st.composite
def orders(draw: st.DrawFn, days: int = 30) -> Order:
    """Any state of one of six orders of three customers and two guests; the version says which
    state is newer."""
    version = draw(st.integers(1, 5))
    refunds = draw(st.sets(st.sampled_from(["r1", "r2"])))
    return order(
        f"{draw(st.integers(1, 6))}",
        version=version,
        customer=draw(st.sampled_from(["1", "2", "3", None])),
        email=draw(st.sampled_from(["a@example.com", "b@example.com", None])),
        day=DAY0 + draw(st.integers(0, days)),
        total=draw(st.sampled_from([0, 999, 1000, 25_000])),
        status=draw(st.sampled_from(["paid", "pending", "voided", "refunded"])),
        test=draw(st.integers(0, 9)) == 0,
        cancelled=draw(st.integers(0, 4)) == 0,
        currency=draw(st.sampled_from(["USD", "USD", "EUR"])),
        refunds=tuple(Refund(name, 300) for name in sorted(refunds)),
    )


def events(days: int = 30) -> st.SearchStrategy[OrderEvent]:
    """Orders, refunds told apart, deletions, and merges that may contradict each other.

    Two states of one version never differ: a digest would tell them apart.
    """
    refund = st.builds(
        lambda number, name: RefundCreated(
            shop=SHOP, order_id=f"{number}", refund=Refund(name, 300), currency="USD"
        ),
        st.integers(1, 6),
        st.sampled_from(["r1", "r2", "r3"]),
    )
    deleted = st.builds(
        lambda number: OrderDeleted(shop=SHOP, order_id=f"{number}"), st.integers(5, 6)
    )
    merged = st.builds(
        lambda kept, deleted: CustomersMerged(shop=SHOP, kept_id=kept, deleted_id=deleted),
        *[st.sampled_from("1234")] * 2,
    )
    return st.one_of(orders(days), orders(days), orders(days), refund, deleted, merged)


def distinct_versions(drawn: list[OrderEvent]) -> list[OrderEvent]:
    """The same events with every order's digest its own, as bodies that differ have: versions never
    tie."""
    return [
        _with_digest(event, f"{position:03}") if isinstance(event, Order) else event
        for position, event in enumerate(drawn)
    ]


def _with_digest(event: Order, digest: str) -> Order:
    import msgspec

    return msgspec.structs.replace(event, version=event.version._replace(digest=digest))
