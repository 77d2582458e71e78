"""Bounds the receiver's connections: in number, by address, and in time without a request. If no
place is left, the connection idle for longest is closed for a new one."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from stream.metrics import ReceiverMetrics


def is_one_peer(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address may be bounded: a private one may be the merchant's own proxy, with
    everybody behind it."""
    return address.is_global


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be, and for how long without a request."""

    connections: int = 4096
    """All together; below the process's limit of open files."""
    per_address: int = 256
    """Of one address that `is_one_peer`."""
    is_one_peer: Callable[[IPv4Address | IPv6Address], bool] = is_one_peer
    reserve: int = 32
    """Places beyond `connections` for loopback, where health checks come from."""
    header_timeout_s: float = 5.0
    keepalive_timeout_s: float = 75.0
    """Longer than a proxy keeps its own end (nginx: 60 s), so that the proxy closes first."""


class BoundedServer(web.Server):
    """aiohttp's low-level server within `ConnectionLimits`.

    It reads three private attributes of aiohttp's `RequestHandler`, hence the upper bound of
    aiohttp in pyproject.toml.
    """

    def __init__(
        self, answer: Any, limits: ConnectionLimits, metrics: ReceiverMetrics, **options: Any
    ) -> None:
        super().__init__(answer, keepalive_timeout=limits.keepalive_timeout_s, **options)
        self._limits, self._metrics = limits, metrics
        self._addresses: dict[RequestHandler, str] = {}
        self._of_address: Counter[str] = Counter()
        self._gone = asyncio.Event()
        metrics.watch_connections(lambda: len(self._addresses))

    async def empty(self, timeout_s: float) -> None:
        """Wait until no connection is left, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._addresses:
                    self._gone.clear()
                    await self._gone.wait()

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Take the connection, close an idle one for it, or refuse it."""
        super().connection_made(handler, transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        if not self._place_for(address):
            self._close(handler, "refused")
            return
        self._addresses[handler] = address
        self._of_address[address] += 1
        self._loop.call_later(self._limits.header_timeout_s, self._needs_a_request, handler)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Give its place back."""
        super().connection_lost(handler, exc)
        self._forget(handler)

    def _forget(self, handler: RequestHandler) -> None:
        address = self._addresses.pop(handler, None)
        if address is not None:
            self._gone.set()
            self._of_address[address] -= 1
            if not self._of_address[address]:
                del self._of_address[address]

    def _place_for(self, address: str) -> bool:
        kind = ip_address(address.partition("%")[0]) if address else None
        if (
            kind is not None
            and self._limits.is_one_peer(kind)
            and self._of_address[address] >= self._limits.per_address
        ):
            return self._evict(lambda: self._of(address))
        places = self._limits.connections
        if kind is not None and kind.is_loopback:
            places += self._limits.reserve
        return len(self._addresses) < places or self._evict(lambda: self._addresses)

    def _of(self, address: str) -> Iterable[RequestHandler]:
        return (handler for handler, other in self._addresses.items() if other == address)

    def _evict(self, candidates: Callable[[], Iterable[RequestHandler]]) -> bool:
        """Close the candidate that has been idle for longest; False where none is idle."""
        idle = (handler for handler in candidates() if not handler._request_in_progress)
        oldest = min(idle, key=lambda handler: handler._next_keepalive_close_time, default=None)
        if oldest is None:
            return False
        self._close(oldest, "evicted")
        return True

    def _needs_a_request(self, handler: RequestHandler) -> None:
        if handler in self._addresses and not handler._request_count:
            self._close(handler, "no_request")

    def _close(self, handler: RequestHandler, reason: str) -> None:
        self._metrics.connection_closed(reason)
        # Its place is free now; asyncio reports the lost connection a moment later.
        self._forget(handler)
        handler.force_close()
