"""The contract of a processor (a name, a topic, a pure decode, folding in a given transaction), and
the fold of an aggregate with one kind of entity."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add, neg, sub
from typing import Any, Protocol, TypeVar

from stream.record import Entry
from stream.store.contract import Cells, Entities, Key, Row, Transaction

Event = TypeVar("Event")
Counted = tuple[Cells, Key, tuple[int, ...]]
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


def ticks_of(processor: Processor[Any]) -> Mapping[str, Tick]:
    """The ticks of a processor by name, each with its own transactions and failures.

    A processor of several projections has an attribute `ticks`, one for each projection; any other
    has its `tick`.
    """
    ticks: Mapping[str, Tick] = getattr(processor, "ticks", {processor.name: processor.tick})
    return ticks


def in_shop(shop: str | None, column: str = "shop") -> tuple[str, dict[str, str]]:
    """Restricts a tick's statement to its shop: an SQL condition to append, and the parameter."""
    return ("", {}) if shop is None else (f" AND {column} = :of_shop", {"of_shop": shop})


class Deltas:
    """Differences of cells, summed over a batch before they are added."""

    def __init__(self) -> None:
        self._tables: defaultdict[Cells, dict[Key, tuple[int, ...]]] = defaultdict(dict)

    def add(self, projection: Projection) -> None:
        """Add an entity's cells."""
        for cells, key, measures in projection:
            table = self._tables[cells]
            total = table.get(key)
            table[key] = measures if total is None else tuple(map(add, total, measures))

    def take(self, projection: Projection) -> None:
        """Subtract an entity's cells."""
        for cells, key, measures in projection:
            table = self._tables[cells]
            total = table.get(key)
            table[key] = (
                tuple(map(neg, measures)) if total is None else tuple(map(sub, total, measures))
            )

    def move(self, old: Projection, new: Projection) -> None:
        """Add `new - old`."""
        if (old or new) and old != new:
            self.take(old)
            self.add(new)

    def save(self, transaction: Transaction) -> None:
        """Add the differences, table by table in the order of their names."""
        for cells in sorted(self._tables, key=lambda cells: cells.table):
            transaction.add(cells, self._tables[cells])


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
