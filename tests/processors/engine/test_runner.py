"""Records are folded once, in whole transactions, whatever store, log and owner do meanwhile."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry

from processors.engine.runner import Pace, Runner
from stream.log.contract import Reader, Start
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Entry, Record
from stream.store.contract import (
    Fenced,
    Move,
    StoreUnavailable,
    Transaction,
)
from stream.store.sql.store import SqlStore
from tests.processors.engine.counting import (
    COUNTED,
    Counting,
    at_work,
    counted,
    met,
    parked,
    parked_records,
    records,
    run_to_end,
)
from tests.support.servers.outage import Outage


async def test_records_are_folded_once_and_again_after_a_restart(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", "2", "ignored", "3"))
    await run_to_end(Counting(), log, store)
    await log.append(records("4"))
    await run_to_end(Counting(), log, store)
    assert counted(store) == {1: 1, 2: 1, 3: 1, 4: 1}
    with store.snapshot() as snapshot:
        assert [(p.next, p.records) for p in snapshot.positions()] == [(5, 5)]


async def test_records_that_policy_ignores_are_counted_and_neither_folded_nor_parked(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", "ignored", "2", "ignored", "ignored"))
    registry, processor = CollectorRegistry(), Counting()
    metrics = ProcessorMetrics(registry, processor.name)

    def ignored() -> float | None:
        return registry.get_sample_value(
            "orderwire_records_ignored_total", {"processor": processor.name}
        )

    async with at_work(Runner(processor, log, store, metrics=metrics)):
        await met(lambda: ignored() == 3.0)
        await log.append(records(*["ignored"] * 15, shop="other"))
        await met(lambda: ignored() == 18.0)
    share = partial(registry.get_sample_value, "orderwire_shop_ignored_share")
    assert share({"processor": processor.name, "shop": "other"}) == 1.0
    assert counted(store) == {1: 1, 2: 1}
    assert parked(store) == {}


async def test_an_owner_that_lost_its_partition_rolls_back_and_reloads(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", "2"))
    processor = Counting()
    await run_to_end(processor, log, store)
    await log.append(records("3", "4"))
    stolen = False

    class Slow(Counting):
        def decode(self, entry: Entry) -> str | None:
            nonlocal stolen
            if not stolen:
                stolen = True
                with (
                    store.begin() as transaction
                ):  # Another owner folds record 3 while this one still holds it.
                    transaction.advance("counting", "orders", {0: Move(2, 3, 1)}, 1)
                    transaction.add(COUNTED, {("s", 0, 0, 0, 3): (1, 0, 0)})
            return super().decode(entry)

    await run_to_end(Slow(), log, store)
    assert counted(store) == {1: 1, 2: 1, 3: 1, 4: 1}


async def test_a_store_that_is_away_is_waited_for(log: SqliteLog, store: SqlStore) -> None:
    await log.append(records("1"))
    processor = Counting()
    failures = iter([StoreUnavailable("away"), StoreUnavailable("away")])

    def fail_twice() -> None:
        if error := next(failures, None):
            raise error

    processor.before_apply = fail_twice
    await run_to_end(processor, log, store)
    assert counted(store) == {1: 1}


async def test_a_batch_whose_bad_records_the_log_does_not_take_is_read_again(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", "bad", "2"))
    outage = Outage(log)
    outage.closed_topics.add("parked")
    metrics = ProcessorMetrics(CollectorRegistry(), Counting.name)
    async with at_work(Runner(Counting(), outage, store, metrics=metrics)):
        await met(lambda: outage.asked > 0)
        await log.append(records("3"))
        outage.closed_topics.clear()
        await met(lambda: 3 in counted(store))
    assert counted(store) == {1: 1, 2: 1, 3: 1}
    assert len(await parked_records(log)) == 1


async def test_it_stops_when_asked_to_while_the_store_is_away(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1"))
    processor, asked, stop = Counting(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def fail() -> None:
        loop.call_soon_threadsafe(asked.set)
        raise StoreUnavailable("away")

    processor.before_apply = fail
    running = asyncio.create_task(
        Runner(
            processor, log, store, metrics=ProcessorMetrics(CollectorRegistry(), "counting")
        ).run(stop)
    )
    await asked.wait()
    stop.set()
    await running
    assert counted(store) == {}


async def test_batches_are_whole_transactions_of_up_to_500(log: SqliteLog, store: SqlStore) -> None:
    await log.append(records(*[str(number) for number in range(1_200)]))
    processor = Counting()
    await run_to_end(processor, log, store)
    assert sum(processor.batches) == 1_200
    assert max(processor.batches) <= 500
    assert len(processor.batches) < 12


async def test_in_a_backlog_no_batch_waits_for_the_pace_however_few_records_a_read_gives(
    log: SqliteLog, store: SqlStore
) -> None:
    for start in range(0, 1_000, 10):
        await log.append(records(*map(str, range(start, start + 10))))

    class TenAtATime:
        """Bodies so large that a read is never full."""

        def __init__(self, reader: Reader) -> None:
            self._reader = reader

        async def read(self, max_records: int, wait_s: float) -> list[Entry]:
            return await self._reader.read(10, wait_s)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._reader, name)

    class FewAtATime:
        async def reader(self, topic: str, group: str, start: Start) -> Reader:
            return TenAtATime(await log.reader(topic, group, start))

        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

    processor = Counting()
    metrics = ProcessorMetrics(CollectorRegistry(), processor.name)
    async with at_work(Runner(processor, FewAtATime(), store, metrics=metrics, pace=Pace(60.0))):
        await met(lambda: len(counted(store)) == 1_000)


async def test_what_was_read_ahead_is_read_again_after_a_fence(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records(*map(str, range(1_200))))
    stolen = False

    class Robbed(Counting):
        def apply(self, transaction: Transaction, events: Sequence[str], now_ms: int) -> None:
            nonlocal stolen
            super().apply(transaction, events, now_ms)
            if not stolen:
                stolen = True
                raise Fenced("another owner has moved the position")

    processor = Robbed()
    await run_to_end(processor, log, store)
    assert counted(store) == dict.fromkeys(range(1_200), 1)


def test_quick_batches_are_nearer_to_each_other_than_slow_ones_up_to_the_pace() -> None:
    pace = Pace(0.01, busy=0.5)
    assert [pace.apart_s(took_s) for took_s in (0.001, 0.004, 0.1)] == [0.002, 0.008, 0.01]
    assert [Pace(0.25).apart_s(took_s) for took_s in (0.001, 0.1)] == [0.25, 0.25]


class AssignedAnew:
    """A reader whose partitions are assigned anew before each read, as in a rebalance."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.reload, self.report, self.close = reader.reload, reader.report, reader.close

    async def read(self, max_records: int, wait_s: float) -> list[Entry]:
        await self._reader.reload()
        return await self._reader.read(max_records, wait_s)


