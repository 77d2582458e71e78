"""Whether an order's buyer is a new or an existing customer, if that is certain
(docs/facts/meta.md, "Events": `customer_segmentation`)."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from destinations.meta.event.detail import Detail
from processors.checkouts import known_buyers
from processors.checkouts.link import LINKS, NEVER, customer_subject, order_time_ms
from processors.shopify.orders import Order
from stream.store.contract import Key, Reading

EXISTING, NEW = "existing_customer_to_business", "new_customer_to_business"
WITH_THE_ORDER = timedelta(hours=1)
"""A customer made at most so long before an order was made by its checkout."""

FirstOrders = Mapping[tuple[str, str], int]
"""(shop, subject) -> when the customer's first order was made, Unix milliseconds."""


class Buyer(NamedTuple):
    """The buyer of an order."""

    shop: str
    subjects: Sequence[str]
    """Keys in `cart_link`."""
    made_ms: int
    """When the order was made."""


def buyer_of(order: Order) -> Buyer:
    """The buyer by customer id and by e-mail address, as far as the order has them."""
    by_id = customer_subject(order.customer_id, None)
    by_email = customer_subject(None, order.email)
    subjects = [each for each in (by_id, by_email) if each]
    return Buyer(order.shop, subjects, order_time_ms(order))


def first_orders(reading: Reading, buyers: Sequence[Buyer]) -> FirstOrders:
    """The known first orders of these buyers. One query for all shops, and one for each that has
    buyers of long ago."""
    wanted: dict[str, set[str]] = {}
    for buyer in buyers:
        if buyer.subjects:
            wanted.setdefault(buyer.shop, set()).update(buyer.subjects)
    keys: set[Key] = {(shop, subject) for shop, of_shop in wanted.items() for subject in of_shop}
    rows = reading.find(LINKS, keys).values()
    found = {(row.shop, row.subject): row.first_order_ms for row in rows}
    for shop in known_buyers.shops_with_buyers(reading, wanted):
        missing = {subject for subject in wanted[shop] if (shop, subject) not in found}
        of_long_ago = known_buyers.first_orders(reading, shop, missing)
        found |= {(shop, subject): first_ms for subject, first_ms in of_long_ago.items()}
    # Of two first orders in one batch the later one is none: the store knows neither yet.
    for shop, subjects, made_ms in buyers:
        for subject in subjects:
            known_ms = found.get((shop, subject), NEVER)
            if known_ms == NEVER or made_ms < known_ms:
                found[shop, subject] = made_ms
    return found


def segment(order: Order, buyer: Buyer, detail: Detail, known: FirstOrders) -> str | None:
    """Meta's `customer_segmentation` of the order's buyer; None if unknown.

    Existing: an earlier order of the same customer id or e-mail address has been seen. New: none
    has, and Shopify created the customer with this order, so there can be none from before we
    counted.
    """
    for subject in buyer.subjects:
        if NEVER < known.get((buyer.shop, subject), NEVER) < buyer.made_ms:
            return EXISTING
    since = detail.customer_since
    if since is not None and order.processed_at - since <= WITH_THE_ORDER:
        return NEW
    return None
