"""The role `process`: runs every processor of the registry, and the sender beside them. A part that
ends is reported in the log, `/v1/status` and `/readyz` and restarted, while the others go on."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from prometheus_client import CollectorRegistry

from destinations.browser.processor import NAME as BROWSER
from destinations.browser.processor import Post
from destinations.delivery.ledger import end_leases
from destinations.delivery.protocol import Context
from destinations.meta.contacts import forget_others
from destinations.registry import KINDS
from orderwire.doctor.predictions import wants_predicted_ltv
from orderwire.serve import sending
from orderwire.serve.audits.job import NAME as AUDITS
from orderwire.serve.feeds import keeping_contacts, running
from orderwire.serve.isolation import Parts
from orderwire.serve.log_owner import deployment, keep_owned, owned
from orderwire.serve.registry import PROCESSORS, orders_processor, projections, shared_orders
from orderwire.serve.reporting.exposing import exposing
from orderwire.serve.reporting.heartbeat import Heartbeat, Identity, alive
from orderwire.serve.reporting.role_metrics import (
    ClockMetrics,
    RoleMetrics,
    StoppedParts,
    StoppedShops,
)
from orderwire.serve.roles.at_work import AtWork
from orderwire.serve.schedule import ledger as schedule
from orderwire.serve.schedule.jobs import jobs
from orderwire.serve.schedule.scheduler import Scheduler
from orderwire.serve.schedule.services import services
from orderwire.serve.shops.live_settings import LiveSettings
from orderwire.serve.start.connections import open_log, wait_for_store
from orderwire.serve.start.store_lock import exclusive_store
from orderwire.serve.upkeep.alerting import alerting
from orderwire.serve.upkeep.clock_steps import ClockSteps, watch
from orderwire.serve.upkeep.rebuilding import rebuild
from orderwire.serve.upkeep.redacting import redact
from orderwire.serve.upkeep.retention import retain
from orderwire.serve.upkeep.statistics import keep_statistics
from orderwire.serve.upkeep.sweeping import keep_swept
from orderwire.settings.program import Settings
from processors.audits.processor import WantedRun
from processors.engine.limits import ParkLimit
from processors.engine.processor import Processor
from processors.engine.runner import Pace, Runner
from processors.engine.shared_decoding import for_nobody
from processors.orders.processor import NAME as ORDERS
from processors.shopify.orders import Order
from stream.clock import WallClock
from stream.log.contract import Log
from stream.log.shared_reader import SharedReaders
from stream.metrics import JobMetrics, ProcessorMetrics
from stream.store.contract import Store, StoreUnavailable

if TYPE_CHECKING:
    from orderwire.serve.shops.predicted_ltv import LtvPredictor

PACE = Pace(0.25)
"""Numbers are at most this old; a sale on its way to Meta waits less."""
SALE_PACE = Pace(0.01, busy=0.5)

log = structlog.get_logger()


async def run(live: LiveSettings, stop: asyncio.Event, identity: Identity) -> None:
    """Process until `stop`; batches and requests under way are finished. Raises ConfigurationError
    if another process role has the store's file."""
    settings = live.now
    file_lock = (
        None if settings.store_file is None else await exclusive_store(settings.store_file, stop)
    )
    store = await wait_for_store(settings, stop)
    if store is None:
        return
    if file_lock is not None:
        # This process has the file to itself, so the owner of any lease is dead.
        await asyncio.to_thread(_end_leases, store)
    clock = WallClock()
    steps = ClockSteps(store, clock)
    with suppress(StoreUnavailable):  # `watch` tries again.
        await asyncio.to_thread(steps.follow)
    source = await open_log(settings, identity.member)
    registry, at_work = CollectorRegistry(), AtWork(always := Parts(stop))
    registry.register(at_work)
    jobs_beside = services(store, source)
    scheduler = Scheduler(
        store,
        jobs(settings, jobs_beside),
        f"{identity.instance} {identity.started_ms}",
        JobMetrics(registry),
    )

    def details() -> dict[str, Any]:
        return {**at_work.details(), **live.details()}

    heartbeat = Heartbeat(store, identity, details)
    RoleMetrics(registry, settings, identity.restarts, lambda: heartbeat.fault, lambda: live.error)
    ClockMetrics(registry, lambda: steps.noticed)
    StoppedParts(registry, at_work.parts_by_state)
    StoppedShops(registry, at_work.stopped_shops)
    try:
        async with (
            alive(heartbeat),
            exposing(registry, identity, settings.metrics_address) as texts,
            alerting(texts, identity, live, store),
        ):
            scheduling = asyncio.create_task(
                always.keep("schedule", partial(scheduler.run, stop)), name="schedule"
            )
            following = asyncio.create_task(always.keep("clock", partial(watch, steps)))
            owning: asyncio.Task[None] | None = None
            try:
                name = await asyncio.to_thread(deployment, store)
                if not await owned(source, name, stop, partial(always.note, "log")):
                    return
                always.well("log")
                owning = asyncio.create_task(keep_owned(source, name))
                owning.add_done_callback(lambda _: stop.set())
                current: Settings | None = settings
                while current is not None:
                    scheduler.replace(jobs(current, jobs_beside))
                    current = await _round(
                        current, live, stop, store, source, at_work, scheduler, clock
                    )
            finally:
                stop.set()
                following.cancel()
                await asyncio.gather(scheduling, return_exceptions=True)
                if owning is not None:
                    if owning.done():
                        owning.result()  # Another deployment has begun.
                    owning.cancel()
    finally:
        await source.close()
        store.close()
        if file_lock is not None:
            file_lock.release()


