"""Posts of the browser's pixel for tests, as the receiver keeps them."""

import json
from typing import Any

from destinations.browser.processor import Browser, Post
from destinations.meta.browser import MetaCompleter
from ingest.pixel.post import read_post
from stream.record import Entry
from tests.support.delivery.capi_orders import ACCOUNT, NOW_MS, SHOP

FBP = "fb.1.1790000000999.555"
FBC = "fb.1.1795300000000.IwAR0browser"
ALL: dict[str, Any] = {
    "fbp": FBP,
    "fbc": FBC,
    "user_agent": "Mozilla/5.0 (browser)",
    "consent": {"marketing": True, "sale_of_data": True},
}


def browser(most_unknown: int = 10_000, event_id: str = "{order_id}") -> Browser:
    return Browser({(SHOP, ACCOUNT): MetaCompleter(event_id)}, most_unknown)


def post(token: str = "checkout1001", at_ms: int = NOW_MS, **facts: Any) -> Post:
    body = {"shop": SHOP, "event": "checkout_completed", "checkout_token": token} | facts
    record = read_post(json.dumps(body).encode(), {SHOP}, at_ms)
    decoded = browser().decode(Entry(record, 0, 0))
    assert decoded is not None
    return decoded
