"""Decodes a batch: each entry becomes an event, nothing, or the reason why it is parked."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from processors.engine.processor import Processor
from processors.shopify.tolerance import Rejected
from stream.record import Entry

Event = TypeVar("Event")


class Failed(Rejected):
    """A record that met a bug of ours; `ParkLimit` counts these, and no other Rejected."""


class Decoded(NamedTuple, Generic[Event]):
    """An entry and its decoded event, if any."""

    entry: Entry
    outcome: Event | Rejected | None

    @property
    def shop(self) -> str:
        """Whose record it is."""
        return shop_of(self.entry)


def shop_of(entry: Entry) -> str:
    """The shop that sent a record; "" if its headers name none."""
    return entry.record.headers.get("shop", "")


def decode_all(processor: Processor[Event], entries: Iterable[Entry]) -> list[Decoded[Event]]:
    """Decode `entries`. Raises nothing."""
    decoded: list[Decoded[Event]] = []
    for entry in entries:
        outcome: Event | Rejected | None
        try:
            # A redacted record is an empty place (processors/privacy/records.py).
            redacted = "redacted" in entry.record.headers
            outcome = None if redacted else processor.decode(entry)
        except Rejected as rejected:
            outcome = rejected
        except Exception as error:
            outcome = Failed(f"decode_failed_{type(error).__name__}")
        decoded.append(Decoded(entry, outcome))
    return decoded


def events_of(decoded: Iterable[Decoded[Event]]) -> list[Event]:
    """Those that are to be folded."""
    return [
        outcome
        for _, outcome in decoded
        if outcome is not None and not isinstance(outcome, Rejected)
    ]


def rejected_of(decoded: Iterable[Decoded[Any]]) -> list[tuple[Entry, Rejected]]:
    """Those that are to be parked."""
    return [(entry, outcome) for entry, outcome in decoded if isinstance(outcome, Rejected)]


def by_shop(decoded: Sequence[Decoded[Event]]) -> dict[str, list[Decoded[Event]]]:
    """The same, shop by shop, each in its order."""
    shops: dict[str, list[Decoded[Event]]] = {}
    for each in decoded:
        shops.setdefault(each.shop, []).append(each)
    return shops
