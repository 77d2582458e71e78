"""The account of the Graph stand-in: events on the wire, events kept, and contradictions among
them."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from simulator.meta.rules import MATCH_KEYS, Broken

EventKey = tuple[str, str, str]
"""(pixel, event_name, event_id)."""


class Contradiction(NamedTuple):
    """`kind` is `two_identities` (one event id, two payloads) or `two_event_ids` (one order, two
    event ids)."""

    kind: str
    pixel: str
    event_name: str
    event_id: str
    order_id: str


class Rejection(NamedTuple):
    """An event that broke a rule."""

    pixel: str
    event_name: str
    event_id: str
    rule: str
    subcode: int | None


class Answered(NamedTuple):
    """A request as it ended; status 0 if the connection was cut."""

    number: int
    pixel: str
    events: int
    status: int
    at_s: float


class Seen(msgspec.Struct, gc=False):
    """One event, by its key."""

    identity: bytes
    first_s: float
    """Unix time when it first came over the wire."""
    times: int = 1
    kept: int = 0


def _text(value: Any) -> str:
    return value[:255] if isinstance(value, str) else ""


def _event_key(pixel: str, event: Any) -> EventKey:
    return (
        (pixel, _text(event.get("event_name")), _text(event.get("event_id")))
        if isinstance(event, dict)
        else (pixel, "", "")
    )


def identity(event: Mapping[str, Any]) -> bytes:
    """8 bytes over what makes an event this sale and no other."""
    custom = event.get("custom_data")
    custom = custom if isinstance(custom, dict) else {}
    parts = (
        custom.get("order_id"),
        custom.get("value"),
        str(custom.get("currency")).upper(),
        event.get("event_time"),
    )
    return blake2b(repr(parts).encode(), digest_size=8).digest()


class GraphAccount:
    """Everything counted. With `only_ids` it keeps 8 bytes per event, for long runs: no conflicts,
    no sequences, no times.

    An event is known by (pixel, event_name, event_id), as Meta knows it; its *payload identity* is
    a digest of order_id, value, currency and event_time. One event id with two identities, or one
    order with two event ids, is the sender's mistake even if the request was refused: it was on the
    wire. Repeats are none, since a sender in doubt must send again; they are counted. No value of
    `user_data` is kept, only how often each field was present.
    """

    def __init__(self, *, only_ids: bool = False) -> None:
        self.only_ids = only_ids
        self.requests = 0
        self.received = 0
        """Events kept, repeats included."""
        self.duplicates = 0
        """Events kept again under a key that was kept before."""
        self.events: dict[EventKey, Seen] = {}
        self.sequences: dict[tuple[str, str], list[tuple[str, str]]] = {}
        """(pixel, order_id) -> (event_name, event_id) in the order in which they were first kept.
        """
        self.rejected: Counter[str] = Counter()
        self.findings: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        """By HTTP status; `reset` where the connection was cut."""
        self.match_keys: Counter[tuple[str, str]] = Counter()
        """(event_name, key) -> kept events that had it."""
        self.names: Counter[str] = Counter()
        self.test_events = 0
        self.delay_sum_s = 0.0
        """Sum over kept events of arrival minus event_time."""
        self.last_rejections: deque[Rejection] = deque(maxlen=10_000)
        self.last_requests: deque[Answered] = deque(maxlen=10_000)
        self._conflicts: dict[Contradiction, None] = {}
        self._order_ids: dict[tuple[str, str, str], str] = {}
        self._hashes: set[int] = set()

    def on_the_wire(self, pixel: str, events: Sequence[Any], at_s: float) -> None:
        """Events have arrived, accepted or not."""
        if self.only_ids:
            return
        for event in events:
            key = _event_key(pixel, event)
            if not key[2]:
                continue  # nothing to know it by
            digest = identity(event)
            order_id = order_id_of(event)
            seen = self.events.get(key)
            if seen is None:
                self.events[key] = Seen(digest, at_s)
            else:
                seen.times += 1
                if seen.identity != digest:
                    self._conflicts[Contradiction("two_identities", *key, order_id)] = None
            if order_id:
                known = self._order_ids.setdefault((pixel, key[1], order_id), key[2])
                if known != key[2]:
                    self._conflicts[Contradiction("two_event_ids", *key, order_id)] = None

    def keep(
        self, pixel: str, events: Sequence[Mapping[str, Any]], at_s: float, *, test: bool = False
    ) -> None:
        """Events are accepted."""
        self.received += len(events)
        self.test_events += len(events) if test else 0
        for event in events:
            key = _event_key(pixel, event)
            self.names[key[1]] += 1
            self.delay_sum_s += at_s - event["event_time"]
            for name in MATCH_KEYS & event["user_data"].keys():
                self.match_keys[key[1], name] += 1
            if self.only_ids:
                short = hash(key)
                self.duplicates += short in self._hashes
                self._hashes.add(short)
                continue
            seen = self.events.get(key)
            if seen is None:
                continue
            self.duplicates += seen.kept > 0
            seen.kept += 1
            if seen.kept == 1 and (order_id := order_id_of(event)):
                self.sequences.setdefault((pixel, order_id), []).append(key[1:])

    def reject(self, pixel: str, event: Any, broken: Broken) -> None:
        """An event broke a rule."""
        self.rejected[broken.rule] += 1
        self.last_rejections.append(
            Rejection(*_event_key(pixel, event), broken.rule, broken.subcode)
        )

    def answered(self, answer: Answered) -> None:
        """A request has ended."""
        self.answers[str(answer.status or "reset")] += 1
        self.last_requests.append(answer)

    def conflicts(self) -> list[Contradiction]:
        """Every contradiction seen, each once."""
        return list(self._conflicts)

    @property
    def distinct(self) -> int:
        """Kept events, each key once."""
        return self.received - self.duplicates

    def kept_ids(self, pixel: str, event_name: str = "Purchase") -> dict[str, int]:
        """event_id -> how often it was kept."""
        return {
            key[2]: seen.kept
            for key, seen in self.events.items()
            if seen.kept and key[0] == pixel and key[1] == event_name
        }

    def summary(self, *, events: bool = False) -> dict[str, Any]:
        """As JSON; with `events`, one row per event: pixel, event_name, event_id, times seen, times
        kept, first seen (Unix s)."""
        answer: dict[str, Any] = {
            "requests": self.requests,
            "received": self.received,
            "distinct": self.distinct,
            "duplicates": self.duplicates,
            "test_events": self.test_events,
            "rejected": dict(self.rejected),
            "findings": dict(self.findings),
            "answers": dict(self.answers),
            "conflicts": [conflict._asdict() for conflict in self._conflicts],
        }
        if events:
            answer["events"] = [
                [*key, seen.times, seen.kept, seen.first_s] for key, seen in self.events.items()
            ]
        return answer


def order_id_of(event: Mapping[str, Any]) -> str:
    """The order that an event names, "" without one."""
    custom = event.get("custom_data")
    return _text(custom.get("order_id")) if isinstance(custom, dict) else ""
