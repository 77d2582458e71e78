"""A simulated shop behind the stand-in for the Admin API."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from simulator.admin import from_classic
from simulator.admin.books import Books, shop
from simulator.shop.shop import ShopSimulator

SHOP = "example.myshopify.com"
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def bodies(
    orders: int = 40, seed: int = 1, days: int = 365
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(topic, classic body) of a shop's past, orders and checkouts."""
    simulator = ShopSimulator(seed, SHOP, "secret", NOW, orders)
    taken = 0
    if not orders:
        return
    for delivery in simulator.history(days):
        if delivery.topic.startswith("orders/"):
            taken += 1
        yield delivery.topic, orjson.loads(delivery.body)
        if taken == orders:
            return


def books(orders: int = 40, seed: int = 1, days: int = 365) -> Books:
    """The same as the Admin API shows it."""
    made = Books(shop(SHOP))
    kept = orjson.loads(_past(orders, seed, days))
    for order in kept["orders"]:
        made.orders.keep(order)
    for checkout in kept["checkouts"]:
        made.checkouts.keep(checkout)
    return made


@cache
def _past(orders: int, seed: int, days: int) -> bytes:
    """What the books hold, as JSON: a test may change what it reads from it."""
    kept: dict[str, list[Any]] = {"orders": [], "checkouts": []}
    for topic, body in bodies(orders, seed, days):
        if topic.startswith("orders/"):
            kept["orders"].append(from_classic.order(body))
        elif topic.startswith("checkouts/") and not body.get("completed_at"):
            url = body["abandoned_checkout_url"]
            kept["checkouts"].append(from_classic.checkout(body, url))
    return orjson.dumps(kept)
