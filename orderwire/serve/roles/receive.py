"""The role `receive`: appends webhooks to the log. It needs only the log; its heartbeat goes to the
store when that can be reached."""

import asyncio
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from ingest.meta.webhooks import MetaApp
from ingest.pixel.posts import PixelPosts
from ingest.receiver.app import Receiver
from ingest.receiver.body import Limits
from ingest.receiver.connections import ConnectionLimits
from ingest.receiver.tally import Tally
from orderwire.serve.reporting.delivery_counts import written_down
from orderwire.serve.reporting.exposing import exposing
from orderwire.serve.reporting.heartbeat import Heartbeat, Identity, alive
from orderwire.serve.reporting.role_metrics import RoleMetrics, SpoolMetrics
from orderwire.serve.shops.accounts import accounts
from orderwire.serve.shops.live_settings import LiveSettings
from orderwire.serve.shops.zones import zones
from orderwire.serve.start.address import listen, sockets
from orderwire.serve.start.connections import open_receiving_log
from orderwire.serve.start.open_files import connections, raise_limit
from orderwire.serve.tracing import tracing
from orderwire.serve.upkeep.alerting import alerting
from orderwire.settings.destinations import META
from orderwire.settings.program import ConfigurationError, Settings
from orderwire.settings.refusal import NO_SHOP
from stream.log.contract import Unavailable
from stream.metrics import ReceiverMetrics
from stream.store.sql.plain import PlainStore

DRAIN_S = 10.0
FAREWELL_S = 1.0
"""How long an open connection may still bring a request after the listener has closed."""


async def run(live: LiveSettings, stop: asyncio.Event, identity: Identity) -> None:
    """Receive until `stop`, then finish the answers under way and flush. Raises ConfigurationError
    if no shop is configured."""
    settings = live.now
    if not settings.shops:
        raise ConfigurationError(NO_SHOP)
    # On Kafka several receivers share the port, and the kernel spreads connections among them.
    bound = await sockets(settings.receiver_address, stop, shared=settings.on_kafka)
    if stop.is_set():
        return
    log = await open_receiving_log(settings)
    registry = CollectorRegistry()
    limits, metrics = _limits(settings), ReceiverMetrics(registry)
    tally, days = Tally(), dict(zones(settings))

    def posts(settings: Settings) -> PixelPosts | None:
        # Nothing but a Purchase of Meta's is completed by the browser's pixel.
        with_pixel = {account.shop for account in accounts(settings, META)}
        if not with_pixel:
            return None
        return PixelPosts(
            log=log,
            shops=with_pixel,
            clock=_now_ms,
            limits=limits,
            metrics=metrics,
            proxies=settings.proxies,
        )

    receiver = Receiver(
        log=log,
        tally=tally,
        shops=_secrets(settings),
        meta=_meta_apps(settings),
        clock=_now_ms,
        limits=limits,
        metrics=metrics,
        connections=_connections(),
        pixel=posts(settings),
    )
    server = receiver.server()
    runner = web.ServerRunner(server, shutdown_timeout=DRAIN_S)
    await runner.setup()
    # The heartbeat is written once there is a store; the receiver never waits for it, nor
    # creates it.
    with (
        closing(PlainStore(settings.store_url.get_secret_value())) as store,
        tracing(settings, identity.role) as receiver.tracer,
    ):
        spool = settings.spool if settings.on_kafka else None
        heartbeat = Heartbeat(
            store,
            identity,
            lambda: {**details(spool), **refusing(receiver), **live.details()},
        )
        RoleMetrics(
            registry, settings, identity.restarts, lambda: heartbeat.fault, lambda: live.error
        )
        SpoolMetrics(registry, lambda: details(spool).get("spool", {}))
        async with (
            alive(heartbeat),
            written_down(store, tally, days),
            exposing(registry, identity, settings.metrics_address) as texts,
            alerting(texts, identity, live, None),
        ):
            try:
                await listen(runner, bound, backlog=1024)
                while (changed := await live.changed(stop)) is not None:
                    days.clear()
                    days.update(zones(changed))
                    receiver.take_from(_secrets(changed), _meta_apps(changed), posts(changed))
                receiver.ready = False
                if settings.on_kafka:
                    # Another receiver takes new connections; a request that is on its way on an
                    # open one is answered here, and the next comes to the other.
                    for site in runner.sites:
                        await site.stop()
                    await server.empty(FAREWELL_S)
            finally:
                # Deliveries first: a database that is away may hold up the farewell for longer than
                # the supervisor waits.
                await runner.cleanup()
                await log.close()


def _secrets(settings: Settings) -> dict[str, tuple[bytes, ...]]:
    return {shop.domain: shop.webhook_secrets for shop in settings.shops.values()}


def _meta_apps(settings: Settings) -> list[MetaApp]:
    return [
        MetaApp(
            shop.domain,
            secrets[0].encode(),
            secrets[1],
            (shop.meta.ad_account_id or "").removeprefix("act_"),
        )
        for shop in settings.shops.values()
        if (secrets := shop.meta_secrets) is not None
    ]


def _connections() -> ConnectionLimits:
    limits = ConnectionLimits()
    fit = connections(raise_limit(), limits.connections + limits.reserve) - limits.reserve
    return replace(limits, connections=max(1, fit))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _limits(settings: Settings) -> Limits:
    """On Kafka the spool answers up to 2.5 s after a delivery arrived (2.3 s for the broker, then a
    write), so the receiver waits longer."""
    in_flight = settings.max_in_flight_mb << 20
    if settings.on_kafka:
        return Limits(max_in_flight_bytes=in_flight, read_timeout_s=1.7, ack_timeout_s=3.0)
    return Limits(max_in_flight_bytes=in_flight)


def refusing(receiver: Receiver) -> dict[str, Any]:
    """Why deliveries are answered 503, for the heartbeat."""
    return {} if receiver.refusing is None else {"refusing": receiver.refusing}


def details(spool: Path | None) -> dict[str, Any]:
    """The details in a receiver's heartbeat: what waits in its spool, or why that is unknown."""
    if spool is None:
        return {}
    from stream.log.spool import read_state

    try:
        state = read_state(spool)
    except Unavailable as error:
        return {"spool": {"error": str(error)}}
    return {"spool": state._asdict()}
