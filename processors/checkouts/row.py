"""A checkout's row: what is known of it, and the state that follows (`state`)."""

from typing import Final, NamedTuple

from processors.checkouts.link import NEVER
from stream.store.contract import Entities

CLOSED: Final = -1
"""`open_bucket` of a checkout that is not open."""
RULE: Final = 1
"""Raised with every change of `settled` that gives other states for the same row: rows that were
settled by another version are settled anew after the next start, and their cells follow."""


class CheckoutRow(NamedTuple):
    """Columns of `cart_checkout`. Times in Unix ms, -1 for never; money in minor units of
    `currency`; no contact data in clear.

    Five groups, each replaced as a whole: the newest snapshot; what only grows; the customer's
    copy; the cart's copy; what follows.
    """

    shop: str
    token: str

    updated_us: int
    """Version of the newest snapshot; -1 before any came."""
    triggered: str
    digest: str
    cart_token: str
    customer: str
    """`cart_link.customer_subject`; "" where nobody is known."""
    contact: int
    """1 where an email address or phone number was given."""
    currency: str
    shop_currency: str
    """The shop's own, in which a foreign buyer's checkout has no amount."""
    value: int
    recovery_url: str
    value_bin: int

    created_ms: int
    """Before any snapshot: the first time of what is known instead."""
    runs: str
    completed_ms: int
    deleted: int
    order_ms: int
    order_version: str
    revenue: int
    """What its order is worth, minor units of `revenue_currency`; -1 while no order is known."""
    revenue_currency: str

    first_order_ms: int
    customer_orders: str

    cart_order_ms: int
    cart_orders: str
    cart_deleted_ms: int

    after_minutes: int
    """T, by which this row was settled and is counted."""
    settled_by: int
    """The version of the rule (`RULE`) by which it was settled."""
    state: str
    idled: int
    """The longest it ever lay idle, while open before the last touch: 0 less than 10 minutes, 1
    less than T, 2 at least T."""
    closed_ms: int
    last_ms: int
    """The last touch that counts."""
    open_bucket: int
    """`last_ms` in 10-minute buckets while open, else -1: ageing writes nothing."""
    is_returning: int


CHECKOUTS: Final = Entities(
    "cart_checkout",
    CheckoutRow,
    2,
    steady=(
        "cart_token",
        "customer",
        "value_bin",
        "created_ms",
        "completed_ms",
        "order_ms",
        "open_bucket",
    ),
)


class Following(NamedTuple):
    """What follows from the rest of the row; the columns of the same names."""

    state: str = ""
    idled: int = 0
    closed_ms: int = NEVER
    last_ms: int = NEVER
    open_bucket: int = CLOSED
    is_returning: int = 0


NOTHING_FOLLOWS: Final = Following()


_BLANK: Final = CheckoutRow(
    shop="",
    token="",
    updated_us=-1,
    triggered="",
    digest="",
    cart_token="",
    customer="",
    contact=0,
    currency="",
    shop_currency="",
    value=0,
    recovery_url="",
    value_bin=0,
    created_ms=NEVER,
    runs="",
    completed_ms=NEVER,
    deleted=0,
    order_ms=NEVER,
    order_version="",
    revenue=-1,
    revenue_currency="",
    first_order_ms=NEVER,
    customer_orders="",
    cart_order_ms=NEVER,
    cart_orders="",
    cart_deleted_ms=NEVER,
    after_minutes=0,
    settled_by=RULE,
    state=NOTHING_FOLLOWS.state,
    idled=NOTHING_FOLLOWS.idled,
    closed_ms=NOTHING_FOLLOWS.closed_ms,
    last_ms=NOTHING_FOLLOWS.last_ms,
    open_bucket=NOTHING_FOLLOWS.open_bucket,
    is_returning=NOTHING_FOLLOWS.is_returning,
)._asdict()


def blank(
    shop: str,
    token: str,
    created_ms: int,
    after_minutes: int = 0,
    *,
    order_ms: int = NEVER,
    order_version: str = "",
    revenue: int = -1,
    revenue_currency: str = "",
) -> CheckoutRow:
    """A checkout of which only the token is known, and its order; it is settled by this
    `after_minutes`."""
    known = {
        "shop": shop,
        "token": token,
        "created_ms": created_ms,
        "order_ms": order_ms,
        "order_version": order_version,
        "revenue": revenue,
        "revenue_currency": revenue_currency,
        "after_minutes": after_minutes,
    }
    # Half the time of naming each column, for each order that comes before its checkout.
    return CheckoutRow._make((_BLANK | known).values())
