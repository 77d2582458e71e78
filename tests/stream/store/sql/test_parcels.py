"""Writes to PostgreSQL that wait for others to travel with."""

from collections.abc import Iterator

import psycopg
import pytest

from processors.orders.row import ORDERS, blank
from stream.store.contract import Conflict, Fenced, Move, Unstorable
from stream.store.sql.parcels import MOST_BYTES, MOST_PREPARED, OFTEN
from stream.store.sql.store import SqlStore
from tests.contracts.store import CELL, CELLS, cells

KEY = ("a", "1")


@pytest.fixture
def postgres_store(own_postgres_url: str) -> Iterator[SqlStore]:
    store = SqlStore.open(own_postgres_url)
    yield store
    store.close()


@pytest.fixture
def beside(own_postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(own_postgres_url, autocommit=True) as connection:
        yield connection


def test_a_write_is_sent_with_the_commit(
    postgres_store: SqlStore, beside: psycopg.Connection
) -> None:
    with postgres_store.begin() as transaction:
        transaction.add(CELLS, {CELL: (1, 1, 1)})
    with postgres_store.begin() as transaction:
        transaction.load(ORDERS, [KEY])
        transaction.add(CELLS, {CELL: (1, 1, 1)})
        transaction.load(ORDERS, [KEY])
        beside.execute("SELECT 1 FROM rfm_cell FOR UPDATE NOWAIT")
    assert cells(postgres_store) == {CELL: (2, 2, 2)}


def test_a_write_is_sent_before_a_read_of_its_table(
    postgres_store: SqlStore, beside: psycopg.Connection
) -> None:
    with postgres_store.begin() as transaction:
        transaction.add(CELLS, {CELL: (1, 1, 1)})
        assert transaction.query("SELECT customers FROM rfm_cell") == [(1,)]
        transaction.add(CELLS, {CELL: (1, 1, 1)})
        transaction.load(ORDERS, [KEY])
        transaction.save(ORDERS, [blank(*KEY)])
        assert transaction.load(ORDERS, [KEY]) == {KEY: blank(*KEY)}
        assert beside.execute("SELECT 1 FROM shop_order").fetchall() == []
    assert cells(postgres_store) == {CELL: (2, 2, 2)}


def test_nothing_is_committed_with_a_write_that_fails_at_the_commit(
    postgres_store: SqlStore,
) -> None:
    most = (1 << 63) - 1
    with postgres_store.begin() as transaction:
        transaction.add(CELLS, {CELL: (most, 0, 0)})
    with pytest.raises(Unstorable), postgres_store.begin() as transaction:
        transaction.load(ORDERS, [KEY])
        transaction.save(ORDERS, [blank(*KEY)])
        transaction.add(CELLS, {CELL: (1, 0, 0)})
    with pytest.raises(Conflict), postgres_store.begin() as transaction:
        transaction.load(ORDERS, [KEY])
        with postgres_store.begin() as rival:
            rival.save(ORDERS, [blank(*KEY)])
        transaction.save(ORDERS, [blank(*KEY)])
        transaction.add(CELLS, {CELL: (-1, 0, 0)})
    assert cells(postgres_store) == {CELL: (most, 0, 0)}


def test_a_position_is_checked_before_the_commit_also_where_nothing_is_read(
    postgres_store: SqlStore,
) -> None:
    with postgres_store.begin() as transaction:
        transaction.advance("p", "orders", {0: Move(None, 5, 5)}, 1)
    with pytest.raises(Fenced), postgres_store.begin() as transaction:
        transaction.advance("p", "orders", {0: Move(4, 8, 4)}, 1)
        transaction.add(CELLS, {CELL: (1, 1, 1)})
    assert cells(postgres_store) == {}


def test_statements_are_carried_out_after_rollbacks_as_before(postgres_store: SqlStore) -> None:
    for number in range(8):
        with postgres_store.begin() as transaction:
            transaction.add(CELLS, {CELL: (1, 0, 0)})
            with pytest.raises(KeyError), transaction.savepoint():
                transaction.add(CELLS, {CELL: (1, 0, 0)})
                raise KeyError
            transaction.add(CELLS, {CELL: (0, 1, 0)})
        with pytest.raises(KeyError), postgres_store.begin() as transaction:
            transaction.add(CELLS, {CELL: (1, 0, 0)})
            raise KeyError
        assert cells(postgres_store) == {CELL: (number + 1, number + 1, 0)}


def test_more_than_a_parcel_holds_is_written_in_order(postgres_store: SqlStore) -> None:
    long = "x" * (MOST_BYTES // 3)
    with postgres_store.begin() as transaction:
        for number in range(7):
            transaction.save(ORDERS, [blank(*KEY)._replace(landing=f"{number}{long}")])
        transaction.save(ORDERS, [blank("a", "2")._replace(landing=2 * MOST_BYTES * "y")])
        transaction.save(ORDERS, [blank("a", "2")._replace(landing="short")])
    with postgres_store.begin() as transaction:
        found = transaction.load(ORDERS, [KEY, ("a", "2")])
    assert [row.landing for row in found.values()] == [f"6{long}", "short"]


def test_a_read_takes_and_gives_values_as_the_driver_does(postgres_store: SqlStore) -> None:
    sql = (
        "SELECT :text AS text, :small + :large AS number, :nothing::text AS nothing,"
        " :bytes::bytea AS bytes, '50%' AS share, :text || '%' AS again"
    )
    values = {"text": "é'\\", "small": 1, "large": 1 << 40, "nothing": None, "bytes": b"\0\xff"}
    for _ in range(OFTEN + 1):
        with postgres_store.begin() as transaction:
            (row,) = transaction.query(sql, **values)
            assert row == ("é'\\", (1 << 40) + 1, None, b"\0\xff", "50%", "é'\\%")
            assert row.share == "50%"
            with pytest.raises(Unstorable), transaction.savepoint():
                transaction.query("SELECT :text::text", text="\0")


def test_a_read_that_fails_is_undone_with_its_savepoint(postgres_store: SqlStore) -> None:
    for _ in range(OFTEN + 1):
        with postgres_store.begin() as transaction:
            transaction.add(CELLS, {CELL: (1, 0, 0)})
            with pytest.raises(Unstorable), transaction.savepoint():
                transaction.query("SELECT :n::int", n=1 << 40)
            assert transaction.query("SELECT :n::int AS n", n=7) == [(7,)]
    assert cells(postgres_store) == {CELL: (OFTEN + 1, 0, 0)}


def test_a_connection_keeps_a_bounded_number_of_prepared_statements(
    postgres_store: SqlStore,
) -> None:
    for number in range(MOST_PREPARED + 20):
        with postgres_store.begin() as transaction:
            for _ in range(OFTEN):
                transaction.query(f"SELECT :n + {number}", n=1)
    with postgres_store.begin() as transaction:
        prepared = transaction.query("SELECT count(*) FROM pg_prepared_statements")[0][0]
    assert 0 < prepared < MOST_PREPARED


def test_a_batch_finds_its_rows_by_their_keys_in_a_table_without_statistics(
    postgres_store: SqlStore,
) -> None:
    for number in range(3 * OFTEN):  # Plans are made while the table is small, and kept.
        with postgres_store.begin() as transaction:
            keys = [("a", str(100 * number + each)) for each in range(100)]
            transaction.load(ORDERS, keys[:3])
            transaction.save(ORDERS, [blank(*key) for key in keys])
    with postgres_store.begin() as transaction:
        transaction.query("SELECT pg_stat_force_next_flush()")
    with postgres_store.snapshot() as snapshot:
        read = snapshot.query(
            "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'shop_order'"
        )
    assert read == [(0,)]
