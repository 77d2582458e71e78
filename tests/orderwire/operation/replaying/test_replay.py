"""`orderwire replay`: parked records go back once they are understood; doing it twice changes
nothing."""

import json
import random
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from orderwire.operation.replaying.parked_replay import Back, Filter, Result, back, replay
from orderwire.settings.program import Settings
from processors.engine.parking import PARKED_CELLS, parked
from processors.shopify.tolerance import Rejected
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry, Record
from stream.store.contract import Transaction
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated
from tests.support.shopify import twin_orders
from tests.support.shops.parked_records import ORDERS_BY_SHOPIFY, by_receiver, run_replay
from tests.support.shops.shop_world import (
    NOW_MS,
    SHOP,
    deliveries,
    everything,
    fold_all,
    parked_counts,
    records,
)


async def test_what_a_bad_deploy_parked_comes_back_and_the_aggregates_are_as_if_it_had_never_been(
    shop_settings: Settings, store: SqlStore, log: SqliteLog, tmp_path: Any
) -> None:
    answer = records(deliveries(60))
    unlucky = set(random.Random(3).sample(range(len(answer)), 20))
    await log.append([record for number, record in enumerate(answer) if number not in unlucky])
    first = [
        parked(Entry(answer[number], 9, number), Rejected("decode_failed_KeyError"))
        for number in sorted(unlucky)
    ]
    # Every processor of a topic parks what it cannot read, under the one place where the record
    # lay.
    await log.append(first + first[:7])
    await fold_all(shop_settings, log, store)
    assert parked_counts(store) == {"decode_failed_KeyError": 20}

    result = await run_replay(shop_settings, log, store)
    assert (sum(result.returned.values()), result.left, result.gone) == (20, {}, 0)
    await fold_all(shop_settings, log, store)
    assert parked_counts(store) == {}

    whole = await SqliteLog.open(tmp_path / "whole.db")
    await whole.append(answer)
    fresh = SqlStore.open(write_migrated(tmp_path / "fresh.db"))
    await fold_all(shop_settings, whole, fresh)
    await whole.close()
    assert everything(store, aggregates=True) == everything(fresh, aggregates=True)
    fresh.close()


