"""What each trouble of a real database is taken for: wait, park the record, or stop
(`stream/store/sql/errors`)."""

import random
import sqlite3
import string
from pathlib import Path

import pytest
import sqlalchemy as sa

from processors.engine.parking import PARKED, ParkedRow
from processors.orders.aliases import ALIASES, AliasRow
from stream.store.contract import StoreBroken, StoreUnavailable, Unstorable
from stream.store.sql.store import SqlStore


def alias(deleted: str) -> AliasRow:
    return AliasRow("s", deleted, "1")


def incompressible(characters: int) -> str:
    return "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=characters))


def test_a_key_that_the_database_cannot_hold_is_the_records_fault(store: SqlStore) -> None:
    """PostgreSQL takes index rows of 2,704 bytes at most; SQLite takes any."""
    rows = [alias(incompressible(9_000))]
    if store.dialect == "sqlite":
        with store.begin() as transaction:
            transaction.save(ALIASES, rows)
        return
    with pytest.raises(Unstorable) as refused, store.begin() as transaction:
        transaction.save(ALIASES, rows)
    assert rows[0].deleted[:50] not in str(refused.value)


def test_a_nul_is_the_records_fault_where_it_cannot_be_stored(store: SqlStore) -> None:
    if store.dialect == "sqlite":
        with store.begin() as transaction:
            transaction.save(ALIASES, [alias("a\0b")])
        return
    with pytest.raises(Unstorable), store.begin() as transaction:
        transaction.save(ALIASES, [alias("a\0b")])


def test_a_number_out_of_range_is_the_records_fault(store: SqlStore) -> None:
    with pytest.raises((Unstorable, OverflowError)), store.begin() as transaction:
        transaction.save(PARKED, [ParkedRow("s", "1", "", "", "", 2**63, 0, 0, 0, 0)])


def test_a_missing_table_stops_whoever_needs_it(store: SqlStore) -> None:
    with store.begin() as transaction:
        transaction.execute("ALTER TABLE customer_alias RENAME TO away")
    try:
        with pytest.raises(StoreBroken), store.begin() as transaction:
            transaction.save(ALIASES, [alias("2")])
    finally:
        with store.begin() as transaction:
            transaction.execute("ALTER TABLE away RENAME TO customer_alias")


def test_a_database_that_may_only_be_read_is_waited_for(store: SqlStore) -> None:
    """As after a fail-over, or when a guard has found the disk nearly full."""
    read_only = (
        "PRAGMA query_only = 1" if store.dialect == "sqlite" else "SET TRANSACTION READ ONLY"
    )
    with pytest.raises(StoreUnavailable, match=r"(?i)read-?only"), store.begin() as transaction:
        transaction.execute(read_only)
        transaction.save(ALIASES, [alias("2")])


def test_a_file_that_may_grow_no_more_is_waited_for(migrated_sqlite: Path, tmp_path: Path) -> None:
    path = tmp_path / "full.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    store = SqlStore.open(f"sqlite:///{path}")
    with pytest.raises(StoreUnavailable, match="full"), store.begin() as transaction:
        transaction.query("PRAGMA max_page_count = 1")
        transaction.save(ALIASES, [alias(incompressible(1_000_000))])
    store.close()


def test_a_damaged_file_stops_whoever_reads_it(migrated_sqlite: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    with sqlite3.connect(path) as connection:
        page, size = (
            connection.execute(
                "SELECT rootpage FROM sqlite_master WHERE name = 'customer_alias'"
            ).fetchone()[0],
            connection.execute("PRAGMA page_size").fetchone()[0],
        )
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xa5" * size
    store = SqlStore.open(f"sqlite:///{path}")
    path.write_bytes(content)
    with pytest.raises(StoreBroken, match="damaged"), store.begin() as transaction:
        transaction.save(ALIASES, [alias("2")])
    store.close()


def test_a_server_that_closes_every_new_connection_is_waited_for(store: SqlStore) -> None:
    """As one that shuts down: SQLAlchemy's pool gives up after its second attempt."""

    def closed(*_: object) -> None:
        raise sa.exc.InvalidatePoolError

    sa.event.listen(store._engine, "checkout", closed)
    try:
        with pytest.raises(StoreUnavailable, match="closes every new"), store.snapshot():
            pass
    finally:
        sa.event.remove(store._engine, "checkout", closed)
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT 1") == [(1,)]
