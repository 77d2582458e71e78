"""The log: append-only topics with partitions and offsets. This file is the contract; `sqlite` and
`kafka` implement it, and `spool` stands in front of either.

    LogError             base class of log errors
    ├── Unavailable      the log cannot take or give records now: try again later
    ├── RecordsRefused   the log will never take these records: keep them elsewhere
    ├── PositionLost     a position points outside what the log still holds; never jumped over
    └── Stuck            there is lag, yet no record arrived for too long: open a new reader

Rules that every implementation keeps, and `tests/contracts/log.py` checks:

- `append` returns once every record given to it is durable (fsynced, or acknowledged by all in-sync
  replicas). When it raises Unavailable, any of them may be in the log all the same: the sender
  tries again, and nobody behind the log may notice a record twice. When it raises RecordsRefused,
  all other records are durable.
- Cancelling `append` never cancels the write.
- Records with one key go to one partition, in the order in which their appends were called.
- Offsets of a partition ascend, may have gaps, and are never used twice, not even after retention.
- A reader of a group owns some partitions, all of them where it is the only one. It starts each at
  the position that the caller's `Start` names (kept in the store, not in the log) and reads in
  offset order.
- A reader learns of a new record within 10 ms (SQLite) or one fetch (Kafka) and costs under 1 % of
  a core when idle.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from stream.record import Entry, Record


class LogError(Exception):
    """Base class of log errors."""


class Unavailable(LogError):
    """The log cannot do this now; trying again later may work. A record handed over may have been
    kept all the same."""


class RecordsRefused(LogError):
    """The log will never take `records` (too large for it, no right to write their topic); the
    other records of the same append are durable. `reason`: one of a few words, for counts."""

    def __init__(self, reason: str, detail: str, records: Sequence[Record]) -> None:
        super().__init__(f"{len(records)} records refused: {detail}")
        self.reason, self.detail, self.records = reason, detail, tuple(records)


class PositionLost(LogError):
    """The position asked for lies before the first record kept (retention passed it) or behind the
    end (another log)."""

    def __init__(self, topic: str, partition: int, position: int, span: "Span") -> None:
        super().__init__(
            f"position {position} of {topic}/{partition} is outside what the log holds "
            f"({span.first} to {span.next}); see 'A position was lost' in docs/operation.md, then "
            f"`orderwire replay --topic {topic} --from earliest`"
        )
        self.topic, self.partition, self.position, self.span = topic, partition, position, span


class Stuck(LogError):
    """Lag above zero and no record for longer than the watchdog allows."""


class Span(NamedTuple):
    """What a partition holds: offsets `first` (inclusive) to `next` (exclusive, the offset that the
    next record gets)."""

    first: int
    next: int


Start = Callable[[Collection[int]], Awaitable[Mapping[int, int]]]
"""Given partitions now owned, the next offset to read of each; a partition left out starts at its
first record."""


class Reader(Protocol):
    """One member of a group, reading one topic."""

    async def read(self, max_records: int, wait_s: float) -> list[Entry]:
        """Up to `max_records` next entries, of one or several partitions, each partition's in
        offset order.

        Waits at most `wait_s` for the first one; an empty list means that nothing came. What was
        returned is not returned again until `reload`. Raises PositionLost, Unavailable, Stuck.
        """
        ...

    async def reload(self) -> None:
        """Forget what was read: ask `Start` again for every owned partition and go on from there
        (after a fence or a failure)."""
        ...

    async def report(self, positions: Mapping[int, int]) -> None:
        """Tell the log how far this group is, for its lag displays. A hint only: never raises,
        never decides anything."""
        ...

    async def close(self) -> None:
        """Leave the group; its partitions go to the others."""
        ...


class Log(Protocol):
    """Topics of records. One object per process; `close` it once."""

    async def append(self, records: Sequence[Record]) -> None:
        """Make `records` durable, then return.

        Raises Unavailable, RecordsRefused; ValueError where a string is no Unicode text (a lone
        surrogate).
        """
        ...

    async def reader(self, topic: str, group: str, start: Start) -> Reader:
        """A new member of `group` on `topic`. Raises Unavailable."""
        ...

    async def spans(self, topic: str) -> Mapping[int, Span]:
        """What every partition of `topic` holds now. Raises Unavailable."""
        ...

    async def scan(self, topic: str, partition: int, offset: int, max_records: int) -> list[Entry]:
        """Up to `max_records` entries from `offset` on, or from the first one kept after it; empty
        at the end. Raises Unavailable.

        Outside any group: for replay, checks and tools.
        """
        ...

    async def retain(self, topic: str, older_than_ms: int, unread: Mapping[int, int]) -> int:
        """Drop records received before `older_than_ms`, but none at or after the `unread` position
        of its partition. How many went.

        A partition not named in `unread` is left whole. Kafka keeps its own retention (a topic
        setting) and answers 0.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun, then let go."""
        ...
