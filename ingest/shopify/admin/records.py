"""Writes an order of the Admin API as a record of the topic `orders`, in the shape of Shopify
Events."""

import json
from datetime import UTC, datetime
from typing import Any

from ingest.shopify.routing import route
from stream.record import Record

Json = dict[str, Any]


def rfc3339(ms: int) -> str:
    """Unix milliseconds as the header `triggered_at` has times."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def event_record(
    shop: str,
    topic: str,
    gid: str,
    data: Json,
    *,
    origin: str,
    triggered_at: str,
    now_ms: int,
) -> Record:
    """The record of `data`, the answer to a query for an order or refund.

    `topic` is `Order` or `Refund`; `origin` says why it was asked for (stream/record.py);
    `triggered_at` is a time at which the answer was not yet given.
    """
    variable = "orderId" if topic == "Order" else "refundId"
    body = json.dumps(
        {"topic": topic, "action": "update", "query_variables": {variable: gid}, "data": data}
    ).encode()
    place = route(shop, topic, body)
    headers = {"source": "shopify", "topic": topic, "shop": shop, "origin": origin}
    return Record(
        topic=place.topic,
        key=place.key,
        id=f"{origin}:{gid.rpartition('/')[2]}:{now_ms}",
        time_ms=now_ms,
        headers={**headers, "triggered_at": triggered_at},
        body=body,
    )
