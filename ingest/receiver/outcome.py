"""Outcomes of a delivery and their HTTP status (docs/api.md, "The receiver")."""

from collections.abc import Mapping
from enum import Enum


class Outcome(Enum):
    """The value is the metric's label. A sender sees only the status; details go to our log."""

    ACCEPTED = "accepted"
    """Durable on the topic where a processor waits for it."""
    PARKED = "parked"
    """Durable on `parked`: signed, but not a topic or a body that we can place."""
    UNDECODABLE = "undecodable"
    """Durable on `parked`: signed, but not a JSON object."""
    BROKEN = "broken"
    """The body did not arrive as its headers said: framing, or a connection lost on the way."""
    ENCODED = "encoded"
    """The body is compressed. Neither Shopify nor Meta compresses (docs/facts/shopify.md,
    "Delivery"), and a stranger's 10 kB would cost us 10 MiB of inflating."""
    UNSIGNED = "unsigned"
    """No signature, a wrong one, or a shop that is not configured."""
    TOO_SLOW = "too_slow"
    """The body took longer than `Limits.read_timeout_s`."""
    TOO_LARGE = "too_large"
    """The body is longer than `Limits.max_body_bytes`."""
    LIMITED = "limited"
    """More posts of one address or one shop than `/pixel` takes (`ingest/pixel/rates.py`)."""
    BUSY = "busy"
    """More bytes in flight than `Limits.max_in_flight_bytes`."""
    UNAVAILABLE = "unavailable"
    """The log refused it, or did not answer within `Limits.ack_timeout_s`. It may still be kept."""


STATUS: Mapping[Outcome, int] = {
    Outcome.ACCEPTED: 200,
    Outcome.PARKED: 200,
    Outcome.UNDECODABLE: 400,
    Outcome.BROKEN: 400,
    Outcome.ENCODED: 415,
    Outcome.UNSIGNED: 401,
    Outcome.TOO_SLOW: 408,
    Outcome.TOO_LARGE: 413,
    Outcome.LIMITED: 429,
    Outcome.BUSY: 503,
    Outcome.UNAVAILABLE: 503,
}
"""A signed delivery that is not understood is kept and answered 200: Shopify deletes a subscription
after eight failures in a row (docs/facts/shopify.md, "Timing and retries")."""

CLOSES = frozenset(
    {
        Outcome.BROKEN,
        Outcome.ENCODED,
        Outcome.TOO_SLOW,
        Outcome.TOO_LARGE,
        Outcome.LIMITED,
    }
)
"""The connection is closed after these: its body was not read to the end."""
