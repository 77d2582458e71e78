"""Bodies of orders as entries of the log, changed where a test says so."""

import json
from typing import Any

import pytest

from processors.shopify.checkouts import decode_checkout
from processors.shopify.orders import (
    Order,
    decode_order,
)
from processors.shopify.tolerance import Rejected
from stream.record import Entry, Record

SHOP = "example.myshopify.com"


ORDER: dict[str, Any] = {
    "id": 5_000_000_000_001,
    "created_at": "2026-11-22T23:30:00-05:00",
    "updated_at": "2026-11-22T23:31:00-05:00",
    "currency": "USD",
    "total_price": "35.11",
    "financial_status": "paid",
    "customer": {"id": 7},
}


NOON = "2026-11-22T12:00:00Z"


def entry(topic: str, body: Any, **headers: str) -> Entry:
    ours = "checkouts" if topic.startswith(("checkouts/", "carts/")) else "orders"
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Entry(Record(ours, "k", "id", 1, {"shop": SHOP, "topic": topic, **headers}, raw), 0, 0)


def order(**changes: Any) -> Order:
    event = decode_order(entry("orders/create", {**ORDER, **changes}), {})
    assert isinstance(event, Order)
    return event


def reason(topic: str, body: Any) -> str:
    with pytest.raises(Rejected) as caught:
        if topic.startswith(("checkouts/", "carts/")):
            decode_checkout(entry(topic, body))
        else:
            decode_order(entry(topic, body), {})
    return caught.value.reason
