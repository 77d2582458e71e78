"""`orderwire migrate-store`: an equal copy or none at all, and another log without losing a record or counting one twice."""

import asyncio
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from orderwire.cli import app
from orderwire.operation.log_move import OLD, begin_at_first, copy_unread
from orderwire.operation.reading_topics import held
from orderwire.operation.standing import feeds
from orderwire.operation.store_copy import ITS_OWN, Unequal, copy, counted, tables
from orderwire.operation.telling import Refused
from orderwire.serve.feeds import running
from orderwire.settings.program import Settings
from simulator.servers.broker import KafkaBroker
from simulator.shop.delivery import Delivery
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from stream.log.sqlite.log import SqliteLog
from stream.record import TOPICS, Record
from stream.store.sql.store import SqlStore
from tests.support.shop_world import SHOP, deliveries, everything, fold_all, parked_counts, records

pytest_plugins = ("tests.support.shop_fixtures",)
runner = CliRunner()


@pytest.fixture
def told(shop_settings: Settings) -> list[Delivery]:
    return deliveries(60)


@pytest.fixture
def other_url(tmp_path: Path, postgres_url: str, store_url: str) -> str:
    """The URL of a second, empty store on the other kind of database."""
    return postgres_url if store_url.startswith("sqlite") else f"sqlite:///{tmp_path / 'other.db'}"


@pytest.fixture
def other(other_url: str) -> Iterator[SqlStore]:
    opened = SqlStore.open(other_url)
    yield opened
    opened.close()


@pytest.fixture
def two_files(tmp_path: Path, migrated_sqlite: Path) -> Iterator[tuple[SqlStore, SqlStore]]:
    """Two empty stores, where the kind of database does not matter."""
    opened = []
    for name in ("from.db", "to.db"):
        shutil.copy(migrated_sqlite, tmp_path / name)
        opened.append(SqlStore.open(f"sqlite:///{tmp_path / name}"))
    yield opened[0], opened[1]
    for each in opened:
        each.close()


async def filled(settings: Settings, store: SqlStore, log: SqliteLog, told: list[Delivery]) -> None:
    await log.append(records(told))
    await fold_all(settings, log, store)


async def test_every_table_is_equal_on_both_sides_from_each_database_to_the_other(
    shop_settings: Settings, store: SqlStore, other: SqlStore, log: SqliteLog, told: list[Delivery]
) -> None:
    await filled(shop_settings, store, log, told)
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
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
        "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
    }
    with store.snapshot() as snapshot:
        there = {row[0] for row in snapshot.query(sql[store.dialect])}
        assert {table.name for table in tables(snapshot, store.dialect)} == there - ITS_OWN


def test_the_digest_knows_every_value_and_no_order(store: SqlStore) -> None:
    insert = "INSERT INTO positions (processor, topic, partition, next, records, event_time_ms) VALUES (:p, 't', :n, :n, 0, 0)"
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


def test_a_target_with_rows_is_refused_and_left_alone(two_files: tuple[SqlStore, SqlStore]) -> None:
    store, other = two_files
    for each in (store, other):
        with each.begin() as transaction:
            transaction.execute(
                "INSERT INTO capi_click (shop, click, seen_ms) VALUES ('s', 'c', 1)"
            )
    with pytest.raises(Refused, match="not empty"):
        copy(store, other)


def test_an_unequal_copy_is_taken_back(tmp_path: Path, postgres_url: str) -> None:
    """A database that changes a value on its way in (here: by a trigger) is found out."""
    store, other = SqlStore.open(postgres_url), SqlStore.open(f"sqlite:///{tmp_path / 'other.db'}")
    with store.begin() as transaction:
        transaction.execute("INSERT INTO capi_click (shop, click, seen_ms) VALUES ('s', 'c', 1)")
    with other.begin() as transaction:
        transaction.execute(
            "CREATE TRIGGER spoil AFTER INSERT ON capi_click BEGIN UPDATE capi_click SET seen_ms = 2 WHERE shop = new.shop; END"
        )
    with pytest.raises(Unequal, match="capi_click"):
        copy(store, other)
    with other.snapshot() as snapshot:
        assert snapshot.query("SELECT * FROM capi_click") == []
    store.close()
    other.close()


