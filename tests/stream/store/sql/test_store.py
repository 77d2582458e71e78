"""The SQL store on both databases: the contract, and what only this implementation has."""

import re
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DataError

from aggregates.rfm.fold.customer import CUSTOMERS
from processors.checkouts.link import LINKS
from processors.checkouts.row import CHECKOUTS
from processors.orders.row import ORDERS, blank
from simulator.servers.postgres import PostgresServer
from stream.log.sqlite.log import SqliteLog
from stream.store.contract import Entities, Fenced, Incompatible, Move, Store, StoreUnavailable
from stream.store.migrations.run import head
from stream.store.sql import dialect as sql_dialect
from stream.store.sql.store import SqlStore
from tests.contracts.store import CELL, CELLS, StoreContract, cells


class TestSqlStore(StoreContract):
    @pytest.fixture
    def reopened(self, store_url: str) -> Callable[[], Store]:
        return lambda: SqlStore.open(store_url)


def test_stores_opened_at_the_same_time_migrate_once(tmp_path: Path, postgres_url: str) -> None:
    for url in (f"sqlite:///{tmp_path}/new/state.db", postgres_url):
        with ThreadPoolExecutor(4) as pool:
            stores = list(pool.map(SqlStore.open, [url] * 4))
        with stores[0].snapshot() as snapshot:
            assert snapshot.query("SELECT version_num FROM alembic_version") == [(head(),)]
        for store in stores:
            store.close()


def test_a_store_newer_than_the_program_is_refused(store: SqlStore, store_url: str) -> None:
    with store.begin() as transaction:
        transaction.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Incompatible, match=r"9999.*upgrade orderwire"):
        SqlStore.open(store_url)


def test_a_statement_that_fails_is_reported_without_what_it_was_given(store: SqlStore) -> None:
    with pytest.raises(Exception, match="nowhere") as caught, store.begin() as transaction:
        transaction.execute("UPDATE nowhere SET email = :email", email="ada@example.com")
    assert "ada@example.com" not in str(caught.value)


def test_a_database_of_another_program_is_refused_and_left_as_it_was(
    tmp_path: Path, postgres_url: str
) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE customers (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(
        Incompatible, match=r"theirs\.db .*not an orderwire store.*ORDERWIRE_STORE_URL"
    ):
        SqlStore.open(f"sqlite:///{path}")
    assert path.read_bytes() == before

    for revision in ("a1b2c3d4e5f6", "0aa1", "99990"):
        with psycopg.connect(postgres_url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num text)")
            connection.execute("DELETE FROM alembic_version")
            connection.execute("INSERT INTO alembic_version VALUES (%s)", (revision,))
        with pytest.raises(Incompatible, match=f"another program's.*{revision}"):
            SqlStore.open(postgres_url)


def test_an_sqlite_too_old_is_refused_with_what_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 31, 1))
    with pytest.raises(Incompatible, match=r"needs 3\.37\.0 or newer: .*PostgreSQL"):
        SqlStore.open(f"sqlite:///{tmp_path}/state.db")
    assert not list(tmp_path.iterdir())


async def test_the_embedded_log_is_no_store(log: SqliteLog, tmp_path: Path) -> None:
    with pytest.raises(Incompatible, match="not an orderwire store"):
        SqlStore.open(f"sqlite:///{tmp_path / 'log.db'}")


