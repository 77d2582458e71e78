"""What is known of a checkout, whatever arrived and in whichever order, and the state that follows from it.

Known: the newest snapshot (`Version`); the first `created_at`; every touch (`cart_idle`); the first `completed_at`; whether it was deleted;
its order's first time and newest worth; and copies of what its customer and its cart are linked to (`cart_link`). Each part only grows in
one direction or is replaced by something newer, so duplicates, retries and any order of arrival end in the same row.

States (analytics 4.2), with T = `abandoned_after_minutes`:

| state | rule |
|---|---|
| `open` | nothing below; the reader tells active (idle < T) from abandoned, by the last touch |
| `completed` | its order (or `completed_at`, or an order of its customer or cart) came before it had ever lain idle for T |
| `recovered_direct` | its own order, or `completed_at`, came after it had lain idle for T |
| `recovered_assisted` | the customer, or another checkout of the cart, ordered after the last touch and within 7 days of abandonment |
| `expired` | idle for 14 days |
| none ("") | no snapshot yet (only an order or a delete is known), or deleted without having been ordered |

Only `expired` depends on the clock. Test orders complete nothing; a cancelled or voided order completed its checkout, but is worth nothing.
An order is told of again at each change; its time is the first seen, its worth (`current_total`) the newest.
A customer is returning when an order was made before the checkout was begun. Checkouts do not say so themselves (`orders_count` left
their payload in 2025-01), so it is what the log has seen: without back-filled orders everybody starts as new.
"""

from typing import Any, Final, NamedTuple

from processors.cart_idle import BUCKET_MS, DAY_MS, MINUTE_MS, before, parsed, pauses, touched
from processors.cart_link import NEVER, LinkRow, cart_subject, customer_subject, earliest, order_time_ms
from processors.events import Checkout, CheckoutDeleted, Order
from processors.order_state import VOID
from processors.tolerance import micros
from stream.store import Entities, Key

EXPIRES_MS: Final = 14 * DAY_MS
ASSIST_MS: Final = 7 * DAY_MS
CLOSED: Final = -1
"""`open_bucket` of a checkout that is not open."""


class CheckoutRow(NamedTuple):
    """Columns of `cart_checkout`. Times in Unix ms, -1 for never; money in minor units of `currency`; no contact data in clear."""

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
    value: int
    recovery_url: str
    created_ms: int
    """Before any snapshot: the first time of what is known instead."""
    runs: str
    completed_ms: int
    deleted: int
    order_ms: int
    order_version: str
    revenue: int
    """What its order is worth; -1 while no order is known."""
    first_order_ms: int
    """The customer's."""
    customer_orders: str
    cart_order_ms: int
    cart_orders: str
    cart_deleted_ms: int
    after_minutes: int
    """T, by which this row was settled and is counted."""
    state: str
    idled: int
    """The longest it ever lay idle, while open before the last touch: 0 less than 10 minutes, 1 less than T, 2 at least T."""
    closed_ms: int
    last_ms: int
    """The last touch that counts."""
    open_bucket: int
    """`last_ms` in 10-minute buckets while open, else -1: ageing writes nothing."""
    value_bin: int
    is_returning: int


CHECKOUTS: Final = Entities("cart_checkout", CheckoutRow, 2)


def blank(shop: str, token: str, created_ms: int) -> CheckoutRow:
    """A checkout of which only the token is known."""
    # fmt: off
    return CheckoutRow(
        shop, token, -1, "", "", "", "", 0, "", 0, "", created_ms, "", NEVER, 0, NEVER, "", -1,
        NEVER, "", NEVER, "", NEVER, 0, "", 0, NEVER, NEVER, CLOSED, 0, 0,
    )
    # fmt: on


def value_bin(value: int) -> int:
    """Four bins per doubling, by integers alone, so that every machine agrees: 0 for nothing, else 1 + 4 log2 and two bits of the rest."""
    if value <= 0:
        return 0
    octave = value.bit_length() - 1
    return 4 * octave + ((value << 2 >> octave) & 3) + 1


