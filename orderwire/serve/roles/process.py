"""The role `process`: every processor of the registry at work, and the CAPI sender beside them.

Each processor has its own position and thread. One that stops because too much had to be parked, or because its position was lost, is told
in the log and by `/v1/status` and `/readyz`, and the others go on; any other failure ends the role, and the supervisor starts it again.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry

from destinations.delivery.ledger import end_leases
from destinations.delivery.outbox import CapiProcessor
from destinations.delivery.sender import Sender
from destinations.delivery.transport import aiohttp_call, client_session
from destinations.meta.contacts import forget_others
from destinations.meta.quality import QualityPoller
from orderwire.serve.connections import open_log, wait_for_store
from orderwire.serve.feeds import feeds, keeping_contacts, running
from orderwire.serve.heartbeat import Heartbeat, Identity, alive
from orderwire.serve.registry import PROCESSORS, pixels, zones
from orderwire.serve.store_lock import store_to_itself
from orderwire.settings.program import Settings
from processors.engine.parking import ParkLimit, TooMuchParked
from processors.engine.runner import Runner
from processors.shopify.orders import Order
from stream.log.contract import Log, PositionLost, Unavailable
from stream.metrics import CapiMetrics, ProcessorMetrics
from stream.record import TOPICS
from stream.store.contract import Store, StoreBroken, StoreError

if TYPE_CHECKING:
    from orderwire.serve.predicted_ltv import PredictedLtv

PACE_S = 0.25
"""Numbers are at most this old; a sale on its way to Meta waits less."""
SALE_PACE_S = 0.01
RETAIN_EVERY_S = 600.0
DAY_MS = 86_400_000

log = structlog.get_logger()


async def run(settings: Settings, stop: asyncio.Event, identity: Identity) -> None:
    """Process until `stop`; batches and requests that were begun are finished. Raises ConfigurationError where another one has the file."""
    alone = (
        None if settings.store_file is None else await store_to_itself(settings.store_file, stop)
    )
    store = await wait_for_store(settings, stop)
    if store is None:
        return
    if alone is not None:
        # This process has the file to itself, so whoever held a lease is dead.
        await asyncio.to_thread(_end_leases, store)
    await asyncio.to_thread(_forget_contacts, store, keeping_contacts(settings))
    source = await open_log(settings)
    registry = CollectorRegistry()
    stopped: dict[str, str] = {}
    try:
        async with alive(Heartbeat(store, identity, registry, lambda: {"stopped": stopped})):
            await _work(settings, stop, store, source, registry, stopped)
    finally:
        await source.close()
        store.close()
        if alone is not None:
            alone.release()


async def _work(
    settings: Settings,
    stop: asyncio.Event,
    store: Store,
    source: Log,
    registry: CollectorRegistry,
    stopped: dict[str, str],
) -> None:
    """Everything at work until `stop`, or until one of them fails; processors that stop themselves are told in `stopped`."""
    session = client_session()
    call = aiohttp_call(session)
    sender = Sender(store, pixels(settings), call, metrics=CapiMetrics(registry))
    asides = [
        asyncio.create_task(
            QualityPoller(store, pixels(settings), call).run(), name="capi quality"
        ),
        asyncio.create_task(_retain(source, store, settings), name="retention"),
    ]
    sending = asyncio.create_task(sender.run(), name="capi sender")
    ltv = _predicted_ltv(settings, store)

    def wake(orders: Sequence[Order]) -> None:
        sender.wake({order.shop for order in orders})

    metrics: ProcessorMetrics | None = None
    work = []
    for name in running(settings):
        metrics = ProcessorMetrics(registry, name, shared=metrics)
        limit = ParkLimit(settings.park_max_run, settings.park_max_ratio)
        urgent = name == "capi"
        runner = Runner(
            PROCESSORS[name](settings)
            if not urgent or ltv is None
            else CapiProcessor(pixels(settings), zones(settings), ltv),
            source,
            store,
            metrics=metrics,
            limit=limit,
            committed=wake if urgent else _nothing,
            pace_s=SALE_PACE_S if urgent else PACE_S,
        )
        work.append(asyncio.create_task(_isolated(name, runner, stop, stopped), name=name))
    try:
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([stopping, sending, *work, *asides], return_when=asyncio.FIRST_COMPLETED)
        for task in (sending, *work, *asides):
            if task.done():
                task.result()  # Raises what ended it; the rest is taken down below.
        stopping.cancel()
    finally:
        stop.set()
        for aside in asides:
            aside.cancel()
        await asyncio.gather(*work, *asides, return_exceptions=True)
        if ltv is not None:
            await asyncio.to_thread(ltv.stop)
        sender.stop()
        await asyncio.gather(sending, return_exceptions=True)
        await session.close()


def _predicted_ltv(settings: Settings, store: Store) -> "PredictedLtv | None":
    """RFM's predictions for Purchase events; None where no shop sends them, and then their libraries are not loaded either."""
    wanting = [
        shop
        for shop in settings.shops.values()
        if shop.capi is not None and shop.capi.send_predicted_ltv
    ]
    if not wanting:
        return None
    from orderwire.serve.answer_settings import rfm_settings
    from orderwire.serve.predicted_ltv import PredictedLtv

    ltv = PredictedLtv(
        store, {shop.domain: rfm_settings(shop, settings.rfm_window_days) for shop in wanting}
    )
    ltv.start()
    return ltv


def _end_leases(store: Store) -> None:
    with store.begin() as transaction:
        end_leases(transaction, time.time_ns() // 1_000_000)


def _forget_contacts(store: Store, kept: Collection[str]) -> None:
    with store.begin() as transaction:
        forgotten = forget_others(transaction, kept)
    if forgotten:
        log.info(
            "hashed contacts forgotten: keep_hashed_contacts is off for their shops",
            hashes=forgotten,
        )


def _nothing(events: Sequence[Any]) -> None:
    """Nobody waits for this processor's batches."""


async def _isolated(
    name: str, runner: Runner[Any], stop: asyncio.Event, stopped: dict[str, str]
) -> None:
    """Run one processor; keep its failure from the others where only a person can mend it."""
    try:
        await runner.run(stop)
    except (TooMuchParked, PositionLost, StoreBroken) as error:
        stopped[name] = str(error)
        log.error("processor stopped", processor=name, reason=str(error))
        await stop.wait()


async def _retain(source: Log, store: Store, settings: Settings) -> None:
    """Drop what is older than the retention and read by everybody."""
    while True:
        older_than_ms = time.time_ns() // 1_000_000 - settings.retention_days * DAY_MS
        try:
            for topic in TOPICS:
                unread = await _unread(
                    source,
                    store,
                    topic,
                    {name for name, read in feeds(settings).items() if read == topic},
                )
                if dropped := await source.retain(topic, older_than_ms, unread):
                    log.info("retention", topic=topic, records=dropped)
        except (StoreError, Unavailable) as error:
            log.warning("retention put off", error=str(error))
        await asyncio.sleep(RETAIN_EVERY_S)


async def _unread(
    source: Log, store: Store, topic: str, readers: Collection[str]
) -> dict[int, int]:
    """Up to where all `readers` of `topic` have read, by partition; what nobody reads may go by age alone."""
    spans = await source.spans(topic)

    def positions() -> dict[tuple[str, int], int]:
        with store.snapshot() as snapshot:
            return {
                (p.processor, p.partition): p.next for p in snapshot.positions() if p.topic == topic
            }

    known = await asyncio.to_thread(positions)
    return {
        partition: min(
            (known.get((name, partition), span.first) for name in readers), default=span.next
        )
        for partition, span in spans.items()
    }
