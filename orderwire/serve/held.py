"""What a role holds before it opens anything: its address, or a SQLite store to itself. Who cannot have it has changed nothing.

The one before may be on its way out (its supervisor was killed, and it finishes what it began), so what is taken is asked for again for
as long as that lasts. After that it is a mistake that no further start would mend, such as a second `serve` in the same folder.
"""

import asyncio
import errno
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog
from aiohttp import web

from orderwire.settings.program import Address, ConfigurationError
from stream.log.file_lock import FileLock

AGAIN_S = 0.1
ADDRESS_PATIENCE_S = 15.0
"""An orphaned listener lets go of it within a second, and then answers what was begun."""
STORE_PATIENCE_S = 60.0
"""An orphaned process role finishes its batches and requests, with nobody to end it after 25 s."""

log = structlog.get_logger()
T = TypeVar("T")


async def sockets(
    address: Address, stop: asyncio.Event, *, shared: bool, patience_s: float = ADDRESS_PATIENCE_S
) -> list[socket.socket]:
    """Bound to `address`, not listening yet; empty where `stop` came first. `shared`: others may, too. Raises ConfigurationError."""
    what = f"{address.variable} {address.host}:{address.port}"
    return await _held(lambda: _bind(address, shared=shared), stop, what, patience_s) or []


async def listen(runner: web.BaseRunner, held: list[socket.socket], backlog: int = 128) -> None:
    """Answer on sockets that are held."""
    for each in held:
        await web.SockSite(runner, each, backlog=backlog).start()


async def store_to_itself(
    path: Path, stop: asyncio.Event, *, patience_s: float = STORE_PATIENCE_S
) -> FileLock | None:
    """The lock that says who processes on the SQLite store at `path`; None where `stop` came first. Raises ConfigurationError."""
    lock = FileLock(_beside(path))

    def take() -> FileLock:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not lock.take():
            raise BlockingIOError("another process role works on it: one `serve` per SQLite store")
        return lock

    return await _held(take, stop, f"ORDERWIRE_STORE_URL {path}", patience_s)


def _beside(path: Path) -> Path:
    """The lock's file: one and the same by whatever link the store is reached."""
    real = path.resolve()
    return real.with_name(real.name + ".process")


async def _held(
    take: Callable[[], T], stop: asyncio.Event, what: str, patience_s: float
) -> T | None:
    deadline, told = time.monotonic() + patience_s, False
    while not stop.is_set():
        try:
            return take()
        except OSError as error:
            if time.monotonic() >= deadline:
                raise ConfigurationError(f"{what}: {error.strerror or error}") from None
            if not told:
                log.warning(
                    "waiting", what=what, reason=error.strerror or str(error), at_most_s=patience_s
                )
            told = True
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), AGAIN_S)
    return None


def _bind(address: Address, *, shared: bool) -> list[socket.socket]:
    """As asyncio's `create_server` does it: one socket per address that the host's name has here. Raises OSError."""
    bound: list[socket.socket] = []
    missing = OSError("this machine has no such address")
    try:
        for family, kind, protocol, _, where in socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            try:
                bound.append(_socket(family, kind, protocol, where, shared=shared))
            except OSError as error:
                if error.errno not in (
                    errno.EADDRNOTAVAIL,
                    errno.EAFNOSUPPORT,
                ):  # `localhost` is ::1 too, IPv6 or not
                    raise
                missing = error
    except OSError:
        for each in bound:
            each.close()
        raise
    if not bound:
        raise missing
    return bound


def _socket(family: int, kind: int, protocol: int, where: Any, *, shared: bool) -> socket.socket:
    one = socket.socket(family, kind, protocol)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(where)
    except OSError:
        one.close()
        raise
    return one