def folded(row: CheckoutRow | None, key: Key, event: Checkout | CheckoutDeleted | Order) -> CheckoutRow:
    """The row with what an event about this checkout itself tells; `settled` draws the consequences."""
    shop, token = str(key[0]), str(key[1])
    if isinstance(event, Checkout):
        return _snapshot(row, event)
    if isinstance(event, CheckoutDeleted):
        deleted_ms = event.version.updated_us // 1000
        row = row or blank(shop, token, deleted_ms)
        return row._replace(deleted=1, created_ms=row.created_ms if row.updated_us >= 0 else min(row.created_ms, deleted_ms))
    order_ms = order_time_ms(event)
    row = row or blank(shop, token, order_ms)
    version = f"{event.version.updated_us:017d} {event.version.triggered} {event.version.digest}"
    newest = version > row.order_version
    return row._replace(
        created_ms=row.created_ms if row.updated_us >= 0 else min(row.created_ms, order_ms),
        order_ms=earliest(row.order_ms, order_ms),
        order_version=version if newest else row.order_version,
        revenue=_worth(event) if newest else row.revenue,
    )


def _worth(order: Order) -> int:
    return 0 if order.cancelled or order.financial_status in VOID else max(0, order.current_total)


def _snapshot(row: CheckoutRow | None, event: Checkout) -> CheckoutRow:
    created_ms, updated_ms = micros(event.created_at) // 1000, event.version.updated_us // 1000
    row = row or blank(event.shop, event.token, created_ms)
    known = row.updated_us >= 0
    grown: dict[str, Any] = {
        "created_ms": min(row.created_ms, created_ms) if known else created_ms,
        "runs": touched(row.runs, (created_ms, updated_ms)),
        "completed_ms": earliest(row.completed_ms, micros(event.completed_at) // 1000 if event.completed_at else NEVER),
    }
    if event.version <= (row.updated_us, row.triggered, row.digest):
        return row._replace(**grown)
    customer, cart_token = customer_subject(event.customer_id, event.email), event.cart_token or ""
    if customer != row.customer:
        grown |= {"customer": customer, "first_order_ms": NEVER, "customer_orders": ""}
    if cart_token != row.cart_token:
        grown |= {"cart_token": cart_token, "cart_order_ms": NEVER, "cart_orders": "", "cart_deleted_ms": NEVER}
    return row._replace(
        **grown,
        updated_us=event.version.updated_us,
        triggered=event.version.triggered,
        digest=event.version.digest,
        contact=int(event.has_contact),
        currency=event.currency,
        value=max(0, event.total),
        recovery_url=event.recovery_url or "",
        value_bin=value_bin(event.total),
    )


def relinked(row: CheckoutRow, customer: LinkRow | None, cart: LinkRow | None) -> CheckoutRow:
    """The row with fresh copies from its links; None leaves a copy as it is."""
    copied = row.cart_order_ms, row.cart_orders, row.cart_deleted_ms
    if customer is not None and (customer.first_order_ms, customer.orders) != (row.first_order_ms, row.customer_orders):
        row = row._replace(first_order_ms=customer.first_order_ms, customer_orders=customer.orders)
    if cart is not None and (cart.first_order_ms, cart.orders, cart.deleted_ms) != copied:
        row = row._replace(cart_order_ms=cart.first_order_ms, cart_orders=cart.orders, cart_deleted_ms=cart.deleted_ms)
    return row


def links_of(row: CheckoutRow) -> tuple[Key, Key]:
    """Keys of the customer's and the cart's link; their subject is "" where there is none."""
    return (row.shop, row.customer), (row.shop, cart_subject(row.cart_token))


def settled(row: CheckoutRow, now_ms: int, after_minutes: int) -> CheckoutRow:
    """The row with its state at `now_ms`: a function of everything else in it, so settling twice is settling once."""
    if row.updated_us < 0:
        return row._replace(
            after_minutes=after_minutes, state="", idled=0, closed_ms=NEVER, last_ms=NEVER, open_bucket=CLOSED, is_returning=0
        )
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
    return row._replace(
        after_minutes=after_minutes,
        state=state,
        idled=2 if longest_ms >= after_ms else int(longest_ms >= BUCKET_MS),
        closed_ms=closed_ms,
        last_ms=last_ms,
        open_bucket=bucket,
        is_returning=int(NEVER < row.first_order_ms < row.created_ms),
    )


def _bought_otherwise(row: CheckoutRow, since_ms: int, until_ms: int) -> int:
    """The first order of the customer, or of the cart, in [since, until]; -1 for none."""
    if not row.customer_orders and not row.cart_orders:
        return NEVER
    found = [moment for orders in (row.customer_orders, row.cart_orders) if orders for moment in map(int, orders.split(" "))]
    return min((moment for moment in found if since_ms <= moment <= until_ms), default=NEVER)
