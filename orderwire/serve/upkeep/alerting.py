"""Watches the alarms while a role runs."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from destinations.delivery.transport import aiohttp_call, client_session
from orderwire.alarms.reporting import Reporter
from orderwire.alarms.watch import AlarmWatch
from orderwire.serve.reporting.exposing import Texts, leads
from orderwire.serve.reporting.heartbeat import Identity
from orderwire.serve.shops.live_settings import LiveSettings
from stream.store.contract import Store


@asynccontextmanager
async def alerting(
    texts: Texts,
    identity: Identity,
    live: LiveSettings,
    store: Store | None,
    reasons: Callable[[], str] = lambda: "",
) -> AsyncIterator[None]:
    """While the block runs. `texts`: metrics of every role of this `serve`."""
    public_only = not live.now.alert_private_addresses
    session = client_session(4, public_only=public_only)
    reporter = Reporter(
        lambda: live.now.alert_targets,
        aiohttp_call(session, public_only=public_only),
        socket.gethostname(),
    )
    watch = AlarmWatch(texts, partial(leads, identity), store, reporter, reasons=reasons)
    watching = asyncio.create_task(watch.keep(), name="alarms")
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await session.close()
