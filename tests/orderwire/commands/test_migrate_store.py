"""`orderwire migrate-store`: an equal copy, or none at all."""

import asyncio
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orderwire.cli import app
from orderwire.operation.moving.store_copy import ITS_OWN, Unequal, copy, counted, tables
from orderwire.operation.refused import Refused
from orderwire.settings.program import Settings
from simulator.shop.delivery import Delivery
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated
from tests.support.shops.shop_world import (
    everything,
    filled,
    fold_all,
    records,
)

runner = CliRunner()


async def test_every_table_is_equal_on_both_sides_from_each_database_to_the_other(
    shop_settings: Settings, store: SqlStore, other: SqlStore, log: SqliteLog, sent: list[Delivery]
) -> None:
    await filled(shop_settings, store, log, sent)
    copied = copy(store, other)
    assert everything(other) == everything(store)
    assert all(one.equal for one in copied)
    assert sum(one.source.rows for one in copied) > 100
    with store.snapshot() as snapshot:
        assert {one.table for one in copied} == {
            table.name for table in tables(snapshot, store.dialect)
        }
        assert snapshot.positions()


def test_no_table_of_the_schema_is_forgotten(store: SqlStore) -> None:
    sql = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' "
        "AND name NOT LIKE 'sqlite_%'",
        "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
    }
    with store.snapshot() as snapshot:
        there = {row[0] for row in snapshot.query(sql[store.dialect])}
        assert {table.name for table in tables(snapshot, store.dialect)} == there - ITS_OWN


def test_the_digest_knows_every_value_and_no_order(store: SqlStore) -> None:
    insert = (
        "INSERT INTO positions (processor, topic, partition, next, records, event_time_ms) "
        "VALUES (:p, 't', :n, :n, 0, 0)"
    )
    with store.begin() as transaction:
        for number in (3, 1, 2):
            transaction.execute(insert, p="p", n=number)
        (positions,) = [
            table for table in tables(transaction, store.dialect) if table.name == "positions"
        ]
        first = counted(transaction, positions)
        transaction.execute("DELETE FROM positions")
        for number in (2, 3, 1):
            transaction.execute(insert, p="p", n=number)
        assert counted(transaction, positions) == first
        transaction.execute("UPDATE positions SET records = 1 WHERE partition = 2")
        assert counted(transaction, positions).rows == first.rows
        assert counted(transaction, positions).digest != first.digest


def test_more_rows_than_one_step_come_across(
    tmp_path: Path, store: SqlStore, other: SqlStore
) -> None:
    with store.begin() as transaction:
        transaction.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12003)"
            " INSERT INTO positions (processor, topic, partition, next, records, event_time_ms)"
            " SELECT 'p' || (i % 7), 't', i, i, i, i FROM n"
        )
    assert {one.table: one.target.rows for one in copy(store, other)}["positions"] == 12_003


def test_a_target_with_rows_is_refused_and_left_unchanged(
    two_files: tuple[SqlStore, SqlStore],
) -> None:
    store, other = two_files
    for each in (store, other):
        with each.begin() as transaction:
            transaction.execute(
                "INSERT INTO meta_click (shop, click, seen_ms) VALUES ('s', 'c', 1)"
            )
    with pytest.raises(Refused, match="not empty"):
        copy(store, other)


def test_an_unequal_copy_is_taken_back(tmp_path: Path, own_postgres_url: str) -> None:
    """A database that changes a value on its way in (here: by a trigger) is found out."""
    store = SqlStore.open(own_postgres_url)
    other = SqlStore.open(write_migrated(tmp_path / "other.db"))
    with store.begin() as transaction:
        transaction.execute("INSERT INTO meta_click (shop, click, seen_ms) VALUES ('s', 'c', 1)")
    with other.begin() as transaction:
        transaction.execute(
            "CREATE TRIGGER spoil AFTER INSERT ON meta_click BEGIN UPDATE meta_click "
            "SET seen_ms = 2 WHERE shop = new.shop; END"
        )
    with pytest.raises(Unequal, match="meta_click"):
        copy(store, other)
    with other.snapshot() as snapshot:
        assert snapshot.query("SELECT * FROM meta_click") == []
    store.close()
    other.close()


