"""The contract of a processor (a name, a topic, a pure decode, folding in a given transaction), and
the fold of an aggregate with one kind of entity."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add, neg
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

from stream.record import Entry
from stream.store.contract import Cells, Entities, Key, Row, Transaction

Event = TypeVar("Event")
Measures = tuple[int, ...]
Counted = tuple[Cells, Key, Measures]
"""A cell in which an entity counts, and with how much."""
Projection = Sequence[Counted]
"""All cells in which an entity counts; the same cell may come twice."""


class Processor(Protocol[Event]):
    """Handles the records of one topic.

    An exception of `decode`, `apply` or `tick` that is neither Rejected nor a StoreError is our own
    failure. It never reaches another shop: the runner finds the record, or the shop, that causes
    it.
    """

    name: str
    """Names its positions; never changed once in use."""
    topic: str

    def decode(self, entry: Entry) -> Event | None:
        """The event in a record; None if it is ignored by policy. Raises Rejected: it is parked.

        Pure: the runner decodes the next batch in another thread during `apply`.
        """
        ...

    def apply(self, transaction: Transaction, events: Sequence[Event], now_ms: int) -> None:
        """Fold `events`, in order, and save: once per batch (up to 500), again after a rollback.

        The events are of several shops. If that raises, the runner calls it with the events of one
        shop at a time, each in a savepoint, and halves those of a failing shop until the bad record
        is found. So an instance must not remember anything of a call that was rolled back. May
        raise Rejected.
        """
        ...

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Time-driven changes without any record (an order leaves its window, a cart expires).

        Called about once a second, in its own transaction, with `shop` None: for every shop. If
        that raises, it is called shop by shop, and only the failing shop is skipped, reported, and
        retried with growing pauses.
        """
        ...


Tick = Callable[[Transaction, int, str | None], None]
"""As `Processor.tick`."""
NO_TICKS: Final[Mapping[str, Tick]] = MappingProxyType({})
"""The `ticks` of a processor that does not depend on time: it sleeps longer, and takes no lock."""


def ticks_of(processor: Processor[Any]) -> Mapping[str, Tick]:
    """The ticks of a processor by name, each with its own transactions and failures.

    A processor of several projections has an attribute `ticks`, one for each projection, and one
    that does not depend on time has `NO_TICKS`; any other has its `tick`.
    """
    ticks: Mapping[str, Tick] = getattr(processor, "ticks", {processor.name: processor.tick})
    return ticks


def in_shop(shop: str | None, column: str = "shop") -> tuple[str, dict[str, str]]:
    """Restricts a tick's statement to its shop: an SQL condition to append, and the parameter."""
    return ("", {}) if shop is None else (f" AND {column} = :of_shop", {"of_shop": shop})


SUMMED_AT_ONCE: Final = 64
"""Measures of a cell that wait to be summed, column by column: a third of the time of summing each
as it comes. Bounded, since a recount adds every order of a shop."""


class Deltas:
    """Differences of cells, summed over a batch before they are added."""

    def __init__(self) -> None:
        self._tables: defaultdict[Cells, defaultdict[Key, list[Measures]]] = defaultdict(
            lambda: defaultdict(list)
        )

    def add(self, projection: Projection) -> None:
        """Add an entity's cells."""
        tables = self._tables
        for cells, key, measures in projection:
            waiting = tables[cells][key]
            waiting.append(measures)
            if len(waiting) == SUMMED_AT_ONCE:
                waiting[:] = [_sum(waiting)]

    def take(self, projection: Projection) -> None:
        """Subtract an entity's cells."""
        tables = self._tables
        for cells, key, measures in projection:
            waiting = tables[cells][key]
            waiting.append(tuple(map(neg, measures)))
            if len(waiting) == SUMMED_AT_ONCE:
                waiting[:] = [_sum(waiting)]

    def move(self, old: Projection, new: Projection) -> None:
        """Add `new - old`."""
        if old != new:
            if old:
                self.take(old)
            if new:
                self.add(new)

    def of(self, cells: Cells) -> dict[Key, Measures]:
        """The differences of a table."""
        return {
            key: waiting[0] if len(waiting) == 1 else _sum(waiting)
            for key, waiting in self._tables[cells].items()
        }

    def save(self, transaction: Transaction) -> None:
        """Add the differences, table by table in the order of their names."""
        for cells in sorted(self._tables, key=lambda cells: cells.table):
            transaction.add(cells, self.of(cells))


def _sum(waiting: Sequence[Measures]) -> Measures:
    if len(waiting) == 2:  # Most cells, where a batch is of many shops: in half of the time.
        return tuple(map(add, *waiting))
    return tuple(map(sum, zip(*waiting, strict=True)))


def fold_entities(
    transaction: Transaction,
    entities: Entities[Row],
    events: Iterable[tuple[Key, Any]],
    fold: Callable[[Row | None, Any], Row],
    cells: Callable[[Row], Projection],
) -> None:
    """Load the entities of `events` (key, event), fold each in order, save those that changed and
    add `cells(new) - cells(old)`."""
    by_key: dict[Key, list[Any]] = {}
    for key, event in events:
        by_key.setdefault(key, []).append(event)
    before = transaction.load(entities, by_key)
    deltas, changed = Deltas(), []
    for key, its_events in by_key.items():
        old = before.get(key)
        new = old
        for event in its_events:
            new = fold(new, event)
        if new is not None and new != old:
            deltas.move(cells(old) if old is not None else (), cells(new))
            changed.append(new)
    transaction.save(entities, changed)
    deltas.save(transaction)
