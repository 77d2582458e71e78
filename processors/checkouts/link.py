"""Rows that let an order reach checkouts other than its own, through their customer or their
cart."""

from typing import Final, NamedTuple

from processors.checkouts.idle import HOUR_MS
from processors.orders.customer import email_key
from processors.shopify.checkouts import Cart, Checkout, CheckoutDeleted
from processors.shopify.orders import Order
from processors.shopify.tolerance import millis
from stream.store.contract import Entities, Key

NEVER: Final = -1
RECENT_ORDERS: Final = 64
MANY: Final = "*"


class LinkRow(NamedTuple):
    """Columns of `cart_link`. Times in Unix ms, -1 for never. Every column only grows in one
    direction.

    A customer's row has the time of the first order (is the buyer returning?) and of recent orders
    (did the customer buy otherwise within 7 days?). A guest is the SHA-256 of the e-mail address;
    an order counts for customer and guest, since its checkout may have begun as a guest's. A cart's
    row has what came under its token without a checkout token: orders, checkouts/delete
    (docs/facts/shopify.md, "API versions"), sibling checkouts, and carts/* records. A cart without
    a checkout has neither value nor customer, so it is not an abandoned checkout; it is counted in
    `cart_begun`.
    """

    shop: str
    subject: str
    """`customer:<id>`, `email:<sha256>` or `cart:<cart token>`."""
    first_order_ms: int
    """Of a customer: the first order. Of a cart: the first order that names the cart and no
    checkout."""
    orders: str
    """Of a customer: recent orders. Of a cart: orders of its checkouts. Unix ms, ascending,
    separated by spaces."""
    deleted_ms: int
    """Of a cart: the newest checkouts/delete that names it and no checkout."""
    begun_ms: int
    """Of a cart: when it was made, once a carts/* record with items has arrived."""
    checkout: str
    """The token of the only checkout that ever named it; "" for none, MANY for more than one: those
    are found by index."""
    kept_from_ms: int
    """Of a cart: when the newest of it, its checkouts and its orders was made; it is kept for 90
    days more. -1 for customers."""


LINKS: Final = Entities("cart_link", LinkRow, 2, steady=("kept_from_ms",))


def customer_subject(customer_id: str | None, email: str | None) -> str:
    """The buyer's subject; "" if unknown."""
    if customer_id:
        return f"customer:{customer_id}"
    return f"email:{email_key(email)}" if email else ""


def cart_subject(cart_token: str | None) -> str:
    """The cart's subject; "" if there is none."""
    return f"cart:{cart_token}" if cart_token else ""


def is_of_cart(row: LinkRow) -> bool:
    """Whether it is a cart's, of which aggregates count some; none counts buyers' links."""
    return row.subject.startswith("cart:")


def earliest(one_ms: int, other_ms: int) -> int:
    """The earlier of two moments, either of which may be `NEVER`."""
    return max(one_ms, other_ms) if one_ms == NEVER or other_ms == NEVER else min(one_ms, other_ms)


def with_order(orders: str, order_ms: int) -> str:
    """`orders` and one more: the first of each hour, the latest 64 hours, so that a till's walk-in
    customer with 50,000 orders costs what any other costs."""
    if not orders:
        return str(order_ms)
    latest_ms = int(orders.rpartition(" ")[2])
    if order_ms >= latest_ms:  # As nearly all are.
        if order_ms // HOUR_MS == latest_ms // HOUR_MS:
            return orders
        if orders.count(" ") < RECENT_ORDERS - 1:
            return f"{orders} {order_ms}"
    hours: dict[int, int] = {}
    for moment in (*map(int, orders.split(" ")), order_ms):
        hour = moment // HOUR_MS
        hours[hour] = min(hours.get(hour, moment), moment)
    return " ".join(str(hours[hour]) for hour in sorted(hours)[-RECENT_ORDERS:])


class TimedOrder(NamedTuple):
    """An order and when it was made, Unix ms: it is asked for each link and checkout."""

    order: Order
    order_ms: int


def order_time_ms(order: Order) -> int:
    """When an order was made, Unix ms."""
    return millis(order.processed_at)


def linked(
    row: LinkRow | None, key: Key, event: Checkout | CheckoutDeleted | Cart | TimedOrder
) -> LinkRow:
    """The link's next state. Commutative, associative and idempotent."""
    shop, subject = str(key[0]), str(key[1])
    if isinstance(event, TimedOrder):
        if subject.startswith("cart:"):
            return _cart_ordered(row, shop, subject, event)
        return _ordered(row, shop, subject, event.order_ms)
    row = row or LinkRow(
        shop,
        subject,
        first_order_ms=NEVER,
        orders="",
        deleted_ms=NEVER,
        begun_ms=NEVER,
        checkout="",
        kept_from_ms=NEVER,
    )
    if isinstance(event, Checkout):
        kept_from_ms = (
            max(row.kept_from_ms, millis(event.created_at))
            if subject.startswith("cart:")
            else NEVER
        )
        checkout = (
            row.checkout
            if row.checkout in (event.token, MANY)
            else MANY
            if row.checkout
            else event.token
        )
        if (checkout, kept_from_ms) == (row.checkout, row.kept_from_ms):
            return row
        return row._replace(checkout=checkout, kept_from_ms=kept_from_ms)
    if isinstance(event, Cart):
        created_ms = millis(event.created_at)
        begun_ms = earliest(row.begun_ms, created_ms) if event.items else row.begun_ms
        return row._replace(begun_ms=begun_ms, kept_from_ms=max(row.kept_from_ms, created_ms))
    deleted_ms = event.version.updated_us // 1000
    return row._replace(
        deleted_ms=max(row.deleted_ms, deleted_ms),
        kept_from_ms=max(row.kept_from_ms, deleted_ms),
    )


def _cart_ordered(row: LinkRow | None, shop: str, subject: str, timed: TimedOrder) -> LinkRow:
    """A cart's link with one order more, of one of its checkouts or of none that is known."""
    order_ms, of_checkout = timed.order_ms, bool(timed.order.checkout_token)
    if row is None:
        first_order_ms, orders = (NEVER, str(order_ms)) if of_checkout else (order_ms, "")
        deleted_ms, begun_ms, checkout = NEVER, NEVER, ""
        return LinkRow(
            shop, subject, first_order_ms, orders, deleted_ms, begun_ms, checkout, order_ms
        )
    kept_from_ms = max(row.kept_from_ms, order_ms)
    if of_checkout:
        return row._replace(kept_from_ms=kept_from_ms, orders=with_order(row.orders, order_ms))
    first_order_ms = earliest(row.first_order_ms, order_ms)
    return row._replace(kept_from_ms=kept_from_ms, first_order_ms=first_order_ms)


def _ordered(row: LinkRow | None, shop: str, subject: str, order_ms: int) -> LinkRow:
    """A customer's link with one order more."""
    if row is None:
        orders, deleted_ms, begun_ms, checkout = str(order_ms), NEVER, NEVER, ""
        # By position: half the time of names, twice for each order.
        return LinkRow(
            shop, subject, order_ms, orders, deleted_ms, begun_ms, checkout, kept_from_ms=NEVER
        )
    first_order_ms = earliest(row.first_order_ms, order_ms)
    orders = with_order(row.orders, order_ms)
    if first_order_ms == row.first_order_ms and orders == row.orders:
        return row
    return row._replace(first_order_ms=first_order_ms, orders=orders)