async def _round(
    settings: Settings,
    live: LiveSettings,
    stop: asyncio.Event,
    store: Store,
    source: Log,
    at_work: AtWork,
    scheduler: Scheduler,
    clock: WallClock,
) -> Settings | None:
    """Run all parts until `stop` or until other shops are configured; returns the new settings."""
    await asyncio.to_thread(_forget_contacts, store, keeping_contacts(settings))
    ended = asyncio.Event()
    changed = asyncio.create_task(live.changed(stop))
    at_work.begin(Parts(ended))
    work = asyncio.create_task(_work(settings, ended, store, source, at_work, scheduler, clock))
    try:
        await asyncio.wait({work, changed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended.set()
        await asyncio.gather(work, return_exceptions=True)
        changed.cancel()
    work.result()
    return changed.result()


async def _work(
    settings: Settings,
    stop: asyncio.Event,
    store: Store,
    source: Log,
    at_work: AtWork,
    scheduler: Scheduler,
    clock: WallClock,
) -> None:
    """Run all parts until `stop`."""
    registry, parts, runners = at_work.registry, at_work.parts, at_work.runners
    made = projections(settings)
    out = sending.Sending(settings, store, registry)
    asides = [
        asyncio.create_task(
            parts.keep("retention", partial(retain, source, store, settings, clock))
        ),
        asyncio.create_task(
            parts.keep("rebuild", partial(rebuild, store, made, show=at_work.show_uncounted))
        ),
        asyncio.create_task(parts.keep("sweep", partial(keep_swept, store, made.values()))),
        asyncio.create_task(parts.keep("redaction", partial(redact, settings, store, source))),
        *(asyncio.create_task(parts.keep(name, aside)) for name, aside in out.asides().items()),
    ]
    if store.dialect == "postgresql":
        gathering = parts.keep("statistics", partial(keep_statistics, store))
        asides.append(asyncio.create_task(gathering))
    sender = asyncio.create_task(parts.keep("sender", out.sender.run))
    ltv = await asyncio.to_thread(_predicted_ltv, settings, store)
    outboxes = {kind.processor: kind.name for kind in KINDS.values()}
    context = Context() if ltv is None else Context(ltv)

    def wake(events: Sequence[Order | Post]) -> None:
        out.sender.wake({event.shop for event in events})

    asking = set[asyncio.Task[None]]()

    def audit(wanted: Sequence[WantedRun]) -> None:
        task = asyncio.create_task(_audit(scheduler, {each.shop for each in wanted}))
        asking.add(task)
        task.add_done_callback(asking.discard)

    committed: dict[str, Callable[[Sequence[Any]], None]] = {
        **dict.fromkeys(outboxes, wake),
        AUDITS: audit,
    }
    readers = SharedReaders(source)
    decoded = shared_orders(settings)
    shares = {name: decoded.share(name) for name in (*outboxes, ORDERS)}

    def processor(name: str) -> Processor[Any]:
        if name in outboxes:
            return sending.outbox_processor(settings, outboxes[name], context, shares[name])
        if name == ORDERS:
            return orders_processor(settings, made, shares[name])
        return PROCESSORS[name](settings, made)

    metrics: ProcessorMetrics | None = None
    work = []
    for name in running(settings):
        metrics = ProcessorMetrics(registry, name, shared=metrics)
        limit = ParkLimit(settings.park_max_run, settings.park_max_ratio)
        urgent = name in outboxes or name == BROWSER
        runners[name] = runner = Runner(
            processor(name),
            source,
            store,
            metrics=metrics,
            limit=limit,
            shops=tuple(settings.shops),
            clock_ms=clock.careful_ms,
            committed=committed.get(name, _nothing),
            pace=SALE_PACE if urgent else PACE,
            before_backlog=shares[name].wait if name in shares else for_nobody,
            readers=readers.reader,
        )
        running_it = parts.keep(name, partial(runner.run, stop), runner.may_go_on)
        work.append(asyncio.create_task(running_it, name=name))
    try:
        await stop.wait()
    finally:
        stop.set()
        for aside in asides:
            aside.cancel()
        await asyncio.gather(*work, *asides, return_exceptions=True)
        if ltv is not None:
            await asyncio.to_thread(ltv.stop)
        out.sender.stop()
        await asyncio.gather(sender, return_exceptions=True)
        await out.close()


async def _audit(scheduler: Scheduler, shops: Collection[str]) -> None:
    """Have runs carried out now. Where the store is away, the job's next turn finds them."""
    with suppress(StoreUnavailable):
        await scheduler.soon(AUDITS, shops)


def _predicted_ltv(settings: Settings, store: Store) -> "LtvPredictor | None":
    """RFM's predictions for Purchase events; None if no shop sends them, so that their libraries
    are not loaded."""
    wanting = [shop for shop in settings.shops.values() if wants_predicted_ltv(shop)]
    if not wanting:
        return None
    from orderwire.serve.shops.answer_settings import rfm_settings
    from orderwire.serve.shops.predicted_ltv import LtvPredictor

    ltv = LtvPredictor(
        store, {shop.domain: rfm_settings(shop, settings.rfm_window_days) for shop in wanting}
    )
    ltv.start()
    return ltv


def _end_leases(store: Store) -> None:
    with store.begin() as transaction:
        end_leases(transaction, time.time_ns() // 1_000_000)
        schedule.end_leases(transaction)


def _forget_contacts(store: Store, kept: Collection[str]) -> None:
    with store.begin() as transaction:
        forgotten = forget_others(transaction, kept)
    if forgotten:
        log.info(
            "hashed contacts forgotten: keep_hashed_contacts is off for their shops",
            hashes=forgotten,
        )


def _nothing(events: Sequence[Any]) -> None:
    """Does nothing: nobody waits for this processor's batches."""
