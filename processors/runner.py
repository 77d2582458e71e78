"""placeholder: contract of a processor (the runner itself follows)

A processor is a name, a topic, a pure decode and an `apply` that loads, folds and saves within the transaction given to it.
"""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from stream.record import Entry
from stream.store import Transaction

Event = TypeVar("Event")


class Processor(Protocol[Event]):
    """What happens to the records of one topic."""

    name: str
    """Names its positions; never changed once in use."""
    topic: str

    def decode(self, entry: Entry) -> Event | None:
        """The event in a record; None where policy ignores it. Pure. Raises Rejected, and the runner parks the record."""
        ...

    def apply(self, transaction: Transaction, events: Sequence[Event], now_ms: int) -> None:
        """Fold `events`, in order, and save. Called once per batch (up to 500), again after a roll-back. May raise Rejected only for a
        batch of one event (the runner halves a failing batch until the bad record is alone)."""
        ...

    def tick(self, transaction: Transaction, now_ms: int) -> None:
        """What time alone changes (an order leaves its window, a cart expires). Called about once a second, in a transaction of its own."""
        ...
