"""The result of identifying a delivery, and an id for deliveries that have none."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import NamedTuple

from ingest.receiver.outcome import Outcome
from stream.record import Record


class Delivery(NamedTuple):
    """A signed delivery, ready for the log."""

    record: Record
    outcome: Outcome
    """The answer once it is durable: ACCEPTED, or PARKED or UNDECODABLE with a `parked_reason`
    header."""
    label: str
    """The sender's topic as a metrics label: one of a fixed few."""
    secret_index: int
    """Which of the shop's secrets the signature was made with: 0 is the newest."""


Headers = Mapping[str, str]
"""Of an HTTP request; looked up whatever the case (`multidict.CIMultiDictProxy`)."""

Identify = Callable[[Headers, bytes, int], Delivery | None]
"""(headers, body, received at Unix milliseconds) -> the delivery, or None where nobody that we know
has signed it."""


def digest_id(topic: str, body: bytes) -> str:
    """An id for a delivery without one, equal when it is sent again: 32 hex digits of SHA-256 over
    topic and body."""
    return sha256(topic.encode() + b"\n" + body).hexdigest()[:32]
