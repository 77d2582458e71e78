"""The state of a checkout, from everything known of it in any order of arrival.

Each part of a row only grows in one direction or is replaced by something newer, so duplicates,
retries and any order of arrival end in the same row.
"""

from collections.abc import Callable
from operator import itemgetter
from typing import Any, Final, NamedTuple

from processors.checkouts.idle import BUCKET_MS, DAY_MS, MINUTE_MS, before, parsed, pauses, touched
from processors.checkouts.link import (
    NEVER,
    LinkRow,
    cart_subject,
    customer_subject,
    earliest,
    order_time_ms,
)
from processors.orders.row import VOID
from processors.shopify.checkouts import Checkout, CheckoutDeleted
from processors.shopify.orders import Order
from processors.shopify.tolerance import millis
from stream.store.contract import Entities, Key

EXPIRES_MS: Final = 14 * DAY_MS
ASSIST_MS: Final = 7 * DAY_MS
KEPT_MS: Final = 90 * DAY_MS
CLOSED: Final = -1
"""`open_bucket` of a checkout that is not open."""


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


def _group(first: str, last: str) -> Callable[[CheckoutRow], tuple[Any, ...]]:
    return itemgetter(slice(CheckoutRow._fields.index(first), CheckoutRow._fields.index(last) + 1))


VERSION: Final = _group("updated_us", "digest")
SNAPSHOT: Final = _group("updated_us", "value_bin")
ORDERED: Final = _group("deleted", "revenue_currency")
OF_CUSTOMER: Final = _group("first_order_ms", "customer_orders")
OF_CART: Final = _group("cart_order_ms", "cart_deleted_ms")
COPIES: Final = _group("first_order_ms", "cart_deleted_ms")
BEFORE_COPIES: Final = _group("shop", "revenue_currency")
KNOWN: Final = _group("shop", "cart_deleted_ms")
FOLLOWS: Final = _group("after_minutes", "is_returning")
NO_CUSTOMER: Final = (NEVER, "")
NO_CART: Final = (NEVER, "", NEVER)
RULE: Final = 1
"""Raised with every change of `settled` that gives other states for the same row: rows that were
settled by another version are settled anew after the next start, and their cells follow."""
NOTHING_FOLLOWS: Final = ("", 0, NEVER, NEVER, CLOSED, 0)


CHECKOUTS: Final = Entities("cart_checkout", CheckoutRow, 2)


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
    snapshot = (-1, "", "", "", "", 0, "", "", 0, "", 0)
    runs, completed_ms, deleted = "", NEVER, 0
    # fmt: off
    return CheckoutRow._make((
        shop, token, *snapshot,
        created_ms, runs, completed_ms, deleted, order_ms, order_version, revenue, revenue_currency,
        *NO_CUSTOMER, *NO_CART, after_minutes, RULE, *NOTHING_FOLLOWS,
    ))
    # fmt: on


def value_bin(value: int) -> int:
    """Four bins per doubling, by integers only, so that every machine agrees: 0 for nothing, else
    1 + 4 log2 and two bits of the rest."""
    if value <= 0:
        return 0
    octave = value.bit_length() - 1
    return 4 * octave + ((value << 2 >> octave) & 3) + 1


def folded(
    row: CheckoutRow | None,
    key: Key,
    event: Checkout | CheckoutDeleted | Order,
    after_minutes: int = 0,
) -> CheckoutRow:
    """The row after an event about this checkout itself; its state follows in `settled`.

    A new row begins as one settled by `after_minutes`.
    """
    shop, token = str(key[0]), str(key[1])
    if isinstance(event, Checkout):
        return _snapshot(row, event)
    if isinstance(event, CheckoutDeleted):
        deleted_ms = event.version.updated_us // 1000
        row = row or blank(shop, token, deleted_ms, after_minutes)
        return row._replace(
            deleted=1,
            created_ms=row.created_ms if row.updated_us >= 0 else min(row.created_ms, deleted_ms),
        )
    order_ms = order_time_ms(event)
    updated_us, triggered, digest = event.version
    version = f"{updated_us:017d} {triggered} {digest}"
    if row is None:
        return blank(
            shop,
            token,
            order_ms,
            after_minutes,
            order_ms=order_ms,
            order_version=version,
            revenue=_worth(event),
            revenue_currency=event.currency,
        )
    newest = version > row.order_version
    return row._replace(
        created_ms=row.created_ms if row.updated_us >= 0 else min(row.created_ms, order_ms),
        order_ms=earliest(row.order_ms, order_ms),
        order_version=version if newest else row.order_version,
        revenue=_worth(event) if newest else row.revenue,
        revenue_currency=event.currency if newest else row.revenue_currency,
    )


def _worth(order: Order) -> int:
    return 0 if order.cancelled or order.financial_status in VOID else max(0, order.current_total)


