"""Writes orders read from the Admin API as records of the log, in the shape of Shopify Events; the
header `origin` says who asked."""

from hashlib import blake2b
from typing import Any

import msgspec

from ingest.shopify.routing import route
from stream.record import Record

BACKFILL, RECONCILE = "backfill", "reconcile"
TOPIC = "Order"


class _Head(msgspec.Struct, gc=False):
    id: str
    updatedAt: str


_head = msgspec.json.Decoder(_Head)


def order_record(
    shop: str, order: bytes, zone: str, origin: str, now_ms: int, triggered_at: str = ""
) -> Record:
    """The record of one order, given as JSON of the Admin API.

    Its id is that of the order's state: the same state read twice has the same id. `triggered_at`
    is when it was asked for, where it shall win over a webhook of the same second.
    """
    head = _head.decode(order)
    body = b"".join(
        (
            b'{"topic":"Order","action":"update","query_variables":{"orderId":',
            msgspec.json.encode(head.id),
            b'},"data":{"order":',
            order,
            b',"shop":{"ianaTimezone":',
            msgspec.json.encode(zone),
            b"}}}",
        )
    )
    routed = route(shop, TOPIC, body)
    state = f"{head.id} {head.updatedAt}".encode()
    headers = {"source": "shopify", "topic": TOPIC, "shop": shop, "origin": origin}
    return Record(
        topic=routed.topic,
        key=routed.key,
        id=f"{origin}-{blake2b(state, digest_size=12).hexdigest()}",
        time_ms=now_ms,
        headers=headers | {"triggered_at": triggered_at} if triggered_at else headers,
        body=body,
    )


def joined(order: bytes, lines: list[bytes]) -> bytes:
    """An order and its lines, each as JSON, as one object."""
    nodes = b",".join(lines)
    tail = b',"lineItems":{"nodes":[' + nodes + b'],"pageInfo":{"hasNextPage":false}}}'
    return order.rstrip()[:-1] + tail


def encoded(order: dict[str, Any]) -> bytes:
    """An order as JSON."""
    return msgspec.json.encode(order)
