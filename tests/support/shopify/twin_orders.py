"""Sales of the simulated shop in both of Shopify's shapes: classic webhooks, and GraphQL."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from simulator.shop import changes, order_bodies, placing
from simulator.shop.catalogue import products
from simulator.shop.delivery import triggered_at
from simulator.shop.graphql_bodies import Bodies
from simulator.shop.people import person
from simulator.shop.sale import Sale
from simulator.shop.written import Json
from stream.record import Entry, Record

SHOP = "demo.myshopify.com"
ZONE = "Europe/Paris"
NOW = datetime(2026, 11, 20, 23, 30, tzinfo=ZoneInfo(ZONE))
WHAT = ("nothing", "pay", "cancel", "send_back", "gesture", "edit")


def sale(seed: int, currency: str = "USD") -> Sale:
    """An order as it was placed."""
    random = Random(seed)
    source = random.choice(("web", "web", "web", "pos", "shopify_draft_order"))
    buyer = person(seed, random.randrange(50)) if source == "web" or random.random() < 0.5 else None
    at = NOW + timedelta(minutes=random.randrange(60), microseconds=random.randrange(10**6))
    found = placing.drawn(
        random,
        at,
        6_100_000_000_000 + seed * 16,
        1001 + seed,
        buyer if source != "shopify_draft_order" else None,
        source,
        guest=random.random() < 0.2,
        units=2.0,
        foreign=0.2,
        products=products(currency),
        currency=currency,
    )
    found.financial_status = random.choice(("paid", "pending", "authorized"))
    found.test = random.random() < 0.05
    return found


def lives(seed: int, currency: str = "USD") -> Iterator[Sale]:
    """The states of one order, each the same object changed: placed, then what happens to it."""
    random = Random(seed)
    one = sale(seed, currency)
    yield one
    for step in range(random.randrange(4)):
        if one.cancelled is not None or not one.units:
            return
        at = one.created + timedelta(minutes=1 + step)
        changes.touch(one, at)
        refund_id = 900_000_000_000 + seed * 1000 + step * 200
        happens = random.choice(WHAT)
        if happens == "pay":
            one.financial_status = "paid"
        elif happens == "cancel":
            changes.cancel(random, one, at, refund_id)
        elif one.financial_status == "pending":
            pass
        elif happens == "send_back":
            changes.send_back(random, one, at, refund_id)
        elif happens == "gesture":
            changes.gesture(random, one, at, refund_id)
        elif happens == "edit" and not one.refunds:
            changes.edit(random, one, at, refund_id, products(currency))
        yield one


def attributes(one: Sale) -> list[Json]:
    """Cart attributes: Meta's cookies, and a consent."""
    pairs = (("_fbp", one.arrival.fbp), ("_fbc", one.arrival.fbc), ("marketing_consent", "yes"))
    return [{"name": name, "value": value} for name, value in pairs if value is not None]


def graphql(one: Sale) -> Bodies:
    """Its GraphQL objects."""
    return Bodies(one, attributes(one), ZONE)


def entry(topic: str, body: Any, one: Sale, **headers: str) -> Entry:
    """A record of the topic `orders`."""
    kept = {"source": "shopify", "topic": topic, "shop": SHOP}
    kept |= {"triggered_at": triggered_at(one.triggered), **headers}
    shop = kept["shop"]
    received_ms = int(one.triggered.astimezone(UTC).timestamp() * 1000) + 400
    return Entry(
        Record(
            "orders", f"{shop}:{one.order_id}", topic, received_ms, kept, json.dumps(body).encode()
        ),
        0,
        0,
    )


def classic_entry(one: Sale, **headers: str) -> Entry:
    """As a classic webhook tells its present state."""
    return entry("orders/updated", order_bodies.order(one, attributes(one)), one, **headers)


def event_entry(one: Sale, *, lines: int | None = None, **headers: str) -> Entry:
    """As Shopify Events tells it."""
    return entry("Order", graphql(one).event(lines=lines), one, **headers)
