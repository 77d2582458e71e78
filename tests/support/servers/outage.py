"""A log that can be silent, refuse, or keep what it does not acknowledge, and a spool before it."""

import asyncio
from collections.abc import Mapping, Sequence

from stream.log.contract import (
    Log,
    Owner,
    Reader,
    RecordsRefused,
    Span,
    Start,
    Unavailable,
)
from stream.log.spool import SpooledLog
from stream.record import Entry, Record

BODY = b"x" * 5_000
BOUND_S, FOR_EVER_S = 0.2, 600.0


class Outage:
    """A log whose appends can be made to fail (`refusing`, or those of `closed_topics`), to give no
    answer though they land (`silent`), or to be refused for good where they are larger than
    `largest`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.refusing = self.silent = False
        self.closed_topics: set[str] = set()
        self.largest: int | None = None
        self.asked = 0

    async def append(self, records: Sequence[Record]) -> None:
        self.asked += 1
        if self.refusing or any(record.topic in self.closed_topics for record in records):
            raise Unavailable("away for a while")
        largest = self.largest
        refused = [r for r in records if largest is not None and len(r.body) > largest]
        await self._log.append([record for record in records if record not in refused])
        if refused:
            raise RecordsRefused("too_large", "more than this topic takes", refused)
        if self.silent:
            await asyncio.Event().wait()

    async def reader(self, topic: str, group: str, start: Start) -> Reader:
        return await self._log.reader(topic, group, start)

    async def spans(self, topic: str) -> Mapping[int, Span]:
        return await self._log.spans(topic)

    async def identity(self, topic: str) -> str:
        return await self._log.identity(topic)

    async def owner(self) -> Owner | None:
        return await self._log.owner()

    async def own(self, name: str) -> None:
        await self._log.own(name)

    async def scan(self, topic: str, partition: int, offset: int, max_records: int) -> list[Entry]:
        return await self._log.scan(topic, partition, offset, max_records)

    async def retain(self, topic: str, older_than_ms: int, unread: Mapping[int, int]) -> int:
        return await self._log.retain(topic, older_than_ms, unread)

    async def close(self) -> None:
        await self._log.close()


async def direct_again(log: SpooledLog) -> None:
    await log.drained()
    assert not log.spooling