async def test_a_second_replay_finds_nothing_even_while_no_processor_runs(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    answer = [record for record in records(deliveries(20)) if record.topic == "orders"][:5]
    await log.append(
        [
            parked(Entry(record, 9, number), Rejected("decode_failed_X"))
            for number, record in enumerate(answer)
        ]
    )
    assert (await run_replay(shop_settings, log, store)).returned == {"orders": 5}
    assert await run_replay(shop_settings, log, store) == Result()
    assert (await log.spans("orders"))[0].next == 5


async def test_a_dry_run_says_the_same_and_appends_nothing(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    answer = records(deliveries(10))
    await log.append(
        [
            parked(Entry(record, 9, number), Rejected("decode_failed_X"))
            for number, record in enumerate(answer)
        ]
    )
    before = (await log.spans("parked"))[0]
    dry = await run_replay(shop_settings, log, store, dry_run=True)
    assert (await log.spans("parked"))[0] == before
    assert await run_replay(shop_settings, log, store) == dry


async def test_what_every_processor_would_reject_again_stays_and_is_counted_by_reason(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    await log.append(
        [
            Record("orders", f"{SHOP}:{n}", f"w{n}", NOW_MS, ORDERS_BY_SHOPIFY, b'{"id": 1}')
            for n in range(3)
        ]
    )
    await fold_all(shop_settings, log, store)
    result = await run_replay(shop_settings, log, store)
    assert (result.returned, result.left) == (
        {},
        {"missing_fields:created_at,currency,total_price,financial_status,line_items": 3},
    )
    assert (await log.spans("orders"))[0].next == 3


async def test_a_record_that_is_parked_again_after_its_replay_is_one_record_still_parked(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    order = next(record for record in records(deliveries(20)) if record.topic == "orders")
    await log.append([parked(Entry(order, 0, 77), Rejected("fold_failed_X"))])
    await run_replay(shop_settings, log, store)
    (back,) = await log.scan("orders", 0, 0, 10)
    await log.append([parked(back, Rejected("fold_failed_Y"))])
    await fold_all(shop_settings, log, store, only={"parked"})
    assert parked_counts(store) == {"fold_failed_Y": 1}
    assert (await run_replay(shop_settings, log, store)).returned == {"orders": 1}


class Taking:
    """Takes every record, and folds those whose id it does not choke on."""

    topic = "orders"

    def __init__(self, name: str, chokes_on: Collection[str] = (), *, reads: bool = True) -> None:
        self.name, self._chokes_on, self._reads = name, chokes_on, reads

    def decode(self, entry: Entry) -> str:
        if not self._reads:
            raise Rejected("unreadable")
        return entry.record.id

    def apply(self, transaction: Transaction, events: Sequence[str], now_ms: int) -> None:
        transaction.add(PARKED_CELLS, {(SHOP, self.name): (len(events),)})
        if not set(self._chokes_on).isdisjoint(events):
            raise KeyError

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None: ...


def parked_orders(by: str, ids: Sequence[str] = ("w0", "w1", "w2")) -> list[Record]:
    return [
        parked(
            Entry(Record("orders", "k", name, NOW_MS, ORDERS_BY_SHOPIFY, b"{}"), 0, number),
            Rejected("fold_failed_KeyError"),
            by,
        )
        for number, name in enumerate(ids)
    ]


async def test_what_would_fail_in_its_fold_again_stays_and_the_rest_goes_back(
    store: SqlStore, log: SqliteLog
) -> None:
    await log.append(parked_orders("a"))
    result = await replay(log, store, {"orders": [Taking("a", ["w1"])]}, Filter())
    assert (result.returned, result.left) == ({"orders": 2}, {"fold_failed_KeyError": 1})
    assert {entry.record.id for entry in await log.scan("orders", 0, 0, 10)} == {"w0", "w2"}


async def test_a_replay_that_would_fail_changes_neither_log_nor_store(
    store: SqlStore, log: SqliteLog
) -> None:
    await log.append(parked_orders("a"))
    before = everything(store), await log.spans("parked"), await log.spans("orders")
    result = await replay(log, store, {"orders": [Taking("a", ["w0", "w1", "w2"])]}, Filter())
    assert (result.returned, result.left) == ({}, {"fold_failed_KeyError": 3})
    assert before == (everything(store), await log.spans("parked"), await log.spans("orders"))


async def test_only_the_processor_that_parked_a_record_is_asked(
    store: SqlStore, log: SqliteLog
) -> None:
    """The other one has folded it: sending the record round would park it again, for ever."""
    await log.append(parked_orders("a"))
    processors = {"orders": [Taking("a", reads=False), Taking("b")]}
    for _ in range(2):
        result = await replay(log, store, processors, Filter())
        assert (result.returned, result.left) == ({}, {"unreadable": 3})
    mended = {"orders": [Taking("a"), Taking("b", reads=False)]}
    assert (await replay(log, store, mended, Filter())).returned == {"orders": 3}


async def test_a_record_that_two_processors_parked_goes_back_for_the_one_that_takes_it_now(
    store: SqlStore, log: SqliteLog
) -> None:
    await log.append(parked_orders("a") + parked_orders("b"))
    processors = {"orders": [Taking("a", reads=False), Taking("b")]}
    assert (await replay(log, store, processors, Filter())).returned == {"orders": 3}
    again = await log.scan("orders", 0, 0, 10)
    await log.append([parked(entry, Rejected("unreadable"), "a") for entry in again])
    result = await replay(log, store, processors, Filter())
    assert (result.returned, result.left) == ({}, {"unreadable": 3})


async def test_only_the_reason_and_topic_asked_for_are_replayed(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    answer = records(deliveries(40))
    by_topic = {
        topic: [record for record in answer if record.topic == topic][:4]
        for topic in ("orders", "checkouts")
    }
    for topic, kept in by_topic.items():
        await log.append(
            [
                parked(Entry(record, 9, n), Rejected(f"reason_{n % 2}"))
                for n, record in enumerate(kept)
            ]
        )
        assert {record.topic for record in kept} == {topic}
    assert (await run_replay(shop_settings, log, store, Filter("reason_1", "orders"))).returned == {
        "orders": 2
    }
    assert (await run_replay(shop_settings, log, store, Filter("reason_1"))).returned == {
        "checkouts": 2
    }
    assert sum((await run_replay(shop_settings, log, store)).returned.values()) == 4


async def test_what_the_receiver_parked_is_placed_by_the_rules_of_today(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    order = next(record for record in records(deliveries(20)) if record.topic == "orders")
    now_known = by_receiver("unknown_topic", order.body, topic=order.headers["topic"])
    still_unknown = replace_record(
        by_receiver("unknown_topic", b'{"id": 1}', topic="products/create"), id="w2"
    )
    broken = replace_record(by_receiver("malformed_json", b"{", topic="orders/create"), id="w3")
    await log.append([now_known, still_unknown, broken])
    result = await run_replay(shop_settings, log, store)
    assert (result.returned, result.left) == (
        {"orders": 1},
        {"unknown_topic": 1, "malformed_json": 1},
    )
    (placed,) = await log.scan("orders", 0, 0, 10)
    assert (placed.record.key, placed.record.body, placed.record.id) == (
        order.key,
        order.body,
        "w1",
    )
    assert not [name for name in placed.record.headers if name.startswith("parked_")]
    await fold_all(shop_settings, log, store)
    assert parked_counts(store) == {"unknown_topic": 1, "malformed_json": 1}


async def test_shopify_events_that_older_programs_parked_are_counted(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    """They were parked as unknown, some under the label of a classic webhook."""
    sales = [one for one in map(twin_orders.sale, range(30)) if not one.test][:2]
    await log.append(
        [
            replace_record(
                by_receiver(
                    "unknown_topic",
                    json.dumps(twin_orders.graphql(one).event()).encode(),
                    topic=topic,
                ),
                id=topic,
            )
            for one, topic in zip(sales, ("Order", "orders/updated"), strict=True)
        ]
    )
    assert (await run_replay(shop_settings, log, store)).returned == {"orders": 2}
    await fold_all(shop_settings, log, store)
    assert parked_counts(store) == {}
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT order_id FROM shop_order WHERE updated_us > 0")
    assert {row.order_id for row in rows} == {str(one.order_id) for one in sales}


def test_a_notice_of_meta_goes_to_the_ads_topic_once_it_can_be_read() -> None:
    entry = Entry(
        by_receiver(
            "no_entry_id",
            b'{"object": "ad_account", "entry": [{"id": "7"}]}',
            source="meta",
            topic="",
        ),
        0,
        0,
    )
    outcome = back(entry)
    assert isinstance(outcome, Back)
    record = outcome.record
    assert (record.topic, record.key, record.headers["topic"]) == (
        "ads",
        f"{SHOP}:7",
        "ad_account",
    )
    unreadable = Entry(by_receiver("malformed_json", b"{", source="meta", topic=""), 0, 0)
    assert back(unreadable) == "malformed_json"


async def test_discarding_settles_what_is_in_the_log_and_what_retention_has_dropped(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    await log.append(
        [
            replace_record(
                by_receiver("unknown_topic", b"{}", topic="products/create"),
                id="w1",
                time_ms=NOW_MS - 2_000,
            )
        ]
    )
    await fold_all(shop_settings, log, store)
    assert await log.retain("parked", NOW_MS - 1_000, {0: 1}) == 1
    await log.append(
        [replace_record(by_receiver("unknown_topic", b"{}", topic="products/create"), id="w2")]
    )
    await fold_all(shop_settings, log, store)
    assert parked_counts(store) == {"unknown_topic": 2}

    answer = await run_replay(shop_settings, log, store)
    assert (answer.left, answer.gone) == ({"unknown_topic": 1}, 1)
    done = await run_replay(shop_settings, log, store, Filter("unknown_topic"), discard=True)
    assert (done.discarded, done.gone) == (1, 1)
    await fold_all(shop_settings, log, store)
    assert parked_counts(store) == {}
    assert await run_replay(shop_settings, log, store) == Result()


def replace_record(record: Record, **changes: Any) -> Record:
    return msgspec.structs.replace(record, **changes)
