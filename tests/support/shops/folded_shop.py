"""A simulated shop's deliveries as log entries, and the processors that fold them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ingest.shopify.webhooks import identify
from simulator.shop.delivery import Delivery
from simulator.shop.shop import ShopSimulator
from stream.record import Entry
from tests.support.shops.folding import all_orders, carts_checkouts

SHOP, PIXEL = "demo.myshopify.com", "1234567890"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def entries(deliveries: list[Delivery]) -> list[Entry]:
    records = [
        identify(SHOP, delivery.headers, delivery.body, int(NOW.timestamp() * 1000)).record
        for delivery in deliveries
    ]
    return [Entry(record, 0, offset) for offset, record in enumerate(records)]


def deliveries() -> list[Delivery]:
    shop = ShopSimulator(
        3, SHOP, "secret", NOW - timedelta(minutes=5), 60, zone=ZoneInfo("Europe/Paris")
    )
    return [
        *shop.history(120, checkout_days=5),
        *(one for n in range(60) for one in shop.visit(NOW - timedelta(seconds=60 - n))),
    ]


ZONES = {SHOP: ZoneInfo("Europe/Paris")}


def processors() -> list[Any]:
    """For one store: a processor remembers what it has done there."""
    return [all_orders(ZONES), carts_checkouts()]
