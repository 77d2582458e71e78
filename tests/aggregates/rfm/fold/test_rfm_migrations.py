"""Migrations that fill cells anew: they count what the fold counts."""

from importlib import import_module

import pytest

from aggregates.rfm.fold.customer import BTYD_CELLS, RFM_CELLS
from stream.store.sql.store import SqlStore
from tests.aggregates.rfm.test_rfm_answer import events, simulated
from tests.support.api.api_client import TODAY, fold
from tests.support.shops.folding import rfm_orders
from tests.support.shops.rfm_store import nonzero

purchase_days = import_module("stream.store.migrations.versions.0014_rfm_purchase_days")
newcomers = import_module("stream.store.migrations.versions.0032_rfm_newcomers")


def test_purchase_days_are_those_of_the_fold(store: SqlStore) -> None:
    orders = simulated(6, customers=300, orders=1_500)
    fold(store, events(orders), TODAY, rfm_orders({}, exact_below=1))
    folded = nonzero(store, BTYD_CELLS)
    assert any(measures[2] for measures in folded.values())
    with store.begin() as transaction:
        transaction.execute("DELETE FROM rfm_btyd_cell")
        transaction.execute(purchase_days.REFILL)
    assert nonzero(store, BTYD_CELLS) == folded


@pytest.mark.parametrize("exact_below", [1, 50_000])
def test_newcomers_are_those_of_the_fold(store: SqlStore, exact_below: int) -> None:
    orders = simulated(7, customers=300, orders=1_500)
    fold(store, events(orders), TODAY, rfm_orders({}, exact_below=exact_below))
    folded = nonzero(store, RFM_CELLS)
    assert {newcomer for _, _, _, newcomer, _ in folded} == {0, 1}
    before = "shop, last_day, orders, monetary"
    with store.begin() as transaction:
        transaction.execute(
            f"CREATE TABLE rfm_cell_before AS SELECT {before}, SUM(customers) AS customers"
            f" FROM rfm_cell GROUP BY {before}"
        )
        transaction.execute("DELETE FROM rfm_cell")
        transaction.execute(newcomers.REFILL)
        transaction.execute("DROP TABLE rfm_cell_before")
    assert nonzero(store, RFM_CELLS) == folded
