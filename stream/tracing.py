"""How a webhook is followed to the vendor's answer: every span of a delivery has one trace id,
computed from its body's digest, so that nothing has to carry it. Off unless a tracer is given."""

import hashlib
from typing import Protocol

DIGEST_DIGITS = 16


def digest_of(body: bytes) -> str:
    """Of a delivery's body: an order's version ends with it (`processors/shopify/version.py`)."""
    # Processors have instructions for SHA-256: a third of what BLAKE2b takes.
    return hashlib.sha256(body).hexdigest()[:DIGEST_DIGITS]


def trace_of(shop: str, digest: str) -> tuple[int, int]:
    """Ids of a delivery's trace and of its first span, neither of them 0."""
    whole = hashlib.blake2b(
        f"{shop} {digest[-DIGEST_DIGITS:]}".encode(), digest_size=24, person=b"trace"
    ).digest()
    return int.from_bytes(whole[:16]) or 1, int.from_bytes(whole[16:]) or 1


class Tracer(Protocol):
    """Records spans; times are Unix nanoseconds. No attribute holds personal data."""

    def received(self, shop: str, body: bytes, topic: str, outcome: str, began_ns: int) -> None:
        """A signed delivery was answered now."""

    def requested(
        self,
        shop: str,
        destination: str,
        digest: str,
        received_ms: int,
        began_ms: int,
        ended_ms: int,
        answer: str,
    ) -> None:
        """An event was sent, and answered as `answer` says. `digest`: of the version of the order
        that it was made from."""