def test_a_source_that_goes_on_meanwhile_is_noticed_and_nothing_is_written(
    two_files: tuple[SqlStore, SqlStore],
) -> None:
    store, other = two_files
    insert = "INSERT INTO positions (processor, topic, partition, next, records, event_time_ms) VALUES ('p', 't', :n, 1, 1, 1)"
    with store.begin() as transaction:
        transaction.execute(insert, n=0)

    def go_on(table: str, rows: int) -> None:
        with store.begin() as transaction:
            transaction.execute(insert, n=1)

    with pytest.raises(Refused, match="went on"):
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
    told: list[Delivery],
) -> None:
    await filled(shop_settings, store, log, told)
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
        transaction.execute("INSERT INTO capi_click (shop, click, seen_ms) VALUES ('s', 'c', 1)")
        transaction.execute(
            "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details, metrics)"
            " VALUES ('process', 'here:1', 1, 1, 0, :now, '{}', '')",
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


async def test_another_log_takes_over_in_the_middle_and_the_aggregates_are_those_of_one_log(
    shop_settings: Settings,
    store: SqlStore,
    other: SqlStore,
    log: SqliteLog,
    tmp_path: Path,
    told: list[Delivery],
) -> None:
    """Some processors have read more than others, some records are parked; new records reach the new log before the old ones do."""
    third = len(told) // 3
    await log.append(records(told[:third]))
    await fold_all(shop_settings, log, store)
    await log.append(records(told[third : 2 * third]))
    await fold_all(shop_settings, log, store, only={"orders", "carts", "parked"})
    copy(store, other)
    new = await SqliteLog.open(tmp_path / "new.db")
    await new.append(records(told[2 * third :]))
    copied = await copy_unread(log, new, other, feeds(shop_settings))
    await begin_at_first(new, other, feeds(shop_settings))
    await fold_all(shop_settings, new, other)
    await new.close()
    assert copied["orders"] > 0

    whole = await SqliteLog.open(tmp_path / "whole.db")
    await whole.append(records(told))
    fresh = SqlStore.open(f"sqlite:///{tmp_path / 'fresh.db'}")
    await fold_all(shop_settings, whole, fresh)
    await whole.close()
    assert everything(other, aggregates=True) == everything(fresh, aggregates=True)
    fresh.close()


async def test_records_and_event_times_of_processors_are_kept_over_the_move(
    shop_settings: Settings, store: SqlStore, log: SqliteLog, tmp_path: Path, told: list[Delivery]
) -> None:
    await filled(shop_settings, store, log, told)
    with store.snapshot() as snapshot:
        before = {p.processor: p for p in snapshot.positions()}
    new = await SqliteLog.open(tmp_path / "new.db")
    await copy_unread(log, new, store, feeds(shop_settings))
    await begin_at_first(new, store, feeds(shop_settings))
    await new.close()
    with store.snapshot() as snapshot:
        after = {p.processor: p for p in snapshot.positions()}
    assert set(after) == set(running(shop_settings))
    assert {
        name: (p.next, p.records, p.event_time_ms) for name, p in after.items() if name in before
    } == {name: (0, p.records, p.event_time_ms) for name, p in before.items()}


async def test_what_is_parked_can_be_replayed_from_the_new_log_under_a_name_of_its_own(
    shop_settings: Settings, store: SqlStore, log: SqliteLog, tmp_path: Path
) -> None:
    headers = {"source": "shopify", "shop": SHOP, "topic": "orders/paid"}
    bad = [
        Record("orders", f"{SHOP}:{n}", f"w{n}", 1_000 + n, headers, b'{"id": %d}' % n)
        for n in (1, 2)
    ]
    await log.append(bad)
    await fold_all(shop_settings, log, store)
    assert parked_counts(store) == {
        "missing_fields:created_at,currency,total_price,financial_status,line_items": 2
    }
    new = await SqliteLog.open(tmp_path / "new.db")
    assert (await copy_unread(log, new, store, feeds(shop_settings)))["parked"] > 0
    await begin_at_first(new, store, feeds(shop_settings))
    # The same places as in the old log, other records.
    await new.append(
        [
            Record("orders", f"{SHOP}:{n}", f"x{n}", 1_000 + n, headers, b'{"id": %d}' % n)
            for n in (3, 4, 5)
        ]
    )
    await fold_all(shop_settings, new, store)
    assert parked_counts(store) == {
        "missing_fields:created_at,currency,total_price,financial_status,line_items": 5
    }
    with store.snapshot() as snapshot:
        ids = {row[0] for row in snapshot.query("SELECT id FROM parked")}
    assert ids == {f"{OLD}orders/0/0", f"{OLD}orders/0/1", "orders/0/0", "orders/0/1", "orders/0/2"}
    await new.close()


async def test_kafka_takes_over_from_the_embedded_log_partition_by_partition_and_in_the_order_of_each_key(
    shop_settings: Settings,
    store: SqlStore,
    log: SqliteLog,
    kafka_broker: KafkaBroker,
    told: list[Delivery],
) -> None:
    await log.append(records(told))
    await fold_all(shop_settings, log, store, only={"orders"})
    new = await KafkaLog.open(
        kafka_broker.bootstrap, KafkaSettings(partitions=3, topic_prefix=f"m{uuid4().hex[:8]}-")
    )
    copied = await copy_unread(log, new, store, feeds(shop_settings))
    await begin_at_first(new, store, feeds(shop_settings))
    expected, found = defaultdict(list), defaultdict(list)
    for topic in ("orders", "checkouts"):
        for entry in await log.scan(topic, 0, 0, 10_000):
            expected[entry.record.key].append((entry.record.id, entry.record.body))
        async for entries in held(new, topic):
            for entry in entries:
                found[entry.record.key].append((entry.record.id, entry.record.body))
    assert found == expected
    back = await SqliteLog.open(shop_settings.spool.resolve().with_name("back.db"))
    assert await copy_unread(new, back, store, feeds(shop_settings)) == copied
    await back.close()
    await new.close()
    assert copied == {topic: (await log.spans(topic))[0].next for topic in ("orders", "checkouts")}
    with store.snapshot() as snapshot:
        assert {(p.processor, p.topic, p.partition): p.next for p in snapshot.positions()} == {
            (*feed, partition): 0 for feed in feeds(shop_settings) for partition in range(3)
        }


async def test_a_log_that_the_store_was_not_filled_from_is_refused(
    shop_settings: Settings, store: SqlStore, tmp_path: Path
) -> None:
    with store.begin() as transaction:
        transaction.execute(
            "INSERT INTO positions (processor, topic, partition, next, records, event_time_ms) VALUES ('orders', 'orders', 0, 10, 10, 1)"
        )
    wrong, new = (
        await SqliteLog.open(tmp_path / "wrong.db"),
        await SqliteLog.open(tmp_path / "new.db"),
    )
    with pytest.raises(Refused, match="not of this log"):
        await copy_unread(wrong, new, store, feeds(shop_settings))
    assert all([(await new.spans(topic))[0].next == 0 for topic in TOPICS])
    await wrong.close()
    await new.close()


async def test_the_command_moves_store_and_log_together(
    shop_settings: Settings,
    store: SqlStore,
    store_url: str,
    other_url: str,
    log: SqliteLog,
    tmp_path: Path,
    told: list[Delivery],
) -> None:
    await log.append(records(told))
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