class ParksLate:
    """A log that takes no record before `now` is set."""

    def __init__(self, log: SqliteLog, now: asyncio.Event) -> None:
        self._log, self._now = log, now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, appended: Sequence[Record]) -> None:
        await asyncio.wait_for(self._now.wait(), 60)
        await self._log.append(appended)


async def fold_while_assigned_anew(
    log: SqliteLog, store: SqlStore, meanwhile: Callable[[], None]
) -> None:
    """Fold a backlog. While its first batch is under way, `meanwhile` is called and the partitions
    are assigned anew."""
    bodies = ["bad", *map(str, range(1, 1_200))]  # The first is parked before its batch is folded.
    await log.append([msgspec.structs.replace(each, time_ms=0) for each in records(*bodies)])
    processor, assigned, starts = Counting(), asyncio.Event(), list[int]()

    async def readers(topic: str, group: str, start: Start) -> Reader:
        async def counting(partitions: Collection[int]) -> Mapping[int, int]:
            starts.append(len(starts))
            if len(starts) == 2:
                meanwhile()
            found = await start(partitions)
            if len(starts) == 2:
                assigned.set()
            return found

        return AssignedAnew(await log.reader(topic, group, counting))

    runner = Runner(
        processor,
        ParksLate(log, assigned),
        store,
        metrics=ProcessorMetrics(CollectorRegistry(), processor.name),
        readers=readers,
    )
    async with at_work(runner):
        await met(lambda: len(counted(store)) == 1_199)
    assert counted(store) == dict.fromkeys(range(1, 1_200), 1)


async def test_a_batch_under_way_when_partitions_are_assigned_anew_is_folded_once(
    log: SqliteLog, store: SqlStore
) -> None:
    await fold_while_assigned_anew(log, store, lambda: None)


async def test_a_batch_under_way_whose_partition_another_owner_had_is_fenced(
    log: SqliteLog, store: SqlStore
) -> None:
    def another_owner() -> None:
        with store.begin() as transaction:
            transaction.advance("counting", "orders", {0: Move(None, 4, 4)}, 0)
            Counting().apply(transaction, ["1", "2", "3"], 0)

    await fold_while_assigned_anew(log, store, another_owner)
