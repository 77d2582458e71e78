"""The state of a checkout, from everything known of it in any order of arrival.

Each part of a row only grows in one direction or is replaced by something newer, so duplicates,
retries and any order of arrival end in the same row.
"""

from typing import Final

from processors.checkouts.idle import BUCKET_MS, DAY_MS, MINUTE_MS, before, parsed, pauses, touched
from processors.checkouts.link import (
    NEVER,
    LinkRow,
    TimedOrder,
    cart_subject,
    customer_subject,
    earliest,
)
from processors.checkouts.row import CLOSED, NOTHING_FOLLOWS, RULE, CheckoutRow, Following, blank
from processors.orders.row import VOID
from processors.shopify.checkouts import Checkout, CheckoutDeleted
from processors.shopify.orders import Order
from processors.shopify.tolerance import millis
from stream.store.contract import Key

EXPIRES_MS: Final = 14 * DAY_MS
ASSIST_MS: Final = 7 * DAY_MS
KEPT_MS: Final = 90 * DAY_MS


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
    event: Checkout | CheckoutDeleted | TimedOrder,
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
    order, order_ms = event
    updated_us, triggered, digest = order.version
    version = f"{updated_us:017d} {triggered} {digest}"
    if row is None:
        return blank(
            shop,
            token,
            order_ms,
            after_minutes,
            order_ms=order_ms,
            order_version=version,
            revenue=_worth(order),
            revenue_currency=order.currency,
        )
    newest = version > row.order_version
    return row._replace(
        created_ms=row.created_ms if row.updated_us >= 0 else min(row.created_ms, order_ms),
        order_ms=earliest(row.order_ms, order_ms),
        order_version=version if newest else row.order_version,
        revenue=_worth(order) if newest else row.revenue,
        revenue_currency=order.currency if newest else row.revenue_currency,
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
    row = row._replace(
        created_ms=created_ms, runs=runs, completed_ms=earliest(row.completed_ms, completed_ms)
    )
    if version <= (row.updated_us, row.triggered, row.digest):
        return row
    customer = customer_subject(event.customer_id, event.email)
    cart_token = event.cart_token or ""
    if customer != row.customer:
        row = row._replace(first_order_ms=NEVER, customer_orders="")
    if cart_token != row.cart_token:
        row = row._replace(cart_order_ms=NEVER, cart_orders="", cart_deleted_ms=NEVER)
    value = max(0, event.total)
    return row._replace(
        updated_us=version.updated_us,
        triggered=version.triggered,
        digest=version.digest,
        cart_token=cart_token,
        customer=customer,
        contact=int(event.has_contact),
        currency=event.currency,
        shop_currency=event.shop_currency or event.currency,
        value=value,
        recovery_url=event.recovery_url or "",
        value_bin=value_bin(value),
    )


def relinked(row: CheckoutRow, customer: LinkRow | None, cart: LinkRow | None) -> CheckoutRow:
    """The row with fresh copies from its links; None leaves a copy as it is.

    A checkout with its own order, which it never loses, does not copy the orders of others.
    """
    if customer is None and cart is None and not (row.customer_orders or row.cart_orders):
        return row
    new = row
    if customer is not None:
        new = new._replace(first_order_ms=customer.first_order_ms, customer_orders=customer.orders)
    if cart is not None:
        new = new._replace(
            cart_order_ms=cart.first_order_ms,
            cart_orders=cart.orders,
            cart_deleted_ms=cart.deleted_ms,
        )
    if row.completed_ms != NEVER or row.order_ms != NEVER:
        new = new._replace(customer_orders="", cart_orders="")
    return row if new == row else new


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
    new = row._replace(
        after_minutes=after_minutes,
        settled_by=RULE,
        state=follows.state,
        idled=follows.idled,
        closed_ms=follows.closed_ms,
        last_ms=follows.last_ms,
        open_bucket=follows.open_bucket,
        is_returning=follows.is_returning,
    )
    return row if new == row else new


def _follows(row: CheckoutRow, now_ms: int, after_minutes: int) -> Following:
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
    return Following(
        state=state,
        idled=idled,
        closed_ms=closed_ms,
        last_ms=last_ms,
        open_bucket=bucket,
        is_returning=int(NEVER < row.first_order_ms < row.created_ms),
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
