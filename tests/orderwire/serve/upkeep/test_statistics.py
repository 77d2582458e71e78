"""PostgreSQL knows how many rows a table has soon after they came."""

from collections.abc import Iterator

import pytest

from orderwire.serve.upkeep.statistics import GROWTH, LEAST, gather
from processors.orders.row import ORDERS, blank
from stream.store.sql.store import SqlStore


@pytest.fixture
def postgres_store(own_postgres_url: str) -> Iterator[SqlStore]:
    store = SqlStore.open(own_postgres_url)
    yield store
    store.close()


def write(store: SqlStore, orders: range) -> None:
    with store.begin() as transaction:
        transaction.save(ORDERS, [blank("a", str(number)) for number in orders])
    with store.begin() as transaction:
        transaction.query("SELECT pg_stat_force_next_flush()")


def test_a_table_is_analysed_once_it_has_outgrown_its_statistics(postgres_store: SqlStore) -> None:
    write(postgres_store, range(LEAST - 1))
    assert gather(postgres_store) == []
    write(postgres_store, range(LEAST - 1, LEAST))
    assert gather(postgres_store) == ["shop_order"]
    assert gather(postgres_store) == []
    for _ in range(GROWTH + 1):  # Updates are no growth.
        write(postgres_store, range(LEAST))
    assert gather(postgres_store) == []
    write(postgres_store, range(LEAST, GROWTH * LEAST - 1))
    assert gather(postgres_store) == []
    write(postgres_store, range(GROWTH * LEAST - 1, GROWTH * LEAST))
    assert gather(postgres_store) == ["shop_order"]
    with postgres_store.snapshot() as snapshot:
        rows = snapshot.query("SELECT reltuples FROM pg_class WHERE relname = 'shop_order'")
    assert rows == [(GROWTH * LEAST,)]
