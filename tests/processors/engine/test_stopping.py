"""Failures of ours stop a shop, or a processor, and nobody else; what goes on again misses
nothing."""

from collections.abc import Sequence
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from orderwire.operation.moving.rewind import rewind
from processors.engine.limits import ParkLimit, TooManyFailures
from processors.engine.runner import BATCH, Runner
from processors.engine.stops import first_needed, go_on
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Entry
from stream.store.contract import (
    StoreBroken,
    Transaction,
)
from stream.store.sql.store import SqlStore
from tests.processors.engine.counting import (
    Counting,
    Mended,
    at_work,
    counted,
    met,
    parked_records,
    records,
    run_to_end,
    stopped,
    until,
)


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


async def test_a_shop_that_catches_up_with_its_failures_again_and_again_stops_as_well(
    log: SqliteLog, store: SqlStore
) -> None:
    processor, limit = Counting(), ParkLimit(max_run=40)
    metrics = ProcessorMetrics(CollectorRegistry(), processor.name)

    def settled(end: int) -> bool:
        with store.snapshot() as snapshot:
            position = snapshot.positions(processor.name)
        behind = stopped(store)
        return any(row.stopped for row in behind) or (
            not behind and [each.next for each in position] == [end]
        )

    async with at_work(Runner(processor, log, store, metrics=metrics, limit=limit)):
        for bursts in range(1, 9):
            await log.append(records(*["poison"] * 12))
            await met(partial(settled, bursts * 12))
    (row,) = stopped(store)
    assert row.stopped == 1
    assert "40 in a row" in row.reason
    assert len(await parked_records(log)) < 40


class Watched(Counting):
    """Notes how far it had read when each record was counted."""

    def __init__(self) -> None:
        super().__init__()
        self.furthest = -1
        self.read_by: dict[int, int] = {}

    def decode(self, entry: Entry) -> str | None:
        self.furthest = max(self.furthest, entry.offset)
        return super().decode(entry)

    def apply(self, transaction: Transaction, events: Sequence[str], now_ms: int) -> None:
        super().apply(transaction, events, now_ms)
        self.read_by |= dict.fromkeys(map(int, events), self.furthest)


@pytest.mark.parametrize("poison", ["poison", "broken"])
async def test_the_poison_of_one_shop_holds_up_none_of_anothers_records(
    log: SqliteLog, store: SqlStore, poison: str
) -> None:
    ours = records(*[str(number) for number in range(300)], shop="b")
    for start in range(0, 300, 10):
        await log.append([*records(*[poison] * 70, shop="a"), *ours[start : start + 10]])
    processor = Watched()
    await run_to_end(processor, log, store)
    assert counted(store) == dict.fromkeys(range(300), 1)
    read_past = [read - (n // 10 * 80 + 70 + n % 10) for n, read in processor.read_by.items()]
    # The next batch is read ahead, while this one is folded.
    assert max(read_past) < 2 * BATCH
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
