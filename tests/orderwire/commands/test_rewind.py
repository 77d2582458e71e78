"""Positions go back safely, and reading any part again changes no aggregate."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from orderwire.cli import app
from orderwire.operation.moving.rewind import rewind, targets
from orderwire.operation.refused import Refused
from orderwire.serve.registry import PROCESSORS
from orderwire.settings.program import Settings
from processors.engine.runner import Runner
from stream.log.contract import PositionLost, Span
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.store.contract import Move
from stream.store.sql.store import SqlStore
from tests.support.shops.shop_world import (
    deliveries,
    everything,
    fold_all,
    fold_some,
    records,
)

runner = CliRunner()
READERS = ("capi", "orders")


async def test_reading_any_part_again_any_number_of_times_changes_no_aggregate(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    answer = records(deliveries(50))
    await log.append(answer)
    await fold_all(shop_settings, log, store)
    before = everything(store, aggregates=True)
    spans = {topic: await log.spans(topic) for topic in ("orders", "checkouts")}
    loop = asyncio.get_running_loop()

    @given(
        st.lists(
            st.tuples(st.sampled_from([*READERS, "carts"]), st.floats(0, 1)),
            min_size=1,
            max_size=3,
            unique_by=lambda one: one[0],
        )
    )
    @hypothesis_settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    def reading_again(chosen: list[tuple[str, float]]) -> None:
        for name, share in chosen:
            topic = PROCESSORS[name](shop_settings).topic
            rewind(store, topic, {name}, {0: int(share * spans[topic][0].next)}, spans[topic])
        asyncio.run_coroutine_threadsafe(fold_all(shop_settings, log, store), loop).result()
        assert everything(store, aggregates=True) == before

    await asyncio.to_thread(reading_again)


async def test_a_lost_position_goes_to_the_first_record_kept_and_says_what_is_gone(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    answer = [
        msgspec.structs.replace(record, time_ms=1_000)
        for record in records(deliveries(20))
        if record.topic == "orders"
    ]
    await log.append(answer)
    await fold_some(shop_settings, log, store, "orders", at_most=2)
    await log.retain("orders", 2_000, {0: len(answer)})
    await log.append(answer[:1])
    one = Runner(
        PROCESSORS["orders"](shop_settings),
        log,
        store,
        metrics=ProcessorMetrics(CollectorRegistry(), "orders"),
    )
    with pytest.raises(PositionLost, match="orderwire replay --topic orders --from earliest"):
        await one.run(asyncio.Event())

    done = await asyncio.to_thread(
        runner.invoke,
        app,
        ["replay", "--topic", "orders", "--from", "earliest", "--processor", "orders"],
    )
    assert done.exit_code == 0, done.output
    assert f"orders goes from 2 to {len(answer)} of orders/0" in done.output
    assert f"{len(answer) - 2} offsets before it are gone" in done.output
    assert await fold_some(shop_settings, log, store, "orders") == 1


async def test_a_running_processor_is_fenced_and_reads_again_without_counting_twice(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    answer = [record for record in records(deliveries(40)) if record.topic == "orders"]
    await log.append(answer[:-1])
    stop = asyncio.Event()
    metrics = ProcessorMetrics(CollectorRegistry(), "orders")
    task = asyncio.create_task(
        Runner(PROCESSORS["orders"](shop_settings), log, store, metrics=metrics).run(stop)
    )

    async def reached(offset: int, count: int) -> None:
        while not task.done():
            with store.snapshot() as snapshot:
                if any(
                    p.next == offset and p.records == count for p in snapshot.positions("orders")
                ):
                    return
            await asyncio.sleep(0.01)
        await task

    end = len(answer) - 1
    await reached(end, end)
    before = everything(store, aggregates=True)
    spans = await log.spans("orders")
    (moved,) = rewind(store, "orders", {"orders"}, targets(spans, None, None), spans)
    assert (moved.before, moved.now, moved.lost) == (end, 0, 0)
    await log.append(answer[-2:-1])  # one that it knows: it brings the fence, and changes nothing
    await reached(end + 1, 2 * end + 1)
    stop.set()
    await task
    assert everything(store, aggregates=True) == before


async def test_a_processor_that_is_faster_is_looked_at_again(
    shop_settings: Settings, store: SqlStore
) -> None:
    span = {0: Span(0, 100)}
    with store.begin() as transaction:
        transaction.advance("orders", "orders", {0: Move(None, 10, 10)}, 1)

    class Busy:
        """The store of somebody whose processor commits once between our look and our write."""

        dialect = store.dialect
        commits = iter([(10, 20), (20, 30)])

        def snapshot(self) -> Any:
            return store.snapshot()

        def begin(self) -> Any:
            if commit := next(self.commits, None):
                with store.begin() as transaction:
                    transaction.advance("orders", "orders", {0: Move(commit[0], commit[1], 10)}, 1)
            return store.begin()

        def close(self) -> None: ...

    (moved,) = rewind(Busy(), "orders", {"orders"}, {0: 5}, span)
    assert (moved.before, moved.now) == (30, 5)


def test_going_forward_over_unread_records_is_refused(store: SqlStore) -> None:
    with store.begin() as transaction:
        transaction.advance("orders", "orders", {0: Move(None, 10, 10)}, 1)
    with pytest.raises(Refused, match="would skip records not yet read"):
        rewind(store, "orders", {"orders"}, {0: 11}, {0: Span(0, 100)})


def test_an_offset_outside_the_log_or_without_its_partition_is_refused() -> None:
    spans = {0: Span(5, 10), 1: Span(0, 3)}
    assert targets(spans, None, None) == {0: 5, 1: 0}
    assert targets(spans, 7, 0) == {0: 7}
    for to, partition in ((7, None), (4, 0), (11, 0), (1, 2)):
        with pytest.raises(Refused):
            targets(spans, to, partition)
