"""The runner on a real log and a real store: what it does with poison, fences, lost stores and
limits."""

import asyncio
import itertools
import random
import string
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from orderwire.operation.rewind import rewind
from processors.engine.limits import ParkLimit, TooManyFailures
from processors.engine.parking import (
    PARKED_CELLS,
    ParkedProcessor,
    body_at,
    fold,
    replayed,
)
from processors.engine.parking import parked as parked_record
from processors.engine.processor import Processor
from processors.engine.runner import Runner
from processors.engine.stops import StoppedShop, first_needed, go_on, stopped_shops
from processors.engine.ticking import OneTick
from processors.shopify.tolerance import Rejected
from stream.log.contract import Reader, RecordsRefused, Start
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Entry, Record
from stream.store.contract import (
    Cells,
    Fenced,
    Move,
    StoreBroken,
    StoreUnavailable,
    Transaction,
)
from stream.store.sql.store import SqlStore

COUNTED = Cells(
    "rfm_cell",
    ("shop", "last_day", "orders", "newcomer", "monetary"),
    ("customers", "order_count", "revenue"),
)


class Counting:
    """Counts records by their body; rejects `bad`, cannot fold `poison`, and has a hook that a test
    may set."""

    name = "counting"
    topic = "orders"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.before_apply: Callable[[], None] = lambda: None

    def decode(self, entry: Entry) -> str | None:
        body = entry.record.body.decode()
        if body == "bad":
            raise Rejected("bad_body")
        if body == "broken":
            raise KeyError("a decoder's own bug")
        return None if body == "ignored" else body

    def apply(self, transaction: Transaction, events: Sequence[str], now_ms: int) -> None:
        self.before_apply()
        if "poison" in events:
            raise ZeroDivisionError
        self.batches.append(len(events))
        transaction.add(COUNTED, {("s", 0, 0, 0, int(event)): (1, 0, 0) for event in events})

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None: ...


SINCE_MS = time.time_ns() // 1_000_000
"""When the first record came. A row of a parked record does not outlive the log's retention."""


def records(*bodies: str, shop: str = "s") -> list[Record]:
    return [
        Record(
            "orders",
            "k",
            body,
            SINCE_MS + number,
            {"shop": shop, "topic": "orders/create"},
            body.encode(),
        )
        for number, body in enumerate(bodies)
    ]


def counted(store: SqlStore) -> dict[int, int]:
    with store.snapshot() as snapshot:
        return {row[4]: row[5] for row in snapshot.changes(COUNTED, None).rows if row[5]}


def parked(store: SqlStore) -> dict[str, int]:
    with store.snapshot() as snapshot:
        return {row[1]: row[2] for row in snapshot.changes(PARKED_CELLS, None).rows if row[2]}


def stopped(store: SqlStore) -> list[StoppedShop]:
    with store.snapshot() as snapshot:
        return stopped_shops(snapshot)


async def parked_records(log: SqliteLog) -> list[Entry]:
    return await log.scan("parked", 0, 0, 1_000)