def _snapshot(row: CheckoutRow | None, event: Checkout) -> CheckoutRow:
    created_ms, version = millis(event.created_at), event.version
    completed_ms = millis(event.completed_at) if event.completed_at else NEVER
    row = row or blank(event.shop, event.token, created_ms)
    runs = touched(row.runs, created_ms, version.updated_us // 1000)
    if row.updated_us >= 0:
        created_ms = min(row.created_ms, created_ms)
    grown = (created_ms, runs, earliest(row.completed_ms, completed_ms), *ORDERED(row))
    if version <= VERSION(row):
        return CheckoutRow._make(
            (row.shop, row.token, *SNAPSHOT(row), *grown, *COPIES(row), *FOLLOWS(row))
        )
    customer, cart_token, value = (
        customer_subject(event.customer_id, event.email),
        event.cart_token or "",
        max(0, event.total),
    )
    of_customer = OF_CUSTOMER(row) if customer == row.customer else NO_CUSTOMER
    of_cart = OF_CART(row) if cart_token == row.cart_token else NO_CART
    # fmt: off
    return CheckoutRow._make((
        row.shop, row.token,
        *version, cart_token, customer, int(event.has_contact),
        event.currency, event.shop_currency or event.currency,
        value, event.recovery_url or "", value_bin(value),
        *grown, *of_customer, *of_cart, *FOLLOWS(row),
    ))
    # fmt: on


def relinked(row: CheckoutRow, customer: LinkRow | None, cart: LinkRow | None) -> CheckoutRow:
    """The row with fresh copies from its links; None leaves a copy as it is.

    A checkout with its own order, which it never loses, does not copy the orders of others.
    """
    if customer is None and cart is None and not (row.customer_orders or row.cart_orders):
        return row
    of_customer, of_cart = OF_CUSTOMER(row), OF_CART(row)
    first_order_ms, customer_orders = (
        of_customer if customer is None else (customer.first_order_ms, customer.orders)
    )
    cart_order_ms, cart_orders, deleted_ms = (
        of_cart if cart is None else (cart.first_order_ms, cart.orders, cart.deleted_ms)
    )
    if row.completed_ms != NEVER or row.order_ms != NEVER:
        customer_orders = cart_orders = ""
    copied = first_order_ms, customer_orders, cart_order_ms, cart_orders, deleted_ms
    if copied == (*of_customer, *of_cart):
        return row
    return CheckoutRow._make((*BEFORE_COPIES(row), *copied, *FOLLOWS(row)))


def links_of(row: CheckoutRow) -> tuple[Key, Key]:
    """Keys of the customer's and the cart's link; their subject is "" if there is none."""
    return (row.shop, row.customer), (row.shop, cart_subject(row.cart_token))


def settled(row: CheckoutRow, now_ms: int, after_minutes: int) -> CheckoutRow:
    """The row with its state at `now_ms`, a function of the rest of the row, so settling is
    idempotent (docs/facts/analytics.md, "Cart states"; T = `after_minutes`):

    | state | rule |
    |---|---|
    | `open` | nothing below; the reader splits active (idle < T) and abandoned, by the last touch |
    | `completed` | an order (its, customer's, cart's) or `completed_at` before it lay idle for T |
    | `recovered_direct` | its own order, or `completed_at`, came after it had lain idle for T |
    | `recovered_assisted` | customer or cart ordered after the last touch, <= 7 days abandoned |
    | `expired` | idle for 14 days |
    | none ("") | no snapshot yet (only an order or delete is known), or deleted without an order |

    Only `expired` depends on the clock. Test orders complete nothing; a cancelled or voided order
    completes its checkout, but is worth nothing. A customer is returning if an order was made
    before the checkout was begun, as far as the log has seen: checkouts do not say so
    (`orders_count` left their payload in 2025-01).
    """
    follows = _follows(row, now_ms, after_minutes) if row.updated_us >= 0 else NOTHING_FOLLOWS
    if FOLLOWS(row) == (after_minutes, RULE, *follows):
        return row
    return CheckoutRow._make((*KNOWN(row), after_minutes, RULE, *follows))


def _follows(
    row: CheckoutRow, now_ms: int, after_minutes: int
) -> tuple[str, int, int, int, int, int]:
    after_ms = after_minutes * MINUTE_MS
    completed_ms = earliest(earliest(row.completed_ms, row.order_ms), row.cart_order_ms)
    runs = parsed(row.runs) if completed_ms == NEVER else before(row.runs, completed_ms)
    last_ms = runs[-1][1]
    longest_ms = max(length for _, length in pauses(runs)) if len(runs) > 1 else 0
    closed_ms, bucket = NEVER, CLOSED
    if completed_ms != NEVER:
        closed_ms, longest_ms = completed_ms, max(longest_ms, completed_ms - last_ms)
        state = "recovered_direct" if longest_ms >= after_ms else "completed"
    elif row.deleted or row.cart_deleted_ms >= row.created_ms:
        state = ""
    elif (bought_ms := _bought_otherwise(row, last_ms, last_ms + after_ms + ASSIST_MS)) != NEVER:
        closed_ms, longest_ms = bought_ms, max(longest_ms, bought_ms - last_ms)
        state = "recovered_assisted" if longest_ms >= after_ms else "completed"
    elif now_ms - last_ms >= EXPIRES_MS:
        state, closed_ms, longest_ms = "expired", last_ms + EXPIRES_MS, EXPIRES_MS
    else:
        state, bucket = "open", last_ms // BUCKET_MS
    idled = 2 if longest_ms >= after_ms else int(longest_ms >= BUCKET_MS)
    return (
        state,
        idled,
        closed_ms,
        last_ms,
        bucket,
        int(NEVER < row.first_order_ms < row.created_ms),
    )


def _bought_otherwise(row: CheckoutRow, since_ms: int, until_ms: int) -> int:
    """The first order of the customer, or of the cart, in [since, until]; -1 for none."""
    if not row.customer_orders and not row.cart_orders:
        return NEVER
    found = [
        moment
        for orders in (row.customer_orders, row.cart_orders)
        if orders
        for moment in map(int, orders.split(" "))
    ]
    return min((moment for moment in found if since_ms <= moment <= until_ms), default=NEVER)
