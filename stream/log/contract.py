"""The contract of the log: append-only topics with partitions and offsets. `sqlite` and `kafka`
implement it, `spool` wraps either; `tests/contracts/log.py` checks it.

    LogError             base class of log errors
    ├── Unavailable      the log cannot take or give records now: retry
    ├── RecordsRefused   the log will never take these records: keep them elsewhere
    ├── PositionLost     a position is outside what the log still holds; never skipped
    │   └── TopicReplaced  it is a position in another topic of this name
    ├── LogOwned         another deployment reads this log
    └── Stuck            there is lag, yet no record arrived: open a new reader
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

from stream.record import Entry, Record


class LogError(Exception):
    """Base class of log errors."""


class Unavailable(LogError):
    """The log cannot do this now; a retry may work. The log may still have kept the records of a
    failed append."""


class RecordsRefused(LogError):
    """The log will never take `records` (too large for it, or no permission to write their topic).
    The other records of the same append are durable. `reason` is one of a few fixed words, for
    metrics."""

    def __init__(self, reason: str, detail: str, records: Sequence[Record]) -> None:
        super().__init__(f"{len(records)} records refused: {detail}")
        self.reason, self.detail, self.records = reason, detail, tuple(records)


class PositionLost(LogError):
    """The requested position is before the first record kept (retention passed it) or after the end
    (another log)."""

    def __init__(self, topic: str, partition: int, position: int, span: "Span") -> None:
        super().__init__(
            f"position {position} of {topic}/{partition} is outside what the log holds "
            f"({span.first} to {span.next}); see 'A position was lost' in docs/operation.md, then "
            f"`orderwire replay --topic {topic} --from earliest`"
        )
        self.topic, self.partition, self.position, self.span = topic, partition, position, span


SETTLE_S = 2.0
"""Grace for a position after the end: for a moment after a leader change Kafka's new leader may not
know the end (KIP-207)."""


class TopicReplaced(PositionLost):
    """The topic was deleted and made again, or another log was set: positions mean nothing in it,
    and its first records were never read."""

    def __init__(self, topic: str) -> None:
        LogError.__init__(
            self,
            f"topic {topic} is not the one that was read until now: it was deleted and made again, "
            "or ORDERWIRE_LOG_URL names another log; see 'A position was lost' in "
            f"docs/operation.md, then `orderwire replay --topic {topic} --from earliest`",
        )
        self.topic = topic


class LogOwned(LogError):
    """Another deployment reads this log, and would get half of its records."""


class Stuck(LogError):
    """Lag above zero and no record for longer than the watchdog allows."""


class Span(NamedTuple):
    """Offsets that a partition holds: `first` (inclusive) to `next` (exclusive, the offset of the
    next record)."""

    first: int
    next: int


class Owner(NamedTuple):
    """A deployment that reads a log."""

    name: str
    sign: str
    """Another one each time that it says so: its sign of life."""


Start = Callable[[Collection[int]], Awaitable[Mapping[int, int]]]
"""Given the partitions now owned, maybe none, returns the next offset to read of each. A partition
left out starts at its first record."""


class Reader(Protocol):
    """One member of a group, reading one topic.

    A reader owns some partitions of the topic; a single member owns all of them. It starts each
    partition at the position that `Start` returns (kept in the store, not in the log) and reads in
    offset order. It learns of a new record within 10 ms (SQLite) or one fetch (Kafka), and uses
    under 1 % of a core when idle.
    """

    async def read(self, max_records: int, wait_s: float) -> list[Entry]:
        """Up to `max_records` next entries of one or several partitions, in offset order per
        partition.

        Waits at most `wait_s` for the first one; an empty list means that none came. Entries are
        returned once, until `reload`. Raises PositionLost, Unavailable, Stuck.
        """
        ...

    async def reload(self) -> None:
        """Discard what was read and start again at the positions that `Start` returns, after a
        fence or a failure."""
        ...

    async def report(self, positions: Mapping[int, int]) -> None:
        """Report the group's positions to the log, for its lag displays only. Never raises."""
        ...

    async def close(self) -> None:
        """Leave the group; its partitions go to the others."""
        ...


OpenReader = Callable[[str, str, Start], Awaitable[Reader]]
"""Given topic, group and `Start`, opens a reader, as `Log.reader` does."""


class Log(Protocol):
    """Topics of records. One object per process; `close` it once.

    Records with one key go to one partition, in the order of their appends. Offsets of a partition
    ascend, may have gaps, and are never used twice, not even after retention.
    """

    async def append(self, records: Sequence[Record]) -> None:
        """Make `records` durable (fsynced, or acknowledged by all in-sync replicas), then return.

        After Unavailable any of the records may still be in the log: the sender retries, so whoever
        reads the log must tolerate duplicates. After RecordsRefused all other records are durable.
        Cancelling `append` never cancels the write. Raises ValueError if a string is not Unicode
        text (a lone surrogate).
        """
        ...

    async def reader(self, topic: str, group: str, start: Start) -> Reader:
        """A new member of `group` on `topic`. Raises Unavailable."""
        ...

    async def spans(self, topic: str) -> Mapping[int, Span]:
        """The span of every partition of `topic` now. Raises Unavailable."""
        ...

    async def identity(self, topic: str) -> str:
        """An id of the topic that it loses when it is deleted and made again, as every topic of a
        new file has another one; "" where the log has none. Raises Unavailable.

        Positions belong to it: offsets begin anew with another one.
        """
        ...

    async def owner(self) -> Owner | None:
        """The deployment that said last that it reads this log; None where nobody has, or where it
        is this one. Raises Unavailable."""
        ...

    async def own(self, name: str) -> None:
        """Say that this deployment reads the log. Raises Unavailable."""
        ...

    async def scan(self, topic: str, partition: int, offset: int, max_records: int) -> list[Entry]:
        """Up to `max_records` entries from `offset` on, or from the first one kept after it; empty
        at the end. Raises Unavailable.

        Outside any group: for replay, checks and tools.
        """
        ...

    async def retain(self, topic: str, older_than_ms: int, unread: Mapping[int, int]) -> int:
        """Delete records received before `older_than_ms`, but none at or after the `unread`
        position of its partition. Returns how many were deleted.

        A partition not named in `unread` is left whole. Kafka applies its own retention (a topic
        setting) and returns 0.
        """
        ...

    async def close(self) -> None:
        """Finish the appends under way, then close."""
        ...