@pytest.mark.parametrize("url", ["mysql://x", "state.db", "kafka://localhost:9092"])
def test_a_url_of_another_kind_names_the_two_that_work(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///path or postgresql://"):
        SqlStore.open(url)


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database" * 100)
    with pytest.raises(Exception, match="not a database"):
        SqlStore.open(f"sqlite:///{tmp_path / 'state.db'}")


def test_an_owner_that_stands_still_in_a_transaction_is_ended_and_its_heir_goes_on(
    own_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql_dialect.Postgres, "IDLE_MS", 1_500)
    zombie, heir = SqlStore.open(own_postgres_url), SqlStore.open(own_postgres_url)
    with zombie.begin() as transaction:
        transaction.advance("p", "orders", {0: Move(None, 1, 1)}, 1)
    with pytest.raises(StoreUnavailable), zombie.begin() as transaction:
        transaction.advance("p", "orders", {0: Move(1, 2, 1)}, 1)
        transaction.load(ORDERS, [("a", "1")])
        with heir.begin() as rival:  # Waits for the row until the server has ended its holder.
            rival.advance("p", "orders", {0: Move(1, 2, 1)}, 1)
        transaction.add(CELLS, {CELL: (1, 1, 1)})
    with pytest.raises(Fenced), zombie.begin() as transaction:
        transaction.advance("p", "orders", {0: Move(1, 2, 1)}, 1)
    assert cells(heir) == {}
    zombie.close()
    heir.close()


@pytest.mark.parametrize("crash", [False, True])
def test_a_restart_of_postgresql_between_transactions_is_no_error(
    postgres_server: PostgresServer, own_postgres_url: str, crash: bool
) -> None:
    store = SqlStore.open(own_postgres_url)
    with (
        store.begin() as transaction,
        store.snapshot() as snapshot,
    ):  # two connections, which the pool keeps
        transaction.add(CELLS, {CELL: (1, 1, 1)})
        snapshot.positions()
    postgres_server.restart(crash=crash)
    with store.begin() as transaction, store.snapshot() as snapshot:
        transaction.add(CELLS, {CELL: (1, 1, 1)})
        snapshot.positions()
    assert cells(store) == {CELL: (2, 2, 2)}
    store.close()


@pytest.mark.parametrize("crash", [False, True])
def test_a_restart_of_postgresql_is_an_error_to_retry_and_loses_nothing(
    postgres_server: PostgresServer, own_postgres_url: str, crash: bool
) -> None:
    store = SqlStore.open(own_postgres_url)
    with store.begin() as transaction:
        transaction.add(CELLS, {CELL: (1, 1, 1)})
    with pytest.raises(StoreUnavailable), store.begin() as transaction:
        transaction.add(CELLS, {CELL: (1, 1, 1)})
        transaction.advance("p", "orders", {0: Move(None, 1, 1)}, 1)
        postgres_server.restart(crash=crash)
        transaction.positions()
    with store.begin() as transaction:
        transaction.add(CELLS, {CELL: (1, 1, 1)})
        assert transaction.positions() == []
    assert cells(store) == {CELL: (2, 2, 2)}
    store.close()


def test_any_text_in_a_key_is_found_again_and_a_nul_character_is_refused(store: SqlStore) -> None:
    keys = [("a", text) for text in ("", "'\"\\", "[1]", "\\u0000", "ключ-鍵-🔑", "x" * 3_000)]
    with store.begin() as transaction:
        transaction.save(ORDERS, [blank(*key) for key in keys])
        assert set(transaction.load(ORDERS, keys)) == set(keys)
    with pytest.raises((ValueError, DataError)), store.begin() as transaction:
        transaction.load(ORDERS, [("a", "b\0c")])


def test_every_steady_column_is_one_of_an_index(store: SqlStore) -> None:
    with store.snapshot() as snapshot:
        on = "sqlite_master" if store.dialect == "sqlite" else "pg_indexes"
        texts = ("sql", "tbl_name") if store.dialect == "sqlite" else ("indexdef", "tablename")
        tables: tuple[Entities[Any], ...] = (ORDERS, CUSTOMERS, CHECKOUTS, LINKS)
        for entities in tables:
            found = snapshot.query(
                f"SELECT {texts[0]} AS text FROM {on} WHERE {texts[1]} = :table"
                f" AND {texts[0]} LIKE '%INDEX%'",
                table=entities.table,
            )
            words = set(re.findall(r"\w+", " ".join(row.text for row in found)))
            assert entities.steady
            assert words >= set(entities.steady)


def test_ten_thousand_keys_are_loaded_together(store: SqlStore) -> None:
    keys = [("a", f"{number}") for number in range(10_000)]
    with store.begin() as transaction:
        transaction.save(ORDERS, [blank(*key) for key in keys])
        assert len(transaction.load(ORDERS, keys)) == 10_000
