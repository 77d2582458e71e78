"""Checks the store against itself (`aggregate == sum(cells(entity))`) and against a fold of its
whole log.

Each check returns the differences in words without keys (a key may name a customer); an empty list
is right. Projections and folds are the processors' own: what is checked is the incremental path.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import add
from pathlib import Path
from typing import Any

from aggregates.manifest import FoldSettings
from aggregates.registry import AGGREGATES, projections
from destinations.delivery import rows as outbox
from destinations.meta import contacts
from processors.checkouts.link import LINKS
from processors.checkouts.row import CHECKOUTS
from processors.engine import parking
from processors.engine.processor import Counted, Processor
from processors.engine.projection import scopes_of, shop_of
from processors.orders import currency
from processors.orders.aliases import ALIASES
from processors.orders.row import ORDERS
from processors.orders.shop import SHOPS
from processors.shopify.tolerance import Rejected
from stream.record import Entry
from stream.store.contract import Cells, Entities, Key, Reading, Store
from stream.store.sql.store import SqlStore

Differences = list[str]
BATCH = 500

ENTITIES: tuple[Entities[Any], ...] = (
    *(SHOPS, ORDERS, ALIASES, CHECKOUTS, LINKS),
    *(entities for manifest in AGGREGATES for entities in manifest.entities),
    *(contacts.CONTACTS, parking.PARKED),
)
"""Tables that depend on the log only. The outbox does not: it also keeps the results of
requests."""
CELLS: tuple[Cells, ...] = (
    currency.CELLS,
    *(cells for manifest in AGGREGATES for cells in manifest.cells),
    parking.PARKED_CELLS,
)


def cells_differ(reading: Reading) -> Differences:
    """`aggregate == sum(cells(entity) for every entity)`, table by table."""
    sums: defaultdict[Cells, dict[Key, tuple[int, ...]]] = defaultdict(dict)
    for cells, key, measures in _counted(reading):
        before = sums[cells].get(key)
        sums[cells][key] = measures if before is None else tuple(map(add, before, measures))
    differences: Differences = []
    for table in (*CELLS, outbox.CELLS, outbox.DAY_CELLS):
        differences += unequal(
            table.table,
            _nonzero(_cells(reading, table)),
            _nonzero(sums[table]),
            "the sum over its entities",
        )
    return differences


def _counted(reading: Reading) -> Iterator[Counted]:
    """The cells of every entity, with its measures."""
    for projection in projections(FoldSettings()).values():
        for scope in scopes_of(reading, projection.name, projection.version):
            for source in projection.sources:
                yield from source.expected(reading, scope)
    for row in _rows(reading, parking.PARKED):
        yield from parking.cells(row)
    for event in _rows(reading, outbox.OUTBOX):
        yield from outbox.counted(event)


def fold(
    entries: Sequence[Entry], processors: Sequence[Processor[Any]], store: Store, now_ms: int
) -> set[str]:
    """Fold the log into an empty store, one processor after the other, as the runner does; then run
    the ticks.

    Returns the ids under which rejected records are parked.
    """
    rejected: set[str] = set()
    for processor in processors:
        rejected |= _folded(entries, processor, store, now_ms)
    for processor in processors:
        with store.begin() as transaction:
            processor.tick(transaction, now_ms)
    return rejected


def _folded(
    entries: Iterable[Entry], processor: Processor[Any], store: Store, now_ms: int
) -> set[str]:
    decoded: list[tuple[Entry, Any]] = []
    rejected: set[str] = set()

    def settle(batch: Sequence[tuple[Entry, Any]]) -> None:
        try:
            with store.begin() as transaction:
                processor.apply(transaction, [event for _, event in batch], now_ms)
        except Rejected:
            if len(batch) == 1:
                rejected.add(_parked_id(batch[0][0]))
                return
            settle(batch[: len(batch) // 2])
            settle(batch[len(batch) // 2 :])

    for entry in entries:
        if entry.record.topic == processor.topic:
            try:
                event = processor.decode(entry)
            except Rejected:
                rejected.add(_parked_id(entry))
                continue
            if event is not None:
                decoded.append((entry, event))
    for start in range(0, len(decoded), BATCH):
        settle(decoded[start : start + BATCH])
    return rejected


def _parked_id(entry: Entry) -> str:
    return entry.record.headers.get("parked_id", entry.place)


def _plain(row: Any) -> Any:
    """A row whose first column, the shop, has no generation."""
    return row._replace(shop=shop_of(row.shop))


def _live(cells: Mapping[Key, Sequence[int]]) -> dict[Key, Sequence[int]]:
    return {(shop_of(str(key[0])), *key[1:]): measures for key, measures in cells.items()}


def stores_differ(reading: Reading, other: Reading) -> Differences:
    """Differences of entities and cells between two stores."""
    differences = []
    for entities in ENTITIES:
        mine, others = (
            {row[: entities.key]: row for row in map(_plain, _rows(one, entities))}
            for one in (reading, other)
        )
        differences += unequal(entities.table, mine, others, "a fold of the log from nothing")
    for cells in CELLS:
        differences += unequal(
            cells.table,
            _nonzero(_live(_cells(reading, cells))),
            _nonzero(_live(_cells(other, cells))),
            "a fold of the log from nothing",
        )
    return differences


def refolded(
    entries: Sequence[Entry],
    processors: Sequence[Processor[Any]],
    reading: Reading,
    folder: Path,
    now_ms: int,
) -> Differences:
    """Differences from a fold of the log into a new file in `folder`. Blocks."""
    again = SqlStore.open(f"sqlite:///{folder / 'again.db'}")
    try:
        fold(entries, processors, again, now_ms)
        with again.snapshot() as other:
            return stores_differ(reading, other)
    finally:
        again.close()
        for suffix in ("", "-wal", "-shm"):
            (folder / f"again.db{suffix}").unlink(missing_ok=True)


def unequal(
    name: str, found: Mapping[Any, Any], expected: Mapping[Any, Any], by: str
) -> Differences:
    """Differences of two mappings."""
    differing = [
        key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)
    ]
    if not differing:
        return []
    missing, surplus = len(expected.keys() - found.keys()), len(found.keys() - expected.keys())
    return [
        (
            f"{name}: {len(differing)} rows are not those of {by} ({missing} missing, {surplus} "
            "too many)"
        )
    ]


def _rows(reading: Reading, entities: Entities[Any]) -> list[Any]:
    fields = entities.row._fields
    return [
        entities.row._make(row)
        for row in reading.query(f"SELECT {', '.join(fields)} FROM {entities.table}")
    ]


def _cells(reading: Reading, cells: Cells) -> dict[Key, Sequence[int]]:
    size = len(cells.key)
    return {
        tuple(row[:size]): tuple(row[size:])
        for row in reading.query(
            f"SELECT {', '.join((*cells.key, *cells.measures))} FROM {cells.table}"
        )
    }


def _nonzero(cells: Mapping[Key, Sequence[int]]) -> dict[Key, tuple[int, ...]]:
    return {key: tuple(measures) for key, measures in cells.items() if any(measures)}
