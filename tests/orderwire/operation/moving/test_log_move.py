"""Another log takes over: no record is lost, and none is counted twice."""

from collections import defaultdict
from pathlib import Path
from uuid import uuid4

import pytest

from orderwire.operation.moving.log_move import OLD, begin_at_first, copy_unread
from orderwire.operation.moving.reading_topics import entries_of
from orderwire.operation.moving.store_copy import copy
from orderwire.operation.refused import Refused
from orderwire.operation.standing import feeds
from orderwire.serve.feeds import running
from orderwire.settings.program import Settings
from simulator.servers.broker import KafkaBroker
from simulator.shop.delivery import Delivery
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from stream.log.sqlite.log import SqliteLog
from stream.record import TOPICS, Record
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated
from tests.support.shops.shop_world import (
    NOW_MS,
    SHOP,
    everything,
    filled,
    fold_all,
    parked_counts,
    records,
)


async def test_another_log_takes_over_in_the_middle_and_the_aggregates_are_those_of_one_log(
    shop_settings: Settings,
    store: SqlStore,
    other: SqlStore,
    log: SqliteLog,
    tmp_path: Path,
    sent: list[Delivery],
) -> None:
    """Some processors have read more than others, some records are parked; new records reach the
    new log before the old ones do."""
    third = len(sent) // 3
    await log.append(records(sent[:third]))
    await fold_all(shop_settings, log, store)
    await log.append(records(sent[third : 2 * third]))
    await fold_all(shop_settings, log, store, only={"orders", "carts", "parked"})
    copy(store, other)
    new = await SqliteLog.open(tmp_path / "new.db")
    await new.append(records(sent[2 * third :]))
    copied = await copy_unread(log, new, other, feeds(shop_settings))
    await begin_at_first(new, other, feeds(shop_settings))
    await fold_all(shop_settings, new, other)
    await new.close()
    assert copied["orders"] > 0

    whole = await SqliteLog.open(tmp_path / "whole.db")
    await whole.append(records(sent))
    fresh = SqlStore.open(write_migrated(tmp_path / "fresh.db"))
    await fold_all(shop_settings, whole, fresh)
    await whole.close()
    assert everything(other, aggregates=True) == everything(fresh, aggregates=True)
    fresh.close()


async def test_records_and_event_times_of_processors_are_kept_over_the_move(
    shop_settings: Settings, store: SqlStore, log: SqliteLog, tmp_path: Path, sent: list[Delivery]
) -> None:
    await filled(shop_settings, store, log, sent)
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
        Record("orders", f"{SHOP}:{n}", f"w{n}", NOW_MS + n, headers, b'{"id": %d}' % n)
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
            Record("orders", f"{SHOP}:{n}", f"x{n}", NOW_MS + n, headers, b'{"id": %d}' % n)
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


async def test_kafka_takes_over_from_the_embedded_log_by_partition_and_in_key_order(
    shop_settings: Settings,
    store: SqlStore,
    log: SqliteLog,
    kafka_broker: KafkaBroker,
    sent: list[Delivery],
) -> None:
    await log.append(records(sent))
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
        async for entries in entries_of(new, topic):
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
            "INSERT INTO positions (processor, topic, partition, next, records, event_time_ms) "
            "VALUES ('orders', 'orders', 0, 10, 10, 1)"
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
