"""A tick that fails costs neither another tick nor another shop."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pytest
from prometheus_client import CollectorRegistry

from processors.engine.processor import NO_TICKS
from processors.engine.runner import IDLE_S, TICK_S, Runner
from processors.engine.ticking import OneTick
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Entry
from stream.store.contract import (
    Transaction,
)
from stream.store.sql.store import SqlStore
from tests.processors.engine.counting import (
    COUNTED,
    Counting,
    at_work,
    counted,
    met,
    records,
)


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


FOLLOWED = replace(COUNTED, followed=True)


class ChangingLate(Counting):
    """Its third tick changes a cell; nothing is ever folded."""

    ticked = 0

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        self.ticked += 1
        if self.ticked == 3:
            transaction.add(FOLLOWED, {("s", 0, 0, 0, 1): (1, 0, 0)})


async def test_what_a_tick_changed_is_forgotten_though_no_record_comes(
    log: SqliteLog, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("processors.engine.runner.FORGET_S", 0.0)
    monkeypatch.setattr("processors.engine.runner.CHANGES_KEPT_MS", 0)
    monkeypatch.setattr("processors.engine.runner.TICK_S", 0.05)
    processor = ChangingLate()

    def kept() -> int:
        with store.snapshot() as snapshot:
            return int(snapshot.query("SELECT count(*) AS n FROM cell_changes")[0].n)

    metrics = ProcessorMetrics(CollectorRegistry(), processor.name)
    async with at_work(Runner(processor, log, store, metrics=metrics)):
        await met(lambda: processor.ticked >= 3 and 1 in counted(store))
        await met(lambda: kept() == 0)


class Silent:
    """A reader without records, which notes how long it may wait for them."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []

    async def read(self, max_records: int, wait_s: float) -> list[Entry]:
        self.waits_s.append(wait_s)
        await asyncio.Event().wait()
        return []

    async def reload(self) -> None: ...
    async def report(self, positions: Mapping[int, int]) -> None: ...
    async def close(self) -> None: ...


@pytest.mark.parametrize(("ticks", "wait_s"), [({}, TICK_S), ({"ticks": NO_TICKS}, IDLE_S)])
async def test_a_processor_that_does_not_depend_on_time_sleeps_longer_while_it_is_idle(
    log: SqliteLog, store: SqlStore, ticks: dict[str, object], wait_s: float
) -> None:
    processor, reader = Counting(), Silent()
    vars(processor).update(ticks)

    async def readers(topic: str, name: str, start: object) -> Silent:
        return reader

    metrics = ProcessorMetrics(CollectorRegistry(), processor.name)
    async with at_work(Runner(processor, log, store, metrics=metrics, readers=readers)):
        await met(lambda: reader.waits_s == [wait_s])
