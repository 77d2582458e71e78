"""One row of facts per order, the basis of every aggregate that counts orders. It holds no personal
data: customers by id, guests by a hash, their address no finer than the province."""

from typing import Final, NamedTuple

import msgspec

from stream.store.contract import Entities
from stream.store.packed import PackedPages

VOID: Final = frozenset({"voided"})


class OrderLine(msgspec.Struct, frozen=True, array_like=True):
    """A line item as it was bought."""

    product_id: str
    variant_id: str
    sku: str
    quantity: int
    current_quantity: int
    """Without what was removed or returned."""
    unit_price: int | None
    """None where the body has no readable price."""


class OrderDetail(msgspec.Struct, frozen=True, array_like=True):
    """What aggregates seldom read, kept as one value. New fields go to the end, with a default."""

    subtotal: int | None = None
    discount: int | None = None
    shipping: int | None = None
    tax: int | None = None
    discount_codes: tuple[str, ...] = ()
    lines: tuple[OrderLine, ...] = ()


class OrderRow(NamedTuple):
    """Columns of `shop_order`. Money is in minor units of `currency`, the shop's.

    Projections count by the facts, from `deleted` on: a change of the version by itself reaches
    none of them.
    """

    shop: str
    order_id: str
    updated_us: int
    """Version of the newest snapshot (`processors/shopify/version.py`); -1 before any came."""
    triggered: str
    digest: str
    deleted: int
    test: int
    cancelled: int
    financial_status: str
    processed_ms: int
    """When the order was made, Unix ms."""
    offset_s: int
    """How far the shop was ahead of UTC then, by its time zone, else by the order's own time."""
    day: int
    """The shop's day of it, days since 1970-01-01, by the same offset."""
    currency: str
    total: int
    """As it was placed."""
    current_total: int
    """After edits and returns."""
    refunds: str
    """JSON object {"id currency": [money, worth returned, 1 where the snapshot lists it]}, keys
    sorted; "" where there are none. Rows of older programs have only the id as key."""
    customer: str
    """`processors.orders.customer.customer_key`; "" where nobody is known."""
    email: str
    """`processors.orders.customer.email_key`; "" where no address is known."""
    checkout_token: str
    cart_token: str
    name: str
    """The name that the merchant knows it by, `#1001`."""
    source_name: str
    """Shopify's sales channel: `web`, `pos`, ..."""
    country: str
    """ISO 3166-1 alpha-2, of the shipping address, else of the billing address."""
    province: str
    """Its province code, likewise."""
    landing: str
    """The landing site reduced to what attribution reads (`processors/shopify/landing.py`)."""
    detail: bytes
    """`Detail` as MessagePack; b"" where there is none."""


SETTLED: Final = PackedPages(
    table="settled_order",
    rows="shop_order",
    row=OrderRow,
    id="order_id",
    subject="customer",
    # What distinguishes deliveries of one second, and what links an order to checkouts: neither is
    # needed any more when an order is packed (`processors/orders/packing.py`).
    dropped={"triggered": "", "digest": "", "checkout_token": "", "cart_token": ""},
    sorted=frozenset(("order_id", "updated_us", "processed_ms")),
    hashes=frozenset(("email",)),
)
ORDERS: Final = Entities(
    "shop_order", OrderRow, 2, SETTLED, steady=("processed_ms", "customer", "name")
)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(OrderDetail)


def encoded(detail: OrderDetail) -> bytes:
    """As `OrderRow.detail` keeps it."""
    return _encoder.encode(detail)


def decoded(detail: bytes) -> OrderDetail:
    """From `encoded`."""
    return _decoder.decode(detail) if detail else OrderDetail()


def blank(shop: str, order_id: str) -> OrderRow:
    """An order of which nothing is known yet."""
    return OrderRow(
        shop=shop,
        order_id=order_id,
        updated_us=-1,
        triggered="",
        digest="",
        deleted=0,
        test=0,
        cancelled=0,
        financial_status="",
        processed_ms=0,
        offset_s=0,
        day=0,
        currency="",
        total=0,
        current_total=0,
        refunds="",
        customer="",
        email="",
        checkout_token="",
        cart_token="",
        name="",
        source_name="",
        country="",
        province="",
        landing="",
        detail=b"",
    )


_FACTS: Final = OrderRow._fields.index("deleted")


def same_facts(old: OrderRow, new: OrderRow) -> bool:
    """Whether only the version differs, as after most deliveries of an order but its first."""
    return old.updated_us >= 0 and old[_FACTS:] == new[_FACTS:]


def is_sale(row: OrderRow) -> bool:
    """Whether an order in this state is a sale: neither test, cancelled nor voided."""
    return not (row.test or row.cancelled or row.financial_status in VOID)


def counts(row: OrderRow | None) -> bool:
    """Whether the order counts. Refunds never take that away; they lower its money only."""
    return row is not None and row.updated_us >= 0 and not row.deleted and is_sale(row)
