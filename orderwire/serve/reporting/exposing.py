"""Gives the metrics of a role to whoever asks, without the store: on a socket in the folder that
its supervisor made, and for all roles of one `serve` on ORDERWIRE_METRICS."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from orderwire.serve.reporting.heartbeat import Identity
from orderwire.settings.program import ListenAddress
from stream.exposition import CONTENT_TYPE, labelled, merged

ANSWER_S = 1.0
"""A role that does not answer for so long is left out."""
ASK = b"metrics\n"
FIRST = ("query", "process", "receive")
"""Which of the roles that live looks after alarms: the first of these."""
TAKE_OVER_S = 5.0
"""How often a role looks whether ORDERWIRE_METRICS has become free."""

log = structlog.get_logger()
Texts = Callable[[], Awaitable[list[bytes]]]


@asynccontextmanager
async def exposing(
    registry: CollectorRegistry, identity: Identity, address: ListenAddress | None
) -> AsyncIterator[Texts]:
    """Expose while the block runs; yields how to read the metrics of every role of this `serve`.
    Raises nothing: metrics never stop a role."""

    async def own() -> bytes:
        # Not on the event loop, where deliveries wait.
        return await asyncio.to_thread(labelled, registry, identity.role, identity.instance)

    async def every() -> list[bytes]:
        return [await own(), *await _others(identity)]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            if await reader.read(len(ASK)) == ASK:  # else somebody looked whether we live
                writer.write(await own())
                await writer.drain()
        writer.close()

    path = _socket(identity)
    server = None
    if path is not None:
        try:
            path.unlink(missing_ok=True)
            server = await asyncio.start_unix_server(answer, path)
        except OSError as error:
            log.warning("metrics not exposed to other roles", error=error.strerror)
    listening = None
    if address is not None:
        listening = asyncio.create_task(_listen(address, every), name="metrics")
    try:
        yield every
    finally:
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        if server is not None and path is not None:
            server.close()
            path.unlink(missing_ok=True)


def _socket(identity: Identity) -> Path | None:
    folder = identity.metrics_folder
    return None if folder is None else folder / f"{identity.role}-{os.getpid()}"


async def _others(identity: Identity) -> list[bytes]:
    own = _socket(identity)
    if own is None:
        return []
    paths = sorted(path for path in own.parent.iterdir() if path != own)
    return [text for text in await asyncio.gather(*map(_read, paths)) if text]


async def leads(identity: Identity) -> bool:
    """Whether this role is the first of those of its `serve` that live."""
    own = _socket(identity)
    if own is None:
        return True
    place = (FIRST.index(identity.role), own.name)
    for name in await asyncio.to_thread(os.listdir, own.parent):
        role = name.partition("-")[0]
        if role in FIRST and (FIRST.index(role), name) < place and await _lives(own.parent / name):
            return False
    return True


async def _lives(path: Path) -> bool:
    try:
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_unix_connection(path)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def _read(path: Path) -> bytes:
    """Empty where nobody answers: the role has just ended, or was killed."""
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(ASK)
                return await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


async def _listen(address: ListenAddress, every: Texts) -> None:
    """Answer on `address`, as soon as no other role of this `serve` does."""
    from aiohttp import web

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path != "/metrics":
            return web.Response(status=404)
        return web.Response(body=merged(await every()), headers={"Content-Type": CONTENT_TYPE})

    runner = web.ServerRunner(web.Server(answer, access_log=None))
    await runner.setup()
    try:
        refused = ""
        while True:
            try:
                await web.TCPSite(runner, address.host, address.port).start()
            except OSError as error:
                if error.errno != errno.EADDRINUSE and refused != str(error.strerror):
                    refused = str(error.strerror)
                    log.warning("metrics not exposed", address=address.variable, error=refused)
                await asyncio.sleep(TAKE_OVER_S)
            else:
                await asyncio.Event().wait()
    finally:
        await runner.cleanup()