async def met(condition: Callable[[], bool]) -> None:
    """Wait until it is. Raises TimeoutError."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - nothing to await
            await asyncio.sleep(0.01)


@asynccontextmanager
async def at_work(runner: Runner[str]) -> AsyncIterator[None]:
    """Run while the block does. Raises what the runner raises."""
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def until(
    reached: Callable[[], bool],
    processor: Processor[str],
    log: SqliteLog,
    store: SqlStore,
    limit: ParkLimit | None = None,
) -> None:
    """Run until `reached`. Raises what the runner raises, and TimeoutError."""
    metrics = ProcessorMetrics(CollectorRegistry(), processor.name)
    async with at_work(Runner(processor, log, store, metrics=metrics, limit=limit)):
        await met(reached)


async def run_to_end(
    processor: Processor[str], log: SqliteLog, store: SqlStore, limit: ParkLimit | None = None
) -> None:
    """Run until the processor's position is the log's end. Raises what the runner raises."""
    stop = asyncio.Event()
    metrics = ProcessorMetrics(CollectorRegistry(), processor.name)
    task = asyncio.create_task(
        Runner(processor, log, store, metrics=metrics, limit=limit).run(stop)
    )

    async def at_end() -> None:
        while True:
            end = (await log.spans(processor.topic))[0].next
            with store.snapshot() as snapshot:
                if end == 0 or any(p.next == end for p in snapshot.positions(processor.name)):
                    return
            await asyncio.sleep(0.01)

    waiting = asyncio.create_task(at_end())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    waiting.cancel()
    await task


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


async def test_what_cannot_be_understood_is_parked_with_its_reason_and_the_rest_goes_on(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", "bad", "2", "broken", "poison", "3"))
    await run_to_end(Counting(), log, store)
    await run_to_end(ParkedProcessor(), log, store)  # type: ignore[arg-type]
    assert counted(store) == {1: 1, 2: 1, 3: 1}
    assert parked(store) == {
        "bad_body": 1,
        "decode_failed_KeyError": 1,
        "fold_failed_ZeroDivisionError": 1,
    }
    kept = await log.scan("parked", 0, 0, 10)
    assert {entry.record.body for entry in kept} == {b"bad", b"broken", b"poison"}


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
    assert counted(store) == {1: 1, 2: 1}
    assert parked(store) == {}


async def test_parking_one_record_twice_counts_once(log: SqliteLog, store: SqlStore) -> None:
    """A crash between parking and saving the position meets the record again."""
    await log.append(records("bad"))
    await run_to_end(Counting(), log, store)
    with store.begin() as transaction:
        transaction.execute("DELETE FROM positions")
    await run_to_end(Counting(), log, store)
    assert (await log.spans("parked"))[0].next == 2
    await run_to_end(ParkedProcessor(), log, store)  # type: ignore[arg-type]
    assert parked(store) == {"bad_body": 1}


async def test_a_replayed_parked_record_is_parked_again_only_if_it_is_still_bad(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("bad"))
    await run_to_end(Counting(), log, store)
    await run_to_end(ParkedProcessor(), log, store)  # type: ignore[arg-type]
    (entry,) = await log.scan("parked", 0, 0, 10)

    class Mended(Counting):
        def decode(self, entry: Entry) -> str | None:
            return "7"

    await log.append(replayed(entry))
    await run_to_end(ParkedProcessor(), log, store)  # type: ignore[arg-type]
    assert parked(store) == {}
    again = (await log.scan("orders", 0, 1, 10))[0].record
    assert (again.body, again.headers["topic"]) == (b"bad", "orders/create")
    await run_to_end(Counting(), log, store)
    await run_to_end(ParkedProcessor(), log, store)  # type: ignore[arg-type]
    assert parked(store) == {"bad_body": 1}
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT count(*) FROM parked")[0][0] == 1
    with store.begin() as transaction:
        transaction.execute("DELETE FROM positions WHERE processor = 'counting'")
    await run_to_end(Mended(), log, store)
    assert counted(store) == {7: 1}


def test_a_replay_is_newer_than_what_it_replays_on_whatever_partition_it_lands() -> None:
    """Partitions may be added to the topic `parked`: the note of a replay may then stand at a lower
    place than the record."""
    (record,) = records("bad")
    first = Entry(parked_record(Entry(record, 0, 5), Rejected("bad_body")), 3, 900)
    again, note = replayed(first)
    second = Entry(parked_record(Entry(again, 1, 7), Rejected("bad_body")), 0, 2)
    rows = [ParkedProcessor().decode(entry) for entry in (first, Entry(note, 1, 10), second)]
    assert len({row.id for row in rows}) == 1
    for order in itertools.permutations(rows):
        state = None
        for row in order:
            state = fold(state, row)
        assert state == rows[2]
    assert [row.replayed for row in rows] == [0, 1, 0]


async def test_a_decoder_of_ours_that_fails_for_a_shop_stops_that_shop_and_parks_nothing_of_it(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records(*["broken"] * 50))
    await run_to_end(Counting(), log, store, ParkLimit(max_run=20))
    (row,) = stopped(store)
    assert (row.shop, row.next, row.stopped) == ("s", 0, 1)
    assert "20 in a row" in row.reason
    assert "decode_failed_KeyError" in row.reason
    assert await parked_records(log) == []


async def test_bodies_that_lack_something_never_stop_anybody(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records(*["bad"] * 700))
    await run_to_end(Counting(), log, store, ParkLimit(max_run=20))
    assert stopped(store) == []
    assert len(await parked_records(log)) == 700


async def test_a_shop_that_nothing_can_be_folded_of_stops_after_as_many_as_the_limit_allows(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records(*["poison"] * 150))
    await run_to_end(Counting(), log, store, ParkLimit(max_run=100))
    await until(lambda: any(row.stopped for row in stopped(store)), Counting(), log, store)
    (row,) = stopped(store)
    assert (row.next, row.stopped) == (64, 1)
    assert len(await parked_records(log)) == 64


@pytest.mark.parametrize("poison", ["poison", "broken"])
async def test_the_poison_of_one_shop_holds_up_none_of_anothers_records(
    log: SqliteLog, store: SqlStore, poison: str
) -> None:
    ours = records(*[str(number) for number in range(300)], shop="b")
    for start in range(0, 300, 10):
        await log.append([*records(*[poison] * 70, shop="a"), *ours[start : start + 10]])
    processor = Counting()
    await run_to_end(processor, log, store)
    assert counted(store) == dict.fromkeys(range(300), 1)
    await until(lambda: all(row.stopped for row in stopped(store)), Counting(), log, store)
    assert [row.shop for row in stopped(store)] == ["a"]


async def test_several_shops_that_fail_stop_the_processor_where_it_is(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", shop="a"))
    await run_to_end(Counting(), log, store)
    for shop in "abcdefgh":
        await log.append(records(*["broken"] * 10, shop=shop))
    with pytest.raises(TooManyFailures, match="40 in a row, of 4 shops"):
        await run_to_end(Counting(), log, store, ParkLimit(max_run=20))
    with store.snapshot() as snapshot:
        assert [p.next for p in snapshot.positions()] == [1]
    assert await parked_records(log) == []
    assert [(row.shop, row.next, row.stopped) for row in stopped(store)] == [("", 1, 1)]


class Mended(Counting):
    """A later version of the program."""

    def decode(self, entry: Entry) -> str | None:
        return str(100 + entry.offset)


async def test_a_stopped_shop_goes_on_with_the_next_start_and_misses_nothing(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records(*["broken"] * 50, shop="a"))
    await log.append(records("1", "2", shop="b"))
    await run_to_end(Counting(), log, store, ParkLimit(max_run=20))
    assert [row.shop for row in stopped(store)] == ["a"]
    await log.append(records("broken", shop="a"))
    await run_to_end(Counting(), log, store, ParkLimit(max_run=20))
    await log.append(records("broken", shop="a"))
    await until(lambda: not stopped(store), Mended(), log, store)
    assert counted(store) == dict.fromkeys((1, 2, *range(100, 150), 152, 153), 1)


async def test_a_stopped_shop_goes_on_when_asked_to_and_what_still_fails_is_parked(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records(*["broken"] * 50, "1", shop="a"))
    processor, limit = Counting(), ParkLimit(max_run=20)

    def ask() -> bool:
        for row in stopped(store):
            if row.stopped:
                with store.begin() as transaction:
                    go_on(transaction, row, limited_from=51)
        return counted(store) == {1: 1}

    await until(ask, processor, log, store, limit)
    assert stopped(store) == []
    assert len(await parked_records(log)) == 50


async def test_a_stopped_processor_goes_on_when_asked_to_and_what_still_fails_is_parked(
    log: SqliteLog, store: SqlStore
) -> None:
    for shop in "abcdefgh":
        await log.append(records(*["broken"] * 10, "1", shop=shop))
    limit = ParkLimit(max_run=19)
    with pytest.raises(TooManyFailures):
        await run_to_end(Failing(), log, store, limit)
    (row,) = stopped(store)
    with store.begin() as transaction:
        go_on(transaction, row, limited_from=88)
    await until(lambda: not stopped(store), Failing(), log, store, limit)
    assert len(await parked_records(log)) == 88


class Failing(Counting):
    def decode(self, entry: Entry) -> str | None:
        raise KeyError


async def test_a_batch_that_fails_although_each_shops_records_can_be_folded_is_folded_shop_by_shop(
    log: SqliteLog, store: SqlStore
) -> None:
    class OneShopAtATime(Counting):
        def apply(self, transaction: Transaction, events: Sequence[str], now_ms: int) -> None:
            if len(events) > 2:
                raise ZeroDivisionError
            super().apply(transaction, events, now_ms)

    await log.append([*records("1", "2", shop="a"), *records("3", "4", shop="b")])
    await run_to_end(OneShopAtATime(), log, store)
    assert counted(store) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert await parked_records(log) == []


async def test_a_broken_database_stops_the_processor_and_parks_nothing(
    log: SqliteLog, store: SqlStore
) -> None:
    class Lacking(Counting):
        def apply(self, transaction: Transaction, events: Sequence[str], now_ms: int) -> None:
            transaction.query("SELECT 1 FROM a_table_that_is_not_there")

    await log.append(records("1", "2"))
    with pytest.raises(StoreBroken):
        await run_to_end(Lacking(), log, store)
    with store.snapshot() as snapshot:
        assert snapshot.positions() == []
    assert (await log.spans("parked")).get(0, (0, 0))[1] == 0


async def test_a_record_with_an_id_longer_than_an_index_takes_is_parked_like_any_other(
    log: SqliteLog, store: SqlStore
) -> None:
    name = "".join(random.Random(1).choices(string.ascii_letters, k=9_000))
    await log.append(
        [
            Record(
                "parked",
                "k",
                name,
                SINCE_MS,
                {"shop": "s", "topic": name[:4_000], "parked_reason": "unknown_topic"},
                b"{}",
            )
        ]
    )
    stop = asyncio.Event()
    runner = Runner(
        ParkedProcessor(),
        log,
        store,
        metrics=ProcessorMetrics(CollectorRegistry(), "parked"),
        committed=lambda _: stop.set(),
    )
    await asyncio.wait_for(runner.run(stop), 20)
    assert parked(store) == {"unknown_topic": 1}


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


class Ticking(Counting):
    """Two projections, of which one fails in some shops while `failing` names them."""

    def __init__(self) -> None:
        super().__init__()
        self.failing: set[str] = {"b"}
        self.asked: list[tuple[str, str | None]] = []
        self.ticks = {"one": partial(self._tick, "one"), "two": partial(self._tick, "two")}

    def _tick(
        self, name: str, transaction: Transaction, now_ms: int, shop: str | None = None
    ) -> None:
        self.asked.append((name, shop))
        if name == "one" and (self.failing if shop is None else shop in self.failing):
            raise ZeroDivisionError


async def test_a_tick_that_fails_stops_neither_its_processor_nor_another_projections_tick(
    log: SqliteLog, store: SqlStore
) -> None:
    processor = Ticking()
    await log.append(records("1"))
    metrics = ProcessorMetrics(CollectorRegistry(), processor.name)
    runner = Runner(processor, log, store, metrics=metrics, shops=("a", "b"))
    async with at_work(runner):
        await met(lambda: [each.shop for each in runner.failing_ticks()] == [None, "b"])
        await met(lambda: processor.asked.count(("two", None)) >= 2)
        await log.append(records("2"))
        await met(lambda: 2 in counted(store))


def test_a_shop_whose_tick_fails_waits_longer_each_time_and_the_others_are_asked(
    store: SqlStore,
) -> None:
    processor = Ticking()
    tick = OneTick("counting", "one", processor.ticks["one"], ("a", "b", "c"))
    for second in range(100):
        tick.run(store, 1_000, float(second))
    asked = [shop for _, shop in processor.asked]
    assert asked.count("b") == 3  # at 0, 5 and 35 s
    assert asked.count("a") == asked.count("c") == 100
    processor.failing.clear()
    for second in range(155, 160):
        tick.run(store, 1_000, float(second))
    assert tick.failing() == []
    assert processor.asked[-1] == ("one", None), "all shops together again"


def test_a_tick_asks_a_few_shops_at_a_time(store: SqlStore) -> None:
    processor = Ticking()
    shops = [f"s{number:04}" for number in range(1_000)]
    processor.failing = {shops[500]}
    tick = OneTick("counting", "one", processor.ticks["one"], shops)
    tick.run(store, 1_000, 0.0)
    assert len(processor.asked) == 21
    for second in range(1, 50):
        tick.run(store, 1_000, float(second))
    assert {shop for _, shop in processor.asked} == {None, *shops}


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
    async with at_work(Runner(processor, FewAtATime(), store, metrics=metrics, pace_s=60.0)):
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


async def test_a_position_moved_back_before_a_stopped_shops_takes_it_along(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", shop="b"))
    await log.append(records(*["broken"] * 50, shop="a"))
    await log.append(records("2", shop="b"))
    await run_to_end(Counting(), log, store, ParkLimit(max_run=20))
    assert [(row.shop, row.next) for row in stopped(store)] == [("a", 1)]
    rewind(store, "orders", ["counting"], {0: 0}, await log.spans("orders"))
    await until(lambda: counted(store).get(102) == 1, Mended(), log, store)
    assert stopped(store) == []
    assert counted(store) == dict.fromkeys((1, 2, *range(100, 152)), 1)


async def test_retention_keeps_what_a_stopped_shop_has_yet_to_read(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", shop="b"))
    await log.append(records(*["broken"] * 50, shop="a"))
    await run_to_end(Counting(), log, store, ParkLimit(max_run=20))
    with store.snapshot() as snapshot:
        assert [p.next for p in snapshot.positions()] == [51]
        assert first_needed(snapshot) == {("counting", "orders", 0): 1}


class Narrow:
    """A log whose topic `parked` refuses records: larger ones, or all."""

    def __init__(self, log: SqliteLog, largest: int) -> None:
        self._log, self.largest = log, largest

    async def append(self, records: Sequence[Record]) -> None:
        refused = [each for each in records if len(each.body) > self.largest]
        await self._log.append([each for each in records if each not in refused])
        if refused:
            raise RecordsRefused("too_large", "more than parked takes", refused)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


async def test_a_record_too_large_for_the_topic_parked_is_parked_without_its_body(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", "bad", "2"))
    await run_to_end(Counting(), Narrow(log, 2), store)  # type: ignore[arg-type]
    assert counted(store) == {1: 1, 2: 1}
    (entry,) = await parked_records(log)
    assert (entry.record.body, body_at(entry)) == (b"", ("orders", 0, 1))


async def test_a_shop_whose_records_can_in_no_way_be_parked_waits_and_the_others_go_on(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append([*records("1", shop="b"), *records("bad", shop="a"), *records("2", shop="b")])
    await run_to_end(Counting(), Narrow(log, -1), store)  # type: ignore[arg-type]
    assert counted(store) == {1: 1, 2: 1}
    (row,) = stopped(store)
    assert (row.shop, row.next, row.stopped) == ("a", 1, 1)
    assert "cannot be parked" in row.reason
    await until(lambda: not stopped(store), Counting(), log, store)
    assert len(await parked_records(log)) == 1
