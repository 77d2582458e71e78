"""One batch on its way into the store: folded, parked, or left to a shop that catches up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from processors.engine.decoding import Decoded, Failed, events_of, rejected_of
from processors.engine.folding import SearchResult
from processors.shopify.tolerance import Rejected
from stream.record import Entry

Event = TypeVar("Event")
CATCHES_UP = ""
"""In `Work.left_behind`: not stopped, only too slow for the others."""


@dataclass(slots=True)
class BatchWork(Generic[Event]):
    """A batch while it is settled: failures turn events into rejects, and shops drop out."""

    decoded: list[Decoded[Event]]
    at_most: int
    """Bad records of one shop that a search finds before it gives the shop up."""
    limited_from: Mapping[int, int] = field(default_factory=dict)
    """By partition: offsets below are parked without a limit."""
    left_behind: dict[str, str] = field(default_factory=dict)
    """Shops that drop out, with the reason why they stop, or CATCHES_UP."""
    dropped: list[Entry] = field(default_factory=list)
    """Entries of those shops."""
    groups: list[list[Decoded[Event]]] | None = None
    """What is folded with one call each, once a search has found it; None: all with one call."""
    parked: set[str] = field(default_factory=set)
    """Places of entries that are on the topic `parked` by now."""

    def leave_behind(self, shop: str, reason: str) -> None:
        """Remove the shop's entries."""
        self.left_behind[shop] = reason
        self.dropped += [each.entry for each in self.decoded if each.shop == shop]
        self.decoded = [each for each in self.decoded if each.shop != shop]
        if self.groups is not None:
            self.groups = [group for group in self.groups if group[0].shop != shop]

    def take(self, found: SearchResult[Event]) -> None:
        """Apply the result of a search."""
        self.decoded = [
            each._replace(outcome=found.bad.get(each.entry.place, each.outcome))
            for each in self.decoded
        ]
        self.groups = found.groups
        for shop in found.given_up:
            self.leave_behind(shop, CATCHES_UP)

    def counted(self) -> list[tuple[str, bool]]:
        """(shop, failed) of the entries that the limits count: folded, or failed by our fault."""
        return [
            (each.shop, isinstance(each.outcome, Failed))
            for each in self.decoded
            if (isinstance(each.outcome, Failed) or not isinstance(each.outcome, Rejected))
            and each.entry.offset >= self.limited_from.get(each.entry.partition, 0)
        ]

    def failed(self) -> bool:
        """Whether one of them failed by our fault."""
        return any(isinstance(rejected, Failed) for _, rejected in rejected_of(self.decoded))

    def last_failure(self, shop: str | None) -> str:
        """The reason of the newest failure, of this shop or of any."""
        reasons = [
            each.outcome.reason
            for each in self.decoded
            if isinstance(each.outcome, Failed) and shop in (None, each.shop)
        ]
        return reasons[-1] if reasons else ""

    def to_park(self) -> list[tuple[Entry, Rejected]]:
        """Rejects that are not on the topic `parked` yet."""
        return [
            (entry, rejected)
            for entry, rejected in rejected_of(self.decoded)
            if entry.place not in self.parked
        ]

    def events(self) -> list[Event]:
        """What is folded, in order."""
        return events_of(self.decoded)

    def calls(self) -> Iterable[list[Event]]:
        """The events of each call of `apply`."""
        groups = [self.decoded] if self.groups is None else self.groups
        return (events for group in groups if (events := events_of(group)))

    def first_dropped(self) -> dict[tuple[int, str], int]:
        """By (partition, shop): the first offset that dropped out."""
        first: dict[tuple[int, str], int] = {}
        for entry in self.dropped:
            place = (entry.partition, entry.record.headers.get("shop", ""))
            first[place] = min(entry.offset, first.get(place, entry.offset))
        return first
