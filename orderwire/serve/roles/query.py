"""The role `query`: the API, answered from the store. Stateless, so any number may run."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry

from aggregates.carts.answer.overview import CartSettings
from orderwire.doctor.predictions import wants_predicted_ltv
from orderwire.serve.feeds import feeds
from orderwire.serve.reporting.exposing import exposing
from orderwire.serve.reporting.heartbeat import Heartbeat, Identity, alive
from orderwire.serve.reporting.role_metrics import RoleMetrics
from orderwire.serve.shops.accounts import shown
from orderwire.serve.shops.answer_settings import budget_settings, rfm_settings
from orderwire.serve.shops.live_settings import LiveSettings
from orderwire.serve.start.address import listen, sockets
from orderwire.serve.start.connections import open_log, wait_for_store
from orderwire.serve.start.opening import reaches
from orderwire.serve.upkeep.alerting import alerting
from orderwire.settings.program import Settings
from processors.engine.feed import Feed
from query.api_settings import ApiSettings, ShopAnswerSettings
from query.app import make_app
from query.services import SERVICES, ApiServices
from query.status.readiness import Watched

DRAIN_S = 5.0
SWITCH_S = 0.0005
"""How long a thread may go on while another waits for the interpreter. An answer changes between
the loop and the threads of refreshes and fits: with Python's 5 ms its p99 is a sixth higher."""


def api_settings(settings: Settings) -> ApiSettings:
    """The settings of the API. Raises ConfigurationError."""
    tokens = reaches(settings)
    shops = {
        domain: ShopAnswerSettings(
            zone=shop.zone,
            accounts=tuple(shown(shop)),
            sends_predicted_ltv=wants_predicted_ltv(shop),
            rfm=rfm_settings(shop, settings.rfm_window_days),
            carts=CartSettings(
                abandoned_after_minutes=settings.abandoned_after_minutes, currency=shop.currency
            ),
            budget=budget_settings(shop),
        )
        for domain, shop in settings.shops.items()
    }
    return ApiSettings(
        shops=shops,
        tokens=tokens,
        requests_per_s=settings.api_requests_per_s,
        log_kind="kafka" if settings.on_kafka else "sqlite",
        processors=tuple(Feed(name, topic) for name, topic in feeds(settings).items()),
    )


@asynccontextmanager
async def watched(services: ApiServices) -> AsyncIterator[Watched]:
    """Readiness is looked at while the block runs."""
    readiness = Watched(services, services.registry)
    watching = asyncio.create_task(readiness.keep(), name="readiness")
    try:
        yield readiness
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def run(live: LiveSettings, stop: asyncio.Event, identity: Identity) -> None:
    """Answer until `stop`."""
    sys.setswitchinterval(SWITCH_S)
    settings = live.now
    api = api_settings(settings)
    bound = await sockets(settings.api_address, stop, shared=settings.store_file is None)
    store = await wait_for_store(settings, stop)
    if store is None:
        return
    log = await open_log(settings)
    registry = CollectorRegistry()
    app = make_app(
        store=store,
        log=log,
        settings=api,
        clock=lambda: time.time_ns() // 1_000_000,
        registry=registry,
        instance=identity.instance,
    )
    runner = web.AppRunner(app, shutdown_timeout=DRAIN_S)
    await runner.setup()
    try:
        heartbeat = Heartbeat(store, identity, live.details)
        RoleMetrics(
            registry, settings, identity.restarts, lambda: heartbeat.fault, lambda: live.error
        )
        app[SERVICES].store_fault = lambda: heartbeat.fault
        async with (
            alive(heartbeat),
            watched(app[SERVICES]) as readiness,
            exposing(registry, identity, settings.metrics_address) as texts,
            alerting(texts, identity, live, store, lambda: "; ".join(readiness.reasons)),
        ):
            app[SERVICES].metric_texts = texts
            try:
                await listen(runner, bound)
                while (changed := await live.changed(stop)) is not None:
                    app[SERVICES].settings = api_settings(changed)
            finally:
                await runner.cleanup()
    finally:
        await log.close()
        store.close()
