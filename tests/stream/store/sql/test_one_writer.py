"""A SQLite store's writer after blocks that raise and statements that fail."""

import sqlite3
from pathlib import Path

import pytest

from stream.store.contract import Move, Position, StoreBroken, StoreUnavailable
from stream.store.sql import one_writer
from stream.store.sql.one_writer import CACHE_KIB, LARGE_CACHE_KIB, LARGE_ROWS
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    return SqlStore.open(write_migrated(tmp_path / "state.db"))


def positions(store: SqlStore) -> list[Position]:
    with store.snapshot() as snapshot:
        return snapshot.positions()


def test_a_block_that_raises_leaves_nothing_and_the_next_one_writes(store: SqlStore) -> None:
    with pytest.raises(KeyError), store.begin() as transaction:
        transaction.advance("one", "orders", {0: Move(None, 1, 1)}, 0)
        raise KeyError
    assert positions(store) == []
    with store.begin() as transaction:
        transaction.advance("two", "orders", {0: Move(None, 1, 1)}, 0)
    assert [each.processor for each in positions(store)] == ["two"]


def test_a_statement_that_fails_rolls_back_and_the_next_transaction_writes(store: SqlStore) -> None:
    with pytest.raises(StoreBroken), store.begin() as transaction:
        transaction.advance("one", "orders", {0: Move(None, 1, 1)}, 0)
        transaction.execute("UPDATE nowhere SET n = 1")
    with store.begin() as transaction:
        transaction.advance("two", "orders", {0: Move(None, 1, 1)}, 0)
    assert [each.processor for each in positions(store)] == ["two"]


def test_a_savepoint_within_another_rolls_back_only_itself(store: SqlStore) -> None:
    with store.begin() as transaction, transaction.savepoint():
        transaction.advance("outer", "orders", {0: Move(None, 1, 1)}, 0)
        with pytest.raises(KeyError), transaction.savepoint():
            transaction.advance("inner", "orders", {0: Move(None, 1, 1)}, 0)
            raise KeyError
        transaction.advance("after", "orders", {0: Move(None, 1, 1)}, 0)
    assert [each.processor for each in positions(store)] == ["after", "outer"]


def test_what_is_deleted_is_overwritten_after_a_reconnect_too(store: SqlStore) -> None:
    with pytest.raises(StoreBroken), store.begin() as transaction:
        transaction.execute("UPDATE nowhere SET n = 1")
    with store.begin() as transaction:
        assert transaction.query("PRAGMA secure_delete")[0][0] == 1


def test_its_cache_is_large_from_a_large_transaction_until_a_small_one_some_time_later(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cache_kib(rows: int) -> int:
        with store.begin() as transaction:
            size = -int(transaction.query("PRAGMA cache_size")[0][0])
            for _ in range(rows):
                transaction.execute("UPDATE revisions SET n = n + 1")
        return size

    assert [cache_kib(LARGE_ROWS), cache_kib(1)] == [CACHE_KIB, LARGE_CACHE_KIB]
    assert cache_kib(LARGE_ROWS) == LARGE_CACHE_KIB
    monkeypatch.setattr(one_writer, "LARGE_FOR_S", -1.0)
    assert [cache_kib(LARGE_ROWS), cache_kib(1)] == [LARGE_CACHE_KIB, LARGE_CACHE_KIB]
    assert [cache_kib(LARGE_ROWS), cache_kib(1)] == [CACHE_KIB, LARGE_CACHE_KIB]


def test_it_writes_again_after_a_lock_of_another_process(tmp_path: Path, store: SqlStore) -> None:
    with store.begin() as transaction:
        transaction.execute("PRAGMA busy_timeout = 1")
    with sqlite3.connect(tmp_path / "state.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"), store.begin():
            pass
        other.execute("ROLLBACK")
    with store.begin() as transaction:
        transaction.advance("two", "orders", {0: Move(None, 1, 1)}, 0)
    assert [each.processor for each in positions(store)] == ["two"]
