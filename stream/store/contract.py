"""The contract of the store: positions, entities and cells in one database. `stream/store/sql`
implements it; `tests/contracts/store.py` checks it.

    StoreError
    ├── StoreUnavailable   connection lost, restart, deadlock, serialisation failure: retry
    │   └── Conflict       another owner created the same entities first: retry immediately
    ├── Fenced             another owner moved this position: roll back, reload, go on
    ├── Incompatible       the schema is newer than this program: upgrade
    └── StoreBroken        damaged, or a table or permission is missing: stop
    Unstorable (ValueError) the database cannot hold a value: park the record
    └── OutOfRange              a number, or a sum in a cell, is beyond 64 bits
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

Key = tuple[str | int, ...]
Row = TypeVar("Row", bound=tuple[Any, ...])
Row_co = TypeVar("Row_co", bound=tuple[Any, ...], covariant=True)


class StoreError(Exception):
    """Base class of store errors."""


class StoreUnavailable(StoreError):
    """The database cannot do this now; the transaction was rolled back. A retry may work."""


class Conflict(StoreUnavailable):
    """Another owner created the same entities and committed; a retry finds them."""


class StoreBroken(StoreError):
    """The database is damaged, or lacks a table or a permission: an operator must act first."""


class Unstorable(ValueError):
    """A value that the database cannot hold (longer than an index takes, a NUL, out of range). The
    transaction was rolled back."""


class OutOfRange(Unstorable):
    """A number, or the sum that a cell would hold, is beyond 64 bits."""


class Fenced(StoreError):
    """The position is not the one that this owner loaded: another owner has the partition."""


class Incompatible(StoreError):
    """The schema is newer than this program."""


class Packed(Protocol[Row_co]):
    """Entities of a table that lie packed elsewhere (`stream/store/packed.py`)."""

    def after(self, reading: "Reading", shop: str, last: str, at_most: int) -> Sequence[Row_co]:
        """The next entities of a shop by the second part of their key: rows and packed ones."""
        ...

    def counts(self, reading: "Reading", shop: str | None = None) -> Mapping[str, int]:
        """How many are packed, by shop."""
        ...


@dataclass(frozen=True, slots=True)
class Entities(Generic[Row]):
    """A table of entities. `row` is a NamedTuple whose fields are the table's columns; the first
    `key` of them are its primary key. `stream/store/migrations` creates the tables."""

    table: str
    row: type[Row]
    key: int
    packed: Packed[Row] | None = None
    """Where some of them are not rows of the table."""
    steady: tuple[str, ...] = ()
    """Indexed columns that most changes of a row leave as they are."""

    def key_of(self, row: Row) -> Key:
        """The part of a row that is its primary key."""
        return row[: self.key]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A table of counters: `key` is its primary key, `measures` are integers.

    Writers only add differences. Additions commute, so owners of different partitions may add to
    one cell.
    """

    table: str
    key: tuple[str, ...]
    measures: tuple[str, ...]
    followed: bool = False
    """Whether every write records which cells it changed, for `Reading.changes`: a fifth of the
    cost of a transaction of one order."""


class Position(NamedTuple):
    """How far a processor is on one partition."""

    processor: str
    topic: str
    partition: int
    next: int
    """The next offset to read."""
    records: int
    """Records folded in total."""
    event_time_ms: int
    """The newest time among them, Unix milliseconds."""
    unread: int
    """The first offset that is still to be folded: before `next` while a shop catches up by itself.

    A shop that is stopped does not count (`processors/engine/stops.py`).
    """


class Changes(NamedTuple):
    """Cells of one table that may have changed since a watermark, with their present values."""

    rows: Sequence[tuple[Any, ...]]
    """Key columns, then measures. A cell may come although it did not change; one that is all
    zeros, or gone, counts for nothing."""
    watermark: int
    """The `since` of the next call."""
    complete: bool
    """True if `rows` is the whole table and replaces all earlier rows."""


NOTHING_LOADED: Final[Mapping[Key, Any]] = MappingProxyType({})


