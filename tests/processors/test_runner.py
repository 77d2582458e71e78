"""The runner on a real log and a real store: what it does with poison, fences, lost stores and limits."""

import asyncio
import itertools
import random
import string
from collections.abc import Callable, Sequence

import pytest
from prometheus_client import CollectorRegistry

from processors.engine.parking import (
    PARKED_CELLS,
    ParkedProcessor,
    ParkLimit,
    TooMuchParked,
    fold,
    replayed,
)
from processors.engine.parking import parked as parked_record
from processors.engine.processor import Processor
from processors.engine.runner import Runner
from processors.shopify.tolerance import Rejected
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Entry, Record
from stream.store.contract import Cells, Move, StoreBroken, StoreUnavailable, Transaction
from stream.store.sql.store import SqlStore

COUNTED = Cells(
    "rfm_cell", ("shop", "last_day", "orders", "monetary"), ("customers", "order_count", "revenue")
)


class Counting:
    """Counts records by their body; rejects `bad`, cannot fold `poison`, and has a hook that a test may set."""

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
        transaction.add(COUNTED, {("s", 0, 0, int(event)): (1, 0, 0) for event in events})

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None: ...


def records(*bodies: str) -> list[Record]:
    return [
        Record(
            "orders",
            "k",
            body,
            1_000 + number,
            {"shop": "s", "topic": "orders/create"},
            body.encode(),
        )
        for number, body in enumerate(bodies)
    ]


def counted(store: SqlStore) -> dict[int, int]:
    with store.snapshot() as snapshot:
        return {row[3]: row[4] for row in snapshot.changes(COUNTED, None).rows if row[4]}


def parked(store: SqlStore) -> dict[str, int]:
    with store.snapshot() as snapshot:
        return {row[1]: row[2] for row in snapshot.changes(PARKED_CELLS, None).rows if row[2]}


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


async def test_a_parked_record_is_replayed_onto_its_topic_and_counts_as_parked_again_only_if_still_bad(
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
    """Partitions may be added to the topic `parked`: the note of a replay may then stand at a lower place than the record."""
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


async def test_it_stops_loudly_when_nearly_everything_is_rejected_and_does_not_drain_the_topic(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records(*["bad"] * 50))
    with pytest.raises(TooMuchParked, match=r"20 in a row.*orderwire replay --parked"):
        await run_to_end(Counting(), log, store, ParkLimit(max_run=20))
    with store.snapshot() as snapshot:
        assert snapshot.positions() == []
    assert (await log.spans("parked")).get(0, (0, 0))[1] == 0


async def test_it_stops_as_loudly_when_nothing_can_be_folded(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records(*["poison"] * 150))
    with pytest.raises(TooMuchParked, match="20 in a row"):
        await run_to_end(Counting(), log, store, ParkLimit(max_run=20))
    assert (await log.spans("parked"))[0].next == 20


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
                1_000,
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


def test_a_share_of_bad_records_above_the_ratio_stops_too_but_a_few_do_not() -> None:
    limit = ParkLimit(max_run=100, max_ratio=0.2, window=50)
    for number in range(500):
        limit.note(rejected=number % 6 == 0)
    with pytest.raises(TooMuchParked):
        for number in range(500):
            limit.note(rejected=number % 3 == 0)


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
                    transaction.add(COUNTED, {("s", 0, 0, 3): (1, 0, 0)})
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


async def test_it_stops_when_told_to_while_the_store_is_away(
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
