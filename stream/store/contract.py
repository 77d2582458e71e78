"""The store: positions, entities and cells, in one database. This file is the contract; `sql_store`
implements it.

    StoreError
    ├── StoreUnavailable   connection lost, restart, deadlock, serialisation failure: retry
    │   └── Conflict       another owner created the same entities first: retry immediately
    ├── Fenced             another owner moved this position: roll back, reload, go on from there
    ├── Incompatible       the schema is newer than this program: upgrade
    └── StoreBroken        damaged, or a table or permission is missing: stop; no retry helps
    Unstorable (ValueError) the database cannot hold a value: park the record

Methods block; an event loop calls them in a thread (`asyncio.to_thread`, or the runner's own).
Rules, checked by `tests/contracts/store.py` on every database:

- A `Transaction` is all or nothing. The position moves in the same transaction as what was made of
  the records, by compare-and-set on the position last loaded. So crashes, rebalances and zombies
  need no other code: the loser rolls back and reloads.
- `load` locks: until the transaction ends nobody else changes the entities loaded. Of two owners
  that create the same one, the second to save gets Conflict. Rows and cells are locked in key
  order, so that two owners do not deadlock.
- Cells only ever have differences added; additions commute, so owners of different partitions may
  add to one cell.
- A `Snapshot` sees one state of the whole store, and the positions that it rests on.

Tables are made by `stream/store/migrations`; whoever folds or asks names one with `Entities` or
`Cells`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

Key = tuple[str | int, ...]
Row = TypeVar("Row", bound=tuple[Any, ...])


class StoreError(Exception):
    """Anything the store has to say."""


class StoreUnavailable(StoreError):
    """The database cannot do this now; the transaction was rolled back. A retry may work."""


class Conflict(StoreUnavailable):
    """Another owner created the same entities meanwhile. It has committed, so the same again, at
    once, finds them."""


class StoreBroken(StoreError):
    """The database is damaged, or lacks a table or a right: somebody has to look before anything
    goes on."""


class Unstorable(ValueError):
    """A value that the database cannot hold (longer than an index takes, a NUL, out of range); the
    transaction did not happen."""


class Fenced(StoreError):
    """The position is no longer what this owner loaded: somebody else owns the partition."""


class Incompatible(StoreError):
    """The schema is newer than this program."""


@dataclass(frozen=True, slots=True)
class Entities(Generic[Row]):
    """A table of entities: `row` is a NamedTuple whose fields are the table's columns; the first
    `key` of them are its primary key."""

    table: str
    row: type[Row]
    key: int


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A table of counters: `key` is its primary key, `measures` are integers that are added to."""

    table: str
    key: tuple[str, ...]
    measures: tuple[str, ...]


class Position(NamedTuple):
    """How far a processor is on one partition."""

    processor: str
    topic: str
    partition: int
    next: int
    """The offset to read next."""
    records: int
    """How many records it has folded in all."""
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
    """Hand this in next time."""
    complete: bool
    """True where `rows` is the whole table: forget what was known before."""


class Reading(Protocol):
    """What may be asked in a snapshot and in a transaction alike."""

    def positions(self, processor: str | None = None) -> list[Position]:
        """Of one processor, or of all; ordered by processor, topic and partition."""
        ...

    def query(self, sql: str, **parameters: Any) -> list[Any]:
        """Rows of a SELECT with `:name` parameters, in SQL that SQLite and PostgreSQL both
        understand (each row a named tuple)."""
        ...

    def changes(self, cells: Cells, since: int | None) -> Changes:
        """Cells changed since the watermark of an earlier call; the whole table for None."""
        ...


class Snapshot(Reading, Protocol):
    """One consistent state, read only."""


class Transaction(Reading, Protocol):
    """One write. Nothing is visible to others before it is committed."""

    def advance(
        self, processor: str, topic: str, moves: Mapping[int, "Move"], event_time_ms: int
    ) -> None:
        """Move positions, by partition, each by compare-and-set. Raises Fenced. Call it first: it
        also locks out rival owners.

        `event_time_ms` is the newest time among the records folded.
        """
        ...

    def load(
        self, entities: Entities[Row], keys: Collection[Key], *, shared: bool = False
    ) -> dict[Key, Row]:
        """The rows that exist among `keys`, locked.

        `shared` lets others load them too, shared, as long as nobody saves them: for what many
        batches go by and few change.
        """
        ...

    def save(self, entities: Entities[Row], rows: Iterable[Row]) -> None:
        """Insert or replace rows, by key. Raises Conflict where another owner has created one that
        `load` did not find."""
        ...

    def delete(self, entities: Entities[Row], keys: Collection[Key]) -> None:
        """Remove rows by key; those that are not there are no error."""
        ...

    def add(self, cells: Cells, deltas: Mapping[Key, tuple[int, ...]]) -> None:
        """Add to the measures of each cell; a cell not there yet starts at zero. Deltas that are
        all zero are left out."""
        ...

    def sweep(self, cells: Cells) -> int:
        """Remove cells that are all zero; how many went. Readers are told, as of any change."""
        ...

    def remove(self, table: Entities[Any] | Cells, shop: str, at_most: int) -> int:
        """Remove up to `at_most` rows of a table whose key begins with this shop; how many went."""
        ...

    def forget_changes(self, before_ms: int) -> None:
        """Forget which cells changed before this time (Unix ms). A reader that has not looked since
        gets whole tables next time."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what the block did, and only that, where it raises; the exception goes on."""
        ...

    def execute(self, sql: str, **parameters: Any) -> int:
        """An INSERT, UPDATE or DELETE with `:name` parameters; how many rows it touched. For what
        no fold does (claims, signs of life)."""
        ...


class Move(NamedTuple):
    """A position's compare-and-set."""

    loaded: int | None
    """What was loaded; None where there was no position yet."""
    next: int
    records: int
    """How many records lie between."""


class Store(Protocol):
    """One database. Thread-safe; `close` it once."""

    dialect: str
    """`sqlite` or `postgresql`."""

    def begin(self) -> AbstractContextManager[Transaction]:
        """A transaction: commits where the block ends, rolls back where it raises.

        Any statement raises StoreUnavailable, StoreBroken or Unstorable.
        """
        ...

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """The store as it is now, for as long as the block lasts. Raises StoreUnavailable from any
        query."""
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...