class Reading(Protocol):
    """Methods that a snapshot and a transaction share."""

    def positions(self, processor: str | None = None) -> list[Position]:
        """Positions of one processor, or of all; ordered by processor, topic and partition."""
        ...

    def query(self, sql: str, **parameters: Any) -> list[Any]:
        """Rows of a SELECT with `:name` parameters, in SQL that SQLite and PostgreSQL both
        understand (each row a named tuple)."""
        ...

    def find(self, entities: Entities[Row], keys: Collection[Key]) -> dict[Key, Row]:
        """The rows that exist among `keys`, not locked: with one statement, of any number of
        shops."""
        ...

    def changes(self, cells: Cells, since: int | None) -> Changes:
        """Cells changed since the watermark of an earlier call; the whole table for None, and where
        nobody follows its changes."""
        ...


class Snapshot(Reading, Protocol):
    """One consistent, read-only state of the whole store, including the positions that it results
    from."""


class Transaction(Reading, Protocol):
    """One write, all or nothing; invisible to others until it is committed.

    The position moves in the same transaction as the results of the records, by compare-and-set on
    the position last loaded. Crashes, rebalances and zombies need no other code: the loser rolls
    back and reloads.
    """

    def advance(
        self, processor: str, topic: str, moves: Mapping[int, "Move"], event_time_ms: int
    ) -> None:
        """Move positions by partition, each by compare-and-set. Call it first: it also locks out
        rival owners. Fenced is raised here, or by the statement that follows, at the latest by the
        commit.

        `event_time_ms` is the newest time among the records folded.
        """
        ...

    def load(
        self, entities: Entities[Row], keys: Collection[Key], *, shared: bool = False
    ) -> dict[Key, Row]:
        """The rows that exist among `keys`, locked until the transaction ends.

        Rows and cells are locked in key order, so that two owners do not deadlock. `shared` lets
        others load them too, with `shared`, as long as nobody saves them: for rows that many
        batches read and few change.
        """
        ...

    def save(
        self,
        entities: Entities[Row],
        rows: Iterable[Row],
        loaded: Mapping[Key, Row] = NOTHING_LOADED,
    ) -> None:
        """Insert or replace rows by key. Raises Conflict, at the latest by the commit, if another
        owner created one that `load` did not find.

        `loaded`: rows as they are in the store, to spare the indexes of columns that stay.
        """
        ...

    def delete(self, entities: Entities[Row], keys: Collection[Key]) -> None:
        """Delete rows by key; missing rows are no error."""
        ...

    def add(self, cells: Cells, deltas: Mapping[Key, tuple[int, ...]]) -> None:
        """Add to the measures of each cell; a missing cell starts at zero. Deltas that are all zero
        are skipped."""
        ...

    def sweep(self, cells: Cells) -> int:
        """Delete cells that are all zero; returns how many. Readers see it as a change."""
        ...

    def remove(self, table: Entities[Any] | Cells, shop: str, at_most: int) -> int:
        """Delete up to `at_most` rows of a table whose key begins with this shop; returns how
        many."""
        ...

    def forget_changes(self, before_ms: int) -> None:
        """Delete the record of which cells changed before this time (Unix ms). A reader whose
        watermark is older gets whole tables next time."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Roll back the block, and only the block, if it raises; the exception propagates."""
        ...

    def execute(self, sql: str, **parameters: Any) -> int:
        """An INSERT, UPDATE or DELETE with `:name` parameters; returns the number of rows touched.
        For writes that are no fold (claims, heartbeats)."""
        ...


class Move(NamedTuple):
    """A position's compare-and-set."""

    loaded: int | None
    """The position that was loaded; None if there was none yet."""
    next: int
    records: int
    """How many records lie between."""


class Store(Protocol):
    """One database. Thread-safe; `close` it once.

    Methods block; an event loop calls them in a thread (`asyncio.to_thread`, or the runner's own).
    """

    dialect: str
    """`sqlite` or `postgresql`."""

    def begin(self) -> AbstractContextManager[Transaction]:
        """A transaction: commits when the block ends, rolls back when it raises.

        Any statement raises StoreUnavailable, StoreBroken or Unstorable.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """The store as it is now, for the duration of the block. Any query raises
        StoreUnavailable."""
        ...

    def close(self) -> None:
        """Close all connections."""
        ...
