"""What the Admin API has after a shop's deliveries, those that never came included."""

from collections.abc import Iterable

import orjson

from simulator.admin import from_classic
from simulator.admin.books import Books, shop
from simulator.shop.delivery import Delivery


def order_of(delivery: Delivery) -> str | None:
    """The id of the order that a delivery is about."""
    body = orjson.loads(delivery.body)
    if delivery.topic.startswith("orders/") and "id" in body:
        return str(body["id"])
    return str(body["order_id"]) if delivery.topic.startswith("refunds/") else None


def books_after(domain: str, sent: Iterable[Delivery]) -> Books:
    """The shop's books: each order in its newest state."""
    held = Books(shop(domain))
    keep_orders(held, sent)
    return held


def keep_orders(held: Books, sent: Iterable[Delivery]) -> None:
    """Enter the orders of these deliveries."""
    for delivery in sent:
        if delivery.topic.startswith("orders/") and delivery.topic != "orders/edited":
            made = from_classic.order(orjson.loads(delivery.body))
            known = held.orders.one(made["id"])
            if known is None or known["updatedAt"] <= made["updatedAt"]:
                held.orders.keep(made)
