"""Reads the embedded log: one reader owns the only partition of its topic."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping

from stream.log.contract import PositionLost, Start, Unavailable
from stream.log.sqlite.file import LogFile, unavailable
from stream.log.sqlite.place import Place
from stream.log.sqlite.watch import Watch
from stream.record import Entry

PARTITION = 0
"""The only one: a file has one writer at a time, so more would not make it faster."""


class SqliteReader:
    """`stream.log.contract.Reader` on the embedded log: the only member of its group.

    Reads run on the event loop: decoding 500 records of 5 kB takes about 2 ms and needs the GIL
    anyway, and an empty read takes 10 us where a hop to a thread and back takes 80. A reader in WAL
    mode waits for no writer.
    """

    def __init__(
        self,
        place: Place,
        file: LogFile,
        watch: Watch,
        closed: Callable[[], bool],
        topic: str,
        start: Start,
    ) -> None:
        self._path, self._place, self._file = place.path, place, file
        self._watch, self._closed = watch, closed
        self._topic, self._start = topic, start
        self._next: int | None = None

    async def read(self, max_records: int, wait_s: float) -> list[Entry]:
        try:
            if self._next is None:
                self._next = await self._begin()
            entries = self._read(self._next, max_records)
            if not entries and wait_s > 0:
                if await self._watch.wait(self._topic, self._next, wait_s):
                    entries = self._read(self._next, max_records)
            else:
                await asyncio.sleep(0)  # a reader with a backlog must not keep the loop to itself
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error
        if entries:
            self._next = entries[-1].offset + 1
        return entries

    async def reload(self) -> None:
        self._next = None

    async def report(self, positions: Mapping[int, int]) -> None:
        """Does nothing: the lag of the embedded log follows from the store's positions and
        `spans`."""

    async def close(self) -> None:
        self._next = None

    async def _begin(self) -> int:
        position = (await self._start((PARTITION,))).get(PARTITION)
        if self._closed():
            raise Unavailable(f"log {self._path}: closed")
        self._place.check()  # before a file that is no longer ours says that a position was lost
        span = self._file.span(self._topic)
        if position is None:
            return span.first
        if not span.first <= position <= span.next:
            raise PositionLost(self._topic, PARTITION, position, span)
        return position

    def _read(self, position: int, max_records: int) -> list[Entry]:
        if self._closed():
            raise Unavailable(f"log {self._path}: closed")
        self._place.check()
        entries = self._file.read(self._topic, position, max_records)
        if not entries or entries[0].offset > position:
            # A gap. Inside what is kept, retention left it where everybody had read; before that,
            # it passed this reader.
            span = self._file.span(self._topic)
            if position < span.first:
                raise PositionLost(self._topic, PARTITION, position, span)
        return entries
