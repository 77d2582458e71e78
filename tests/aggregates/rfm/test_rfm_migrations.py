"""Migrations that fill cells anew: they count what the fold counts."""

from importlib import import_module

from aggregates.rfm.fold.customer import BTYD_CELLS
from stream.store.sql.store import SqlStore
from tests.aggregates.rfm.test_rfm_answer import events, simulated
from tests.aggregates.rfm.test_rfm_fold import nonzero
from tests.support.api_client import TODAY, fold
from tests.support.folding import rfm_orders

purchase_days = import_module("stream.store.migrations.versions.0014_rfm_purchase_days")


def test_purchase_days_are_those_of_the_fold(store: SqlStore) -> None:
    orders = simulated(6, customers=300, orders=1_500)
    fold(store, events(orders), TODAY, rfm_orders({}, exact_below=1))
    folded = nonzero(store, BTYD_CELLS)
    assert any(measures[2] for measures in folded.values())
    with store.begin() as transaction:
        transaction.execute("DELETE FROM rfm_btyd_cell")
        transaction.execute(purchase_days.REFILL)
    assert nonzero(store, BTYD_CELLS) == folded
