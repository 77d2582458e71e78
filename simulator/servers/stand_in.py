"""What the stand-ins of vendors have in common: they listen on loopback while their context is
open, a script may reply before their rules do, and as programs they run until SIGTERM."""

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiohttp import web


@dataclass(frozen=True, slots=True)
class ScriptedReply:
    """An answer. With `status` None the rules answer, after `delay_s` and with `headers` added."""

    status: int | None = None
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    reset: bool = False
    """Cut the connection instead of answering."""

    @property
    def final(self) -> bool:
        """Whether the rules are not asked."""
        return self.reset or self.status is not None


class StandIn:
    """A server on loopback while its context is open; a subclass has the routes."""

    path = ""
    """Of the URL that a vendor's settings take."""
    max_body = 1 << 20

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Port 0 is any that is free."""
        self._address = (host, port)
        self._runner: web.AppRunner | None = None

    def routes(self) -> Sequence[web.RouteDef]:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=self.max_body)
        app.add_routes(self.routes())
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=False, shutdown_timeout=1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._address).start()
        self._address = self._runner.addresses[0][:2]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://{self._address[0]}:{self._address[1]}{self.path}"


def answered(request: web.Request, reply: ScriptedReply) -> web.Response:
    """The response that a final reply means."""
    if reply.reset and request.transport is not None:
        request.transport.abort()
    return web.Response(
        status=500 if reply.reset else reply.status or 200,
        body=reply.body or None,
        content_type=reply.content_type,
        headers=dict(reply.headers),
    )


def show(line: str) -> None:
    """A line on standard output, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def until_stopped(stand_in: StandIn) -> None:
    """Print the address and serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with stand_in:
        show(stand_in.url)
        await stop.wait()
