"""A proxy on loopback between a client and a server, which refuses, cuts or stalls on request: what
a network does, where nobody may change the machine's own."""

import asyncio
from enum import StrEnum
from types import TracebackType
from typing import Self

from simulator.servers.broker import free_port

CHUNK = 1 << 16


class Line(StrEnum):
    """The state of the connection between the two sides."""

    OPEN = "open"
    REFUSED = "refused"
    """Connections are cut, and new ones are cut as soon as they are made."""
    STALLED = "stalled"
    """Connections stay and are made, and nothing passes; what was sent arrives once it is open."""


class Proxy:
    """`async with Proxy("127.0.0.1:9092") as proxy: proxy.address`. `target` is host:port, or the
    path of a Unix socket; `target` may be set before the first client comes."""

    def __init__(self, target: str = "") -> None:
        self.target = target
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._line = Line.OPEN
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """host:port for the client."""
        return f"127.0.0.1:{self._port}"

    @property
    def line(self) -> Line:
        """The state now."""
        return self._line

    def turn(self, line: Line) -> None:
        """Change the state."""
        self._line = line
        if line is Line.STALLED:
            self._passing.clear()
        else:
            self._passing.set()
        if line is Line.REFUSED:
            self.cut()

    def cut(self) -> None:
        """Cut every connection that there is."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        onward: asyncio.StreamWriter | None = None
        try:
            if self._line is Line.REFUSED:
                return
            await self._passing.wait()
            back, onward = await self._connect()
            self._writers.add(onward)
            if self.line is Line.REFUSED:  # by now
                return
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, onward))
                both.create_task(self._pass(back, writer))
        except (OSError, ExceptionGroup):
            pass
        finally:
            for end in (writer, onward):
                if end is not None:
                    end.transport.abort()
                    self._writers.discard(end)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.target.startswith("/"):
            return await asyncio.open_unix_connection(self.target)
        host, _, port = self.target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy until either side ends, which then ends the other direction too."""
        while data := await reader.read(CHUNK):
            await self._passing.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
