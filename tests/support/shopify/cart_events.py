"""Checkouts, carts and orders for tests: written in minutes since `EPOCH`, and drawn at random
around a few tokens and customers."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from aggregates.carts import cells as cart_cells
from aggregates.carts.cells import BEGUN, begun, cells
from processors.checkouts.link import LINKS, LinkRow
from processors.checkouts.row import CHECKOUTS, CheckoutRow
from processors.shopify.checkouts import Cart, Checkout, CheckoutDeleted
from processors.shopify.orders import Order
from processors.shopify.raw_order import RawOrder
from processors.shopify.version import Version
from stream.store.contract import Cells, Key, Store
from tests.support.shops.folding import carts_checkouts, carts_orders

EPOCH = datetime(2026, 8, 1, tzinfo=UTC)
SHOP = "example.myshopify.com"
DAY = 24 * 60
CartEvent = Checkout | CheckoutDeleted | Cart | Order
TABLES: tuple[Cells, ...] = (*cart_cells.TABLES, BEGUN)


def moment(minute: float) -> datetime:
    """`minute` minutes after EPOCH."""
    return EPOCH + timedelta(minutes=minute)


def ms(minute: float) -> int:
    """`moment` in Unix milliseconds."""
    return round(moment(minute).timestamp() * 1000)


def _version(minute: float, *content: object) -> Version:
    return Version(
        ms(minute) * 1000,
        "",
        hashlib.blake2b(repr((minute, content)).encode(), digest_size=8).hexdigest(),
    )


def checkout(
    token: str,
    minute: float,
    *,
    created: float | None = None,
    completed: float | None = None,
    customer: str | None = None,
    email: str | None = None,
    cart: str | None = None,
    total: int = 5_000,
    currency: str = "USD",
    shop: str = SHOP,
) -> Checkout:
    """A checkout as it was at `minute`."""
    began = minute if created is None else created
    return Checkout(
        shop=shop,
        token=token,
        cart_token=cart,
        version=_version(minute, token, began, completed, customer, email, cart, total, currency),
        created_at=moment(began),
        updated_at=moment(minute),
        completed_at=None if completed is None else moment(completed),
        customer_id=customer,
        email=email,
        has_contact=bool(customer or email),
        currency=currency,
        total=total,
        recovery_url=f"https://{shop}/checkouts/ac/{token}/recover?key=k",
    )


def deleted(
    minute: float, *, token: str | None = None, cart: str | None = None, shop: str = SHOP
) -> CheckoutDeleted:
    """A checkouts/delete."""
    return CheckoutDeleted(
        shop=shop, token=token, cart_token=cart, version=_version(minute, token, cart)
    )


def cart_record(token: str, minute: float, *, items: int = 1, shop: str = SHOP) -> Cart:
    """A carts/create."""
    return Cart(
        shop=shop,
        token=token,
        version=_version(minute, token),
        created_at=moment(minute),
        updated_at=moment(minute),
        items=items,
    )


def order(
    order_id: str,
    minute: float,
    *,
    token: str | None = None,
    cart: str | None = None,
    customer: str | None = None,
    email: str | None = None,
    total: int = 5_000,
    answer: float | None = None,
    cancelled: bool = False,
    currency: str = "USD",
    shop: str = SHOP,
) -> Order:
    """An order made at `minute`, as it was at `told`."""
    return Order(
        shop=shop,
        order_id=order_id,
        version=_version(
            minute if answer is None else answer,
            order_id,
            token,
            cart,
            customer,
            email,
            total,
            cancelled,
            currency,
        ),
        processed_at=moment(minute),
        created_at=moment(minute),
        day=0,
        customer_id=customer,
        email=email,
        currency=currency,
        total=total,
        current_total=total,
        financial_status="paid",
        test=False,
        cancelled=cancelled,
        refunds=(),
        checkout_token=token,
        cart_token=cart,
        landing_site=None,
        source_name="web",
        raw=RawOrder(),
        body=b"{}",
        received_ms=ms(minute),
    )


MINUTES = st.one_of(
    st.integers(0, 40 * DAY),
    st.sampled_from(
        [0, 9, 10, 59, 60, 61, 119, 120, 180, DAY, DAY + 60, 7 * DAY, 14 * DAY, 15 * DAY]
    ),
)
NAMES = st.sampled_from(["a", "b", "c"])
PEOPLE = st.one_of(st.none(), st.sampled_from(["1", "2"]))
CARTS = st.one_of(st.none(), st.sampled_from(["x", "y"]))
EMAILS = st.one_of(st.none(), st.just("Someone@Example.org"))
CURRENCIES = st.sampled_from(["USD", "USD", "JPY"])
TOTALS = st.sampled_from([0, 1, 999, 1_000, 1_200, 20_000, 1_000_000])


@st.composite
def events_drawn(draw: st.DrawFn) -> CartEvent:
    """One event about one of three checkouts, two customers and two carts."""
    kind = draw(st.sampled_from(["checkout"] * 5 + ["order"] * 3 + ["deleted", "cart"]))
    minute = draw(MINUTES)
    if kind == "checkout":
        return checkout(
            draw(NAMES),
            minute,
            created=max(0, minute - draw(st.sampled_from([0, 5, 30, 90]))),
            completed=draw(st.sampled_from([None, None, None, minute, minute - 1])),
            customer=draw(PEOPLE),
            email=draw(EMAILS),
            cart=draw(CARTS),
            total=draw(TOTALS),
            currency=draw(CURRENCIES),
        )
    if kind == "order":
        return order(
            draw(st.sampled_from(["1", "2", "3"])),
            minute,
            token=draw(st.one_of(st.none(), NAMES)),
            cart=draw(CARTS),
            customer=draw(PEOPLE),
            email=draw(EMAILS),
            total=draw(TOTALS),
            cancelled=draw(st.booleans()),
            currency=draw(CURRENCIES),
        )
    if kind == "deleted":
        by_token = draw(st.booleans())
        return deleted(
            minute,
            token=draw(NAMES) if by_token else None,
            cart=None if by_token else draw(st.sampled_from(["x", "y"])),
        )
    return cart_record(
        draw(st.sampled_from(["x", "y", "z"])), minute, items=draw(st.integers(0, 2))
    )


def fold(store: Store, batch: Sequence[CartEvent], now_ms: int, after_minutes: int = 60) -> None:
    """One batch of each topic, each in its own transaction."""
    checkouts = [event for event in batch if not isinstance(event, Order)]
    orders = [event for event in batch if isinstance(event, Order)]
    if checkouts:
        with store.begin() as transaction:
            carts_checkouts(after_minutes).apply(transaction, checkouts, now_ms)
    if orders:
        with store.begin() as transaction:
            carts_orders(after_minutes).apply(transaction, orders, now_ms)


def tick(store: Store, now_ms: int, after_minutes: int = 60) -> None:
    """What a second later does."""
    with store.begin() as transaction:
        carts_checkouts(after_minutes).tick(transaction, now_ms)


def emptied(store: Store) -> None:
    """Forget everything, for the next example of a property."""
    with store.begin() as transaction:
        for table in ("cart_checkout", "cart_link", *(cells.table for cells in TABLES)):
            transaction.execute(f"DELETE FROM {table}")


def checkouts_in(store: Store) -> list[CheckoutRow]:
    """All rows, by key."""
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            f"SELECT {', '.join(CHECKOUTS.row._fields)} FROM cart_checkout ORDER BY shop, token"
        )
    return [CheckoutRow(*row) for row in rows]


def links_in(store: Store) -> list[LinkRow]:
    """All links, by key."""
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            f"SELECT {', '.join(LINKS.row._fields)} FROM cart_link ORDER BY shop, subject"
        )
    return [LinkRow(*row) for row in rows]


def cells_in(store: Store) -> dict[tuple[str, Key], tuple[int, ...]]:
    """What the cells say, zeros left out."""
    counted = {}
    with store.snapshot() as snapshot:
        for table in TABLES:
            for row in snapshot.changes(table, None).rows:
                key, measures = tuple(row[: len(table.key)]), tuple(row[len(table.key) :])
                if any(measures):
                    counted[table.table, key] = measures
    return counted


def recounted(
    rows: Iterable[CheckoutRow], links: Iterable[LinkRow]
) -> dict[tuple[str, Key], tuple[int, ...]]:
    """The right side of the central equation: the sum of every entity's cells."""
    sums: dict[tuple[str, Key], list[int]] = {}
    for projection in (*map(cells, rows), *map(begun, links)):
        for table, key, measures in projection:
            total = sums.setdefault((table.table, key), [0] * len(measures))
            total[:] = [one + other for one, other in zip(total, measures, strict=True)]
    return {key: tuple(total) for key, total in sums.items() if any(total)}


def everything(store: Store) -> tuple[Any, ...]:
    """The whole state: entities and cells."""
    return checkouts_in(store), links_in(store), cells_in(store)


def assert_equation(store: Store) -> None:
    """aggregate == sum(cells(entity) for every entity)."""
    assert cells_in(store) == recounted(checkouts_in(store), links_in(store))