def test_a_source_that_goes_on_meanwhile_is_noticed_and_nothing_is_written(
    two_files: tuple[SqlStore, SqlStore],
) -> None:
    store, other = two_files
    insert = (
        "INSERT INTO positions (processor, topic, partition, next, records, event_time_ms) "
        "VALUES ('p', 't', :n, 1, 1, 1)"
    )
    with store.begin() as transaction:
        transaction.execute(insert, n=0)

    def go_on(table: str, rows: int) -> None:
        with store.begin() as transaction:
            transaction.execute(insert, n=1)

    with pytest.raises(Refused, match="source changed"):
        copy(store, other, go_on)
    with other.snapshot() as snapshot:
        assert snapshot.positions() == []


def test_an_empty_source_is_refused(two_files: tuple[SqlStore, SqlStore]) -> None:
    store, other = two_files
    with pytest.raises(Refused, match="is its URL right"):
        copy(store, other)


async def test_the_command_copies_checks_and_exits_0(
    shop_settings: Settings,
    store: SqlStore,
    store_url: str,
    other_url: str,
    log: SqliteLog,
    sent: list[Delivery],
) -> None:
    await filled(shop_settings, store, log, sent)
    done = await asyncio.to_thread(
        runner.invoke, app, ["migrate-store", "--from", store_url, "--to", other_url]
    )
    assert done.exit_code == 0, done.output
    assert "are equal on both sides" in done.output
    again = await asyncio.to_thread(
        runner.invoke, app, ["migrate-store", "--from", store_url, "--to", other_url]
    )
    assert again.exit_code == 1
    assert "not empty" in again.output


def test_the_command_refuses_while_a_role_is_alive_unless_forced(
    shop_settings: Settings, store: SqlStore, store_url: str, other_url: str
) -> None:
    with store.begin() as transaction:
        transaction.execute("INSERT INTO meta_click (shop, click, seen_ms) VALUES ('s', 'c', 1)")
        transaction.execute(
            "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details, "
            "metrics) VALUES ('process', 'here:1', 1, 1, 0, :now, '{}', '')",
            now=time.time_ns() // 1_000_000,
        )
    refused = runner.invoke(app, ["migrate-store", "--from", store_url, "--to", other_url])
    assert refused.exit_code == 1
    assert "process (here:1)" in refused.output
    assert (
        runner.invoke(
            app, ["migrate-store", "--from", store_url, "--to", other_url, "--force"]
        ).exit_code
        == 0
    )


def test_a_source_that_is_not_there_is_not_made(shop_settings: Settings, tmp_path: Path) -> None:
    done = runner.invoke(
        app,
        [
            "migrate-store",
            "--from",
            f"sqlite:///{tmp_path}/no.db",
            "--to",
            f"sqlite:///{tmp_path}/new.db",
        ],
    )
    assert done.exit_code == 1
    assert not (tmp_path / "no.db").exists()


async def test_the_command_moves_store_and_log_together(
    shop_settings: Settings,
    store: SqlStore,
    store_url: str,
    other_url: str,
    log: SqliteLog,
    tmp_path: Path,
    sent: list[Delivery],
) -> None:
    await log.append(records(sent))
    await fold_all(shop_settings, log, store, only={"orders"})
    new = f"sqlite:///{tmp_path / 'new.db'}"
    arguments = [
        "migrate-store",
        "--from",
        store_url,
        "--to",
        other_url,
        "--from-log",
        shop_settings.log_url,
        "--to-log",
        new,
    ]
    done = await asyncio.to_thread(runner.invoke, app, arguments)
    assert done.exit_code == 0, done.output
    assert "records of orders copied" in done.output
    moved = await SqliteLog.open(tmp_path / "new.db")
    assert (await moved.spans("orders"))[0].next == (await log.spans("orders"))[0].next
    await moved.close()
