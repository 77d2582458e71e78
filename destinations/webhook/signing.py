"""Signatures of Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, one per secret
(docs/facts/destinations.md, "Standard Webhooks")."""

import binascii
import hmac
from base64 import b64decode, b64encode
from collections.abc import Iterable

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64


def key_of(secret: str) -> bytes | None:
    """The key in a `whsec_` secret; None if it is malformed."""
    if not secret.startswith(PREFIX):
        return None
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if LEAST_BYTES <= len(key) <= MOST_BYTES else None


def signature(key: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """`v1,<base64>`."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode()


def signed_headers(
    secrets: Iterable[str], message_id: str, timestamp_s: int, body: bytes
) -> dict[str, str]:
    """The three headers of an attempt: its own `timestamp_s`, the id shared by all attempts."""
    keys = [key for secret in secrets if (key := key_of(secret)) is not None]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": " ".join(
            signature(key, message_id, timestamp_s, body) for key in keys
        ),
    }
