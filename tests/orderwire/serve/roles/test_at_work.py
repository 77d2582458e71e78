"""Metrics name the shops that the process role does nothing for, and the part that failed."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from orderwire.serve.isolation import Parts
from orderwire.serve.reporting.role_metrics import StoppedShops
from orderwire.serve.roles.at_work import AtWork
from processors.engine.limits import ParkLimit
from processors.engine.rebuild import Pending
from processors.engine.runner import Runner
from stream.log.sqlite.log import SqliteLog
from stream.metric_names import NAMED, OTHERS
from stream.metrics import ProcessorMetrics
from stream.store.sql.store import SqlStore
from tests.processors.engine import counting
from tests.processors.engine.counting import met, records
from tests.processors.engine.test_ticks import Ticking


def stopped(registry: CollectorRegistry) -> list[tuple[str, str]]:
    (family,) = registry.collect()
    return [(sample.labels["part"], sample.labels["shop"]) for sample in family.samples]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_shop_is_named_with_the_processor_projection_or_tick_that_failed_for_it(
    log: SqliteLog, store: SqlStore
) -> None:
    at_work, registry = AtWork(Parts(asyncio.Event())), CollectorRegistry()
    StoppedShops(registry, at_work.stopped_shops)
    assert stopped(registry) == []
    processor = Ticking()
    metrics = ProcessorMetrics(at_work.registry, processor.name)
    limit = ParkLimit(max_run=20)
    runner = Runner(processor, log, store, metrics=metrics, limit=limit, shops=("a", "b"))
    at_work.runners[processor.name] = runner
    await log.append(records("1", shop="b"))
    await log.append(records(*["broken"] * 50, shop="a"))
    async with counting.at_work(runner):
        await met(lambda: stopped(registry) == [("counting", "a"), ("tick one", "b")])
    at_work.show_uncounted(frozenset({Pending("c", "rfm")}))
    assert stopped(registry) == [("counting", "a"), ("rfm", "c"), ("tick one", "b")]


def test_of_a_thousand_stopped_shops_some_are_named_and_the_rest_is_one() -> None:
    registry = CollectorRegistry()
    StoppedShops(registry, lambda: [("orders", f"shop-{number}") for number in range(1_000)])
    assert len(stopped(registry)) == NAMED + 1
    assert stopped(registry)[-1] == (OTHERS, OTHERS)
