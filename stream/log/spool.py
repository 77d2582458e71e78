"""A spool in front of the log: records that the log does not take in time go to a file, and from
there to the log. Each topic has its own queue:

    direct -> spooling   the log is Unavailable, or gives no answer within `bound_s`
    spooling -> draining the log takes the oldest record of the queue again
    draining -> direct   the queue is empty
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from stream.log.contract import Log, Owner, Reader, RecordsRefused, Span, Start, Unavailable
from stream.log.spool_file import (
    SpoolFile,
    SpoolState,
    read_set_aside,
    read_state,
    waiting_topics,
)
from stream.log.spool_queue import SpoolQueue
from stream.log.sqlite.file import PAGE_BYTES
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry, Record

__all__ = ["SpoolState", "SpooledLog", "read_set_aside", "read_state"]


class _DrainLock:
    """The lock of the process that drains a file; locked while one of its queues drains."""

    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path.with_name(path.name + ".drain"), thread_local=False)
        self._queues: set[SpoolQueue] = set()

    def take(self, queue: SpoolQueue) -> bool:
        """Whether this process holds the lock now; never waits."""
        if not self._lock.is_locked:
            with contextlib.suppress(Timeout):
                self._lock.acquire(blocking=False)
        if self._lock.is_locked:
            self._queues.add(queue)
        return self._lock.is_locked

    def give(self, queue: SpoolQueue) -> None:
        """This queue no longer needs the lock."""
        self._queues.discard(queue)
        if not self._queues:
            self._lock.release()


class SpooledLog:
    """`stream.log.contract.Log`: another log with a spool in front of its `append`. Closing it
    closes that log too.

    - While spooling or draining, `append` writes to the file (an embedded log, fsynced) and returns
      in milliseconds.
    - While a queue has records, new ones line up behind them, which keeps the order per key. The
      order gives way if several processes share the file, or if the drain has not caught up within
      `order_for_s`; folds decide by version, not by arrival (docs/architecture.md, "Entities and
      versions").
    - A record may reach the log twice: the log may have kept one that it did not acknowledge.
    - Records that the log refuses for good are set aside in the file, and the rest goes on.
    - Several receivers may share one file; the one with its lock drains.
    """

    def __init__(self, log: Log, file: SpoolFile, make: Callable[[str | None], SpoolQueue]) -> None:
        """Use `open`."""
        self._log, self._file, self._make = log, file, make
        self._queues: dict[str | None, SpoolQueue] = {}
        self._appends: set[asyncio.Task[None]] = set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        log: Log,
        path: Path,
        *,
        max_bytes: int = 1 << 30,
        bound_s: float = 2.3,
        probe_every_s: float = 0.5,
        order_for_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Put a spool at `path` in front of `log`; what an earlier process left there is drained
        first.

        `bound_s` is a little above the log's own timeout (2 s), so that the log itself fails all
        its waiters together and in order. Raises what `SqliteLog.open` raises.
        """
        embedded = await SqliteLog.open(
            path, max_pages=max(64, max_bytes // PAGE_BYTES), setting="ORDERWIRE_SPOOL"
        )
        file = SpoolFile(path, embedded, max_bytes)
        make = partial(
            SpoolQueue,
            log=log,
            file=file,
            right=_DrainLock(path),
            bound_s=bound_s,
            probe_every_s=probe_every_s,
            order_for_s=order_for_s,
            clock=clock,
        )
        spooled = cls(log, file, make)
        for topic in waiting_topics(path):
            reason = "records of an earlier process wait in the spool"
            spooled._queue(topic).begin(reason, say=True)
        return spooled

    @property
    def spooling(self) -> bool:
        """Whether new records of any topic go to the file."""
        return any(queue.spooling for queue in self._queues.values())

    def spool_state(self) -> SpoolState:
        """What waits in the file. Reads for a few milliseconds; raises Unavailable."""
        return read_state(self._file.path)

    async def drained(self) -> None:
        """Wait until nothing waits in the file and new records go to the log again."""
        for queue in list(self._queues.values()):
            await queue.drained()

    async def append(self, records: Sequence[Record]) -> None:
        """Durable in the log or in the file, within `bound_s` and one write. Raises Unavailable if
        neither takes it, which includes a full file or a failing disk."""
        if self._closed:
            raise Unavailable(f"spool {self._file.path}: closed")
        # A task of its own, so that cancelling the caller does not stop the record between log and
        # file.
        task = asyncio.get_running_loop().create_task(self._append(records))
        self._appends.add(task)
        task.add_done_callback(self._appends.discard)
        await asyncio.shield(task)

    async def reader(self, topic: str, group: str, start: Start) -> Reader:
        """The log's own: records in the file are read once they are in the log."""
        return await self._log.reader(topic, group, start)

    async def spans(self, topic: str) -> Mapping[int, Span]:
        """The log's own."""
        return await self._log.spans(topic)

    async def identity(self, topic: str) -> str:
        """The log's own."""
        return await self._log.identity(topic)

    async def owner(self) -> Owner | None:
        """The log's own."""
        return await self._log.owner()

    async def own(self, name: str) -> None:
        """The log's own."""
        await self._log.own(name)

    async def scan(self, topic: str, partition: int, offset: int, max_records: int) -> list[Entry]:
        """The log's own."""
        return await self._log.scan(topic, partition, offset, max_records)

    async def retain(self, topic: str, older_than_ms: int, unread: Mapping[int, int]) -> int:
        """The log's own. The file keeps nothing that the log has."""
        return await self._log.retain(topic, older_than_ms, unread)

    async def close(self) -> None:
        """Finish the appends under way; records in the file stay there for the next process."""
        if self._closed:
            return
        self._closed = True
        if self._appends:
            await asyncio.wait(self._appends)
        for queue in self._queues.values():
            await queue.close()
        await self._file.close()
        await self._log.close()

    async def _append(self, records: Sequence[Record]) -> None:
        by_topic: dict[str, list[Record]] = {}
        for record in records:
            by_topic.setdefault(record.topic, []).append(record)
        if len(by_topic) == 1:
            topic, of_topic = by_topic.popitem()
            await self._queue(topic).append(of_topic)
            return
        outcomes = await asyncio.gather(
            *(self._queue(topic).append(of_topic) for topic, of_topic in by_topic.items()),
            return_exceptions=True,
        )
        refused: list[RecordsRefused] = []
        for outcome in outcomes:
            if isinstance(outcome, RecordsRefused):
                refused.append(outcome)
            elif outcome is not None:
                raise outcome
        if refused:
            records = [record for each in refused for record in each.records]
            raise RecordsRefused(refused[0].reason, refused[0].detail, records)

    def _queue(self, topic: str | None) -> SpoolQueue:
        queue = self._queues.get(topic)
        if queue is None:
            queue = self._queues[topic] = self._make(topic)
        return queue
