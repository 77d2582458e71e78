"""Cells that have become zero go, whichever aggregate they are of, and nothing else does."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from aggregates.manifest import FoldSettings
from aggregates.registry import AGGREGATES, of_table, projections
from orderwire.serve.upkeep.sweeping import keep_swept, sweep
from processors.orders.processor import OrdersProcessor
from processors.orders.row import ORDERS
from simulator.proof.sums import cells_differ
from stream.store.contract import Cells, Store
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, order

NOW_MS = (DAY0 + 40) * 86_400_000
PROJECTIONS = projections(FoldSettings())


def zeros(store: Store) -> Mapping[str, int]:
    """How many cells are all zero, by table, where there are any."""
    found = {}
    with store.snapshot() as snapshot:
        for cells in [cells for each in AGGREGATES for cells in each.cells]:
            none = " AND ".join(f"{measure} = 0" for measure in cells.measures)
            found[cells.table] = snapshot.query(f"SELECT count(*) FROM {cells.table} WHERE {none}")[
                0
            ][0]
    return {table: count for table, count in found.items() if count}


def fold(store: Store, *orders: Any) -> None:
    processor = OrdersProcessor({}, of_table(PROJECTIONS, ORDERS.table))
    with store.begin() as transaction:
        processor.apply(transaction, list(orders), NOW_MS)


def moved(store: Store, customer: str = "1") -> None:
    """A customer with two orders has left the cells of one order."""
    fold(store, order(f"first-{customer}", customer=customer, day=DAY0))
    fold(store, order(f"second-{customer}", customer=customer, day=DAY0 + 20))


def test_cells_that_customers_have_left_go_and_every_sum_stays(store: SqlStore) -> None:
    moved(store)
    assert set(zeros(store)) >= {"rfm_cell", "rfm_btyd_cell", "rfm_last_day_cell"}
    assert sweep(store, PROJECTIONS.values()) >= 3
    assert zeros(store) == {}
    with store.snapshot() as snapshot:
        assert cells_differ(snapshot) == []
    assert sweep(store, PROJECTIONS.values()) == 0


def test_every_table_of_cells_of_every_aggregate_is_swept() -> None:
    swept = {table for each in PROJECTIONS.values() for table in each.tables}
    assert {cells for each in AGGREGATES for cells in each.cells} <= {
        table for table in swept if isinstance(table, Cells)
    }


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_it_sweeps_within_the_hour_again_and_again(store: SqlStore) -> None:
    left = []

    async def sleep(seconds: float) -> None:
        assert seconds <= 3600
        left.append(sum(zeros(store).values()))
        if len(left) == 3:
            raise asyncio.CancelledError
        moved(store, f"{len(left)}")

    with pytest.raises(asyncio.CancelledError):
        await keep_swept(store, PROJECTIONS.values(), sleep)
    assert left == [0, 0, 0]
