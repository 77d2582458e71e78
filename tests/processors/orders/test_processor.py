"""Which changes of orders reach the projections."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from processors.engine.projection import Change, Projection, Scope, Source
from processors.orders.processor import OrdersProcessor
from processors.orders.row import ORDERS, OrderRow
from processors.shopify.orders import OrderDeleted, OrderEvent
from stream.store.contract import Transaction
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated
from tests.support.shopify.orders import SHOP, order

NOW_MS = 1_800_000_000_000


class Orders:
    """A processor of orders with one projection, which keeps the changes that it is given."""

    def __init__(self, store: SqlStore) -> None:
        source = Source(ORDERS, self._keep, lambda reading, scope: ())
        self._store, self._processor = (
            store,
            OrdersProcessor({}, [Projection("x", 1, (source,), ())]),
        )
        self.seen: list[Change[Any]] = []

    def _keep(
        self, transaction: Transaction, work: Mapping[Scope, Sequence[Change[Any]]], now_ms: int
    ) -> None:
        self.seen.extend(change for changes in work.values() for change in changes)

    def fold(self, event: OrderEvent) -> OrderRow:
        """The order's row after the event."""
        with self._store.begin() as transaction:
            self._processor.apply(transaction, [event], NOW_MS)
        with self._store.snapshot() as snapshot:
            columns = ", ".join(OrderRow._fields)
            return OrderRow._make(snapshot.query(f"SELECT {columns} FROM shop_order")[0])


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[Orders]:
    store = SqlStore.open(write_migrated(tmp_path / "state.db"))
    yield Orders(store)
    store.close()


def test_a_delivery_that_changes_only_the_version_is_kept_and_reaches_no_projection(
    orders: Orders,
) -> None:
    first = orders.fold(order("1", version=1))
    again = orders.fold(order("1", version=2))
    assert (first.updated_us, again.updated_us) == (1, 2)
    assert orders.seen == [Change(None, first)]
    returned = orders.fold(order("1", version=3, current=500))
    assert orders.seen[1:] == [Change(again, returned)]


def test_the_first_snapshot_of_a_deleted_order_reaches_the_projections(orders: Orders) -> None:
    deleted = orders.fold(OrderDeleted(shop=SHOP, order_id="1"))
    snapshot = orders.fold(order("1", version=1))
    assert orders.seen == [Change(None, deleted), Change(deleted, snapshot)]
