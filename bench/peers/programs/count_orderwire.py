"""Orders per customer with orderwire, on Kafka. `--kind` is `rfm` or `all`: its projections."""

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from bench.peers.programs._counting import Meter, arguments
from orderwire.serve.role import settle_garbage_collector
from processors.engine.runner import Pace, Runner
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from stream.metrics import ProcessorMetrics
from stream.store.sql.store import SqlStore
from tests.support.shops.folding import all_orders, rfm_orders


async def main() -> None:
    """Count until the topic is read to its end."""
    options, stop = arguments(), asyncio.Event()
    meter = Meter(options.until)
    store = SqlStore.open(options.database)
    settings = KafkaSettings(
        topic_prefix=options.topic.removesuffix("orders"), partitions=4, session_timeout_s=6.0
    )
    log = await KafkaLog.open(options.bootstrap, settings)
    runner: Runner[Any] = Runner(
        all_orders() if options.kind == "all" else rfm_orders(),
        log,
        store,
        metrics=ProcessorMetrics(CollectorRegistry(), "orders"),
        committed=lambda events: meter.saw(len(events)),
        pace=Pace(0.01),
    )
    settle_garbage_collector()
    running = asyncio.create_task(runner.run(stop))

    def folded() -> int:
        """By all processes of the group."""
        with store.snapshot() as snapshot:
            return sum(each.records for each in snapshot.positions("orders"))

    while not meter.over_with(await asyncio.to_thread(folded)):  # noqa: ASYNC110 - nothing to await
        await asyncio.sleep(0.2)
    stop.set()
    await running
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT orders, revenue FROM rfm_customer")
    meter.finish((int(orders), int(revenue)) for orders, revenue in rows)
    await log.close()
    store.close()


asyncio.run(main())
