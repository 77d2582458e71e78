"""What a processor is: a name, a topic, a pure decode, and an `apply` that loads, folds and saves within the transaction given to it.

`fold_entities` is the whole of `apply` for an aggregate of one kind of entity: load, fold, add `cells(new) - cells(old)`, save.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import add, neg, sub
from typing import Any, Protocol, TypeVar

from stream.record import Entry
from stream.store import Cells, Entities, Key, Row, Transaction

Event = TypeVar("Event")
Projection = Mapping[Cells, Mapping[Key, Sequence[int]]]
"""In which cells an entity counts, and with how much."""


class Processor(Protocol[Event]):
    """What happens to the records of one topic."""

    name: str
    """Names its positions; never changed once in use."""
    topic: str

    def decode(self, entry: Entry) -> Event | None:
        """The event in a record; None where policy ignores it. Pure. Raises Rejected, and the runner parks the record."""
        ...

    def apply(self, transaction: Transaction, events: Sequence[Event], now_ms: int) -> None:
        """Fold `events`, in order, and save: once per batch (up to 500), again after a roll-back.

        May raise Rejected: the runner halves a batch that fails until the bad record is alone, and parks it.
        """
        ...

    def tick(self, transaction: Transaction, now_ms: int) -> None:
        """What time alone changes (an order leaves its window, a cart expires). Called about once a second, in its own transaction."""
        ...


class Deltas:
    """Differences of cells, summed over a batch before they are added."""

    def __init__(self) -> None:
        self._cells: dict[Cells, dict[Key, Sequence[int]]] = {}

    def count(self, cells: Cells, key: Key, measures: Sequence[int], sign: int) -> None:
        """Add `measures` (sign +1) or take them away (-1)."""
        table = self._cells.get(cells)
        if table is None:
            table = self._cells[cells] = {}
        total = table.get(key)
        if total is not None:
            table[key] = tuple(map(add if sign > 0 else sub, total, measures))
        else:
            table[key] = measures if sign > 0 else tuple(map(neg, measures))

    def move(self, old: Projection, new: Projection) -> None:
        """Add `new - old`."""
        if old == new:
            return
        for projection, sign in ((old, -1), (new, 1)):
            for cells, counted in projection.items():
                for key, measures in counted.items():
                    self.count(cells, key, measures, sign)

    def save(self, transaction: Transaction) -> None:
        """Add what differs, table by table in the order of their names."""
        for cells in sorted(self._cells, key=lambda cells: cells.table):
            transaction.add(cells, self._cells[cells])


def fold_entities(
    transaction: Transaction,
    entities: Entities[Row],
    events: Iterable[tuple[Key, Any]],
    fold: Callable[[Row | None, Any], Row],
    cells: Callable[[Row], Projection],
) -> None:
    """Load the entities that `events` (key, event) name, fold each in order, save those that changed and the difference of their cells."""
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
            deltas.move(cells(old) if old is not None else {}, cells(new))
            changed.append(new)
    transaction.save(entities, changed)
    deltas.save(transaction)
