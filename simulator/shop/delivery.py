"""A webhook delivery as Shopify sends it: body bytes, and headers that sign and name them
(docs/facts/shopify.md, "Delivery", "Headers" and "HMAC")."""

import hmac
from binascii import b2a_base64
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

API_VERSION = "2026-10"


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One POST to the receiver, and the status that its sender should get."""

    topic: str
    webhook_id: str
    event_id: str
    triggered_at: str
    body: bytes
    headers: Mapping[str, str]
    key: str
    """Of its object: the order's id or the checkout's or cart's token."""
    kind: str = "genuine"
    """`genuine`, or what the mangler did to it (simulator/shop/mangle.py)."""
    expected_status: int = 200


def triggered_at(moment: datetime) -> str:
    """RFC 3339 in UTC with nanoseconds, as `X-Shopify-Triggered-At` has it; `moment` is aware."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def signed(
    topic: str,
    body: bytes,
    *,
    shop: str,
    secret: bytes,
    webhook_id: str,
    event_id: str,
    triggered: str,
    key: str,
    kind: str = "genuine",
    expected_status: int = 200,
    prefix: str = "X-Shopify-",
) -> Delivery:
    """The delivery with all its headers; `prefix` is `Shopify-` for the newer spelling."""
    headers = {
        f"{prefix}Topic": topic,
        f"{prefix}Hmac-Sha256": b2a_base64(
            hmac.digest(secret, body, "sha256"), newline=False
        ).decode(),
        f"{prefix}Shop-Domain": shop,
        f"{prefix}API-Version": API_VERSION,
        f"{prefix}Webhook-Id": webhook_id,
        f"{prefix}Event-Id": event_id,
        f"{prefix}Triggered-At": triggered,
    }
    return Delivery(
        topic, webhook_id, event_id, triggered, body, headers, key, kind, expected_status
    )
