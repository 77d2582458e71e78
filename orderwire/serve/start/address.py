"""Binds a role's address before any side effect, waiting for a previous process that is still
ending."""

import asyncio
import errno
import socket
from typing import Any

from aiohttp import web

from orderwire.serve.waiting import again, unless_stopped
from orderwire.settings.program import ConfigurationError, ListenAddress

AGAIN_S = 0.5
PATIENCE_S = 15.0
"""An orphaned listener closes its socket within a second, and then answers what was begun."""


async def sockets(
    address: ListenAddress, stop: asyncio.Event, *, shared: bool, patience_s: float = PATIENCE_S
) -> list[socket.socket]:
    """Bound to `address`, not listening yet; empty if `stop` came first.

    The previous supervisor may have been killed while its role finishes, so binding is retried for
    that long. An address still taken then is a configuration error, such as a second `serve` in the
    same folder. With `shared`, other processes may bind it too. Raises ConfigurationError.
    """
    what = f"{address.variable} {address.host}:{address.port}"

    async def bind() -> list[socket.socket]:
        try:
            return _bind(address, shared=shared)
        except OSError as error:
            raise ConfigurationError(f"{what}: {error.strerror or error}") from None

    retry = again(AGAIN_S, patience_s)
    return await unless_stopped(stop, retry(ConfigurationError, bind)) or []


async def listen(runner: web.BaseRunner, bound: list[socket.socket], backlog: int = 128) -> None:
    """Serve on bound sockets."""
    for each in bound:
        await web.SockSite(runner, each, backlog=backlog).start()


def _bind(address: ListenAddress, *, shared: bool) -> list[socket.socket]:
    """One socket per address that the host's name has here, as asyncio's `create_server` does it.

    Raises OSError.
    """
    bound: list[socket.socket] = []
    missing = OSError("this machine has no such address")
    try:
        for family, kind, protocol, _, where in socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            try:
                bound.append(_socket(family, kind, protocol, where, shared=shared))
            except OSError as error:
                # `localhost` is ::1 too, IPv6 or not.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
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
