"""The store against itself and against its log: `aggregate == sum(cells(entity))`, and a fold of the whole log from nothing.

Each check answers with the differences that it found, in words without keys (a key may name a customer); an empty list is what should come.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from processors import budget, cart_cells, cart_link, cart_state, parking, rfm, rfm_customer, rfm_shop
from processors.capi import rows as outbox
from processors.processor import Deltas, Processor
from processors.tolerance import Rejected
from stream.record import Entry
from stream.sql_store import SqlStore
from stream.store import Cells, Entities, Key, Reading, Store

Differences = list[str]
BATCH = 500

ENTITIES = (
    "rfm_shop",
    "rfm_order",
    "rfm_customer_day",
    "rfm_customer",
    "budget_order",
    "budget_spend",
    "cart_checkout",
    "cart_link",
    "contact",
    "parked",
)
"""Tables that are nothing but the fold of the log. The outbox is not among them: it also keeps what became of each request."""
RFM_TABLES = (rfm_customer.RFM_CELLS, rfm_customer.LAST_DAY_CELLS, rfm_customer.BTYD_CELLS, rfm_customer.SPEND_CELLS, rfm.LEFT_OUT_CELLS)
CART_TABLES = (cart_cells.OPEN, cart_cells.CLOSED_CARTS, cart_cells.SPELLS, cart_cells.COHORTS, cart_link.BEGUN)
CELLS = (*RFM_TABLES, *CART_TABLES, budget.CELLS, parking.PARKED_CELLS)


def cells_differ(reading: Reading) -> Differences:
    """`aggregate == sum(cells(entity) for every entity)`, table by table."""
    deltas = _Sums()
    shops = {shop.shop: shop for shop in _rows(reading, rfm_shop.SHOPS)}
    for customer in _rows(reading, rfm_customer.CUSTOMERS):
        deltas.add(rfm_customer.cells(customer, exact=bool(shops[customer.shop].exact)))
    for order in _rows(reading, rfm.ORDERS):
        deltas.add(rfm.left_out(order.shop, rfm.contribution(order, shops[order.shop])))
    for order in _rows(reading, budget.ORDERS):
        deltas.add(budget.order_cells(order))
    for report in _rows(reading, budget.SPEND):
        deltas.add(budget.spend_cells(report))
    for checkout in _rows(reading, cart_state.CHECKOUTS):
        deltas.add(cart_cells.cells(checkout))
    for link in _rows(reading, cart_link.LINKS):
        deltas.add(cart_link.begun(link))
    for row in _rows(reading, parking.PARKED):
        deltas.add(parking.cells(row))
    for event in _rows(reading, outbox.OUTBOX):
        deltas.add(outbox.cells(event))
    told: Differences = []
    for table in (*CELLS, outbox.CELLS):
        told += unequal(table.table, _nonzero(_cells(reading, table)), _nonzero(deltas.of(table)), "the sum over its entities")
    return told


def fold(entries: Iterable[Entry], processors: Sequence[Processor[Any]], store: Store, now_ms: int) -> None:
    """Fold the log from nothing into an empty store, one processor after the other, without a runner; then what time does."""
    by_topic: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_topic[entry.record.topic].append(entry)
    for processor in processors:
        events = []
        for entry in by_topic[processor.topic]:
            try:
                event = processor.decode(entry)
            except Rejected:
                continue
            if event is not None:
                events.append(event)
        for start in range(0, len(events), BATCH):
            with store.begin() as transaction:
                processor.apply(transaction, events[start : start + BATCH], now_ms)
    for processor in processors:
        with store.begin() as transaction:
            processor.tick(transaction, now_ms)


def stores_differ(reading: Reading, other: Reading) -> Differences:
    """Two stores hold the same entities and cells."""
    told = []
    for table in ENTITIES:
        mine, others = (Counter(tuple(row) for row in one.query(f"SELECT * FROM {table}")) for one in (reading, other))
        told += unequal(table, mine, others, "a fold of the log from nothing")
    for cells in CELLS:
        told += unequal(cells.table, _nonzero(_cells(reading, cells)), _nonzero(_cells(other, cells)), "a fold of the log from nothing")
    return told


def refolded(entries: Iterable[Entry], processors: Sequence[Processor[Any]], reading: Reading, folder: Path, now_ms: int) -> Differences:
    """The store equals a fold of the log from nothing, made in a new file in `folder`. Blocks."""
    again = SqlStore.open(f"sqlite:///{folder / 'again.db'}")
    try:
        fold(entries, processors, again, now_ms)
        with again.snapshot() as other:
            return stores_differ(reading, other)
    finally:
        again.close()
        for suffix in ("", "-wal", "-shm"):
            (folder / f"again.db{suffix}").unlink(missing_ok=True)


def unequal(name: str, found: Mapping[Any, Any], expected: Mapping[Any, Any], by: str) -> Differences:
    """Where two mappings differ."""
    differing = [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
    if not differing:
        return []
    missing, surplus = len(expected.keys() - found.keys()), len(found.keys() - expected.keys())
    return [f"{name}: {len(differing)} rows are not those of {by} ({missing} missing, {surplus} too many)"]


class _Sums(Deltas):
    """Cells summed from nothing."""

    def of(self, cells: Cells) -> Mapping[Key, Sequence[int]]:
        return self._tables.get(cells, {})


def _rows(reading: Reading, entities: Entities[Any]) -> list[Any]:
    fields = entities.row._fields
    return [entities.row._make(row) for row in reading.query(f"SELECT {', '.join(fields)} FROM {entities.table}")]


def _cells(reading: Reading, cells: Cells) -> dict[Key, Sequence[int]]:
    size = len(cells.key)
    return {
        tuple(row[:size]): tuple(row[size:])
        for row in reading.query(f"SELECT {', '.join((*cells.key, *cells.measures))} FROM {cells.table}")
    }


def _nonzero(cells: Mapping[Key, Sequence[int]]) -> dict[Key, tuple[int, ...]]:
    return {key: tuple(measures) for key, measures in cells.items() if any(measures)}
