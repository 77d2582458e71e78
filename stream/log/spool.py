"""A spool in front of the log: what the log does not take in time goes to a file, and from there to
the log.

    direct -> spooling   the log is Unavailable, or gives no answer in `bound_s`
    spooling -> draining the log takes the oldest record of the file again
    draining -> direct   the file is empty

- Spooling and draining, `append` writes to the file (an embedded log, fsynced) and answers in
  milliseconds.
- While the file has records, new ones queue up behind them, so order per key is kept. It gives way
  where several processes share the file, or where the drain has not caught up within `order_for_s`.
  Folds decide by version, not by arrival (docs/architecture.md, "Entities and versions").
- A record may reach the log twice: the log may have kept one that it did not acknowledge.
- File full or disk failing: Unavailable.

Several receivers may share one file; whoever has its lock drains.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import structlog
from filelock import FileLock, Timeout

from stream.log.contract import Log, Reader, Span, Start, Unavailable
from stream.log.sqlite.file import PAGE_BYTES, LogFile
from stream.log.sqlite.log import SqliteLog
from stream.rate_limit import Told
from stream.record import Entry, Record

BATCH_RECORDS = 500
HANDOVER_S = 0.5
"""How long new appends wait for the last batch of the file, to stay behind it."""
_TOPIC, _TOPIC_HEADER = "spool", "spool_topic"
_FOR_EVER_MS = 1 << 62

_log = structlog.get_logger("orderwire.spool")


class SpoolState(NamedTuple):
    """What waits in the file. `oldest_s`: age of the oldest record since it was received, None
    where there is none."""

    records: int
    bytes: int
    oldest_s: float | None


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def read_state(path: Path, now: int | None = None) -> SpoolState:
    """The state of the spool at `path`, from any process, open or not. Raises Unavailable where the
    file cannot be read."""
    if not path.exists():
        return SpoolState(0, 0, None)
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=0.5)) as db:
            (pages,), (free,) = (
                db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count")
            )
        file = LogFile(path, busy_timeout_s=0.5, wal_limit_bytes=1 << 26)
        try:
            span = file.span(_TOPIC)
            oldest = file.read(_TOPIC, span.first, 1)
        finally:
            file.close()
    except sqlite3.Error as error:
        raise Unavailable(f"spool {path}: {error}") from error
    if not oldest:
        return SpoolState(0, 0, None)
    age_ms = (now_ms() if now is None else now) - oldest[0].record.time_ms
    return SpoolState(span.next - span.first, (pages - free) * PAGE_BYTES, max(0, age_ms) / 1000)


class SpooledLog:
    """`stream.log.contract.Log`: another log with a spool in front of its `append`. Closing it
    closes that log too."""

    def __init__(
        self,
        log: Log,
        spool: SqliteLog,
        path: Path,
        bound_s: float,
        probe_every_s: float,
        order_for_s: float,
        clock: Callable[[], float],
    ) -> None:
        """Use `open`."""
        self._log, self._spool, self._path = log, spool, path
        self._bound_s, self._probe_every_s, self._order_for_s, self._clock = (
            bound_s,
            probe_every_s,
            order_for_s,
            clock,
        )
        self._lock = FileLock(path.with_name(path.name + ".drain"), thread_local=False)
        self._spooling = False
        self._reason = ""
        self._spooling_told = False
        self._told = Told(clock)
        self._gate = asyncio.Event()
        self._gate.set()
        self._drained = 0
        self._spool_writes = 0
        self._spool_idle = asyncio.Event()
        self._spool_idle.set()
        self._appends: set[asyncio.Task[None]] = set()
        self._drain: asyncio.Task[None] | None = None
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

        `bound_s` lies a little above the time-out of the log's own (2 s), which then answers all
        its waiters at once and in order. Raises what `SqliteLog.open` raises.
        """
        spool = await SqliteLog.open(
            path, max_pages=max(64, max_bytes // PAGE_BYTES), setting="ORDERWIRE_SPOOL"
        )
        spooled = cls(log, spool, path, bound_s, probe_every_s, order_for_s, clock)
        span = await spooled._span()
        if span.first < span.next:
            spooled._begin("records of an earlier process wait in the spool")
            spooled._tell_spooling()
        return spooled

    @property
    def spooling(self) -> bool:
        """Whether new records go to the file."""
        return self._spooling

    def spool_state(self) -> SpoolState:
        """What waits. A few milliseconds of reading; raises Unavailable."""
        return read_state(self._path)

    async def drained(self) -> None:
        """Wait until nothing waits in the file and new records go to the log again."""
        while self._drain is not None and not self._drain.done():
            await asyncio.wait([self._drain])

    async def append(self, records: Sequence[Record]) -> None:
        """Durable in the log or in the file, within `bound_s` and one write. Raises Unavailable
        where neither takes it."""
        if self._closed:
            raise Unavailable(f"spool {self._path}: closed")
        # A task of its own, so that cancelling the caller does not stop the record between log and file.
        task = asyncio.get_running_loop().create_task(self._append(records))
        self._appends.add(task)
        task.add_done_callback(self._appends.discard)
        await asyncio.shield(task)

    async def reader(self, topic: str, group: str, start: Start) -> Reader:
        """The log's own: what is in the file is not read before it is in the log."""
        return await self._log.reader(topic, group, start)

    async def spans(self, topic: str) -> Mapping[int, Span]:
        """The log's own."""
        return await self._log.spans(topic)

    async def scan(self, topic: str, partition: int, offset: int, max_records: int) -> list[Entry]:
        """The log's own."""
        return await self._log.scan(topic, partition, offset, max_records)

    async def retain(self, topic: str, older_than_ms: int, unread: Mapping[int, int]) -> int:
        """The log's own. The file keeps nothing that the log has."""
        return await self._log.retain(topic, older_than_ms, unread)

    async def close(self) -> None:
        """Finish the appends begun; what waits in the file stays there for the next process."""
        if self._closed:
            return
        self._closed = True
        if self._appends:
            await asyncio.wait(self._appends)
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)
        self._lock.release()
        await self._spool.close()
        await self._log.close()

    async def _append(self, records: Sequence[Record]) -> None:
        deadline = self._clock() + self._bound_s
        if not self._gate.is_set():
            await self._gate.wait()
        if not self._spooling:
            try:
                async with asyncio.timeout(max(0.1, deadline - self._clock())):
                    return await self._log.append(records)
            except (Unavailable, TimeoutError) as error:
                self._begin(str(error) or f"no answer within {self._bound_s:g} s")
        self._start_drain()
        self._spool_writes += 1
        self._spool_idle.clear()
        try:
            await self._spool.append([_wrap(record) for record in records])
            self._tell_spooling()
        except Unavailable as full:
            # No room or a bad disk: then the log after all, out of order, if it is back already.
            try:
                async with asyncio.timeout(max(0.1, deadline - self._clock())):
                    await self._log.append(records)
            except (Unavailable, TimeoutError) as error:
                raise Unavailable(
                    f"spool {self._path} takes nothing ({full}), nor does the log ({error or self._reason})"
                ) from error
        finally:
            self._spool_writes -= 1
            if self._spool_writes == 0:
                self._spool_idle.set()

    def _begin(self, reason: str) -> None:
        if not self._spooling:
            self._spooling, self._reason = True, reason
        self._start_drain()

    def _tell_spooling(self) -> None:
        """Once a record is in the file: one that takes nothing is told by who is refused."""
        if self._spooling and not self._spooling_told:
            self._spooling_told = True
            _log.warning("spooling", reason=self._reason)

    def _start_drain(self) -> None:
        if not self._closed and (self._drain is None or self._drain.done()):
            self._drain = asyncio.get_running_loop().create_task(self._until_empty())

    async def _until_empty(self) -> None:
        """Try, wait, try again; then batch after batch, and back to direct."""
        began = self._clock()
        accepted_since: float | None = None
        next_handover = began
        try:
            while (left := await self._left()) or self._spool_writes:
                if not left:
                    await self._spool_idle.wait()
                    continue
                moved = await self._move()
                if moved is False:
                    accepted_since = None
                    self._gate.set()
                    await asyncio.sleep(self._probe_every_s)
                    continue
                if moved:
                    accepted_since = self._clock() if accepted_since is None else accepted_since
                    if self._spooling and self._clock() - accepted_since > self._order_for_s:
                        self._spooling = False
                        _log.warning(
                            "spool_order_given_up",
                            records=left,
                            after_s=round(self._clock() - accepted_since, 1),
                        )
                if self._spooling and left <= BATCH_RECORDS and self._clock() >= next_handover:
                    next_handover = self._clock() + 4 * HANDOVER_S
                    self._gate.clear()
                    asyncio.get_running_loop().call_later(HANDOVER_S, self._gate.set)
                    await self._spool_idle.wait()
            # Nothing was awaited since the file was seen empty with no write under way, so no record can be left behind in it.
            self._spooling = False
            if self._spooling_told:
                self._spooling_told = False
                _log.info("spool_drained", after_s=round(self._clock() - began, 1))
        finally:
            self._lock.release()
            self._gate.set()

    async def _move(self) -> bool | None:
        """One batch from the file to the log. False where the log takes nothing; None where another
        process is the one that drains."""
        try:
            if not self._may_drain():
                await asyncio.sleep(0.02)
                return None
            entries = await self._spool.scan(_TOPIC, 0, await self._next(), BATCH_RECORDS)
            async with asyncio.timeout(self._bound_s):
                await self._log.append([_unwrap(entry.record) for entry in entries])
            if entries:
                self._drained = entries[-1].offset + 1
                # Rows go whole, so the end of one may stay behind for now; a restart would send its beginning again.
                await self._spool.retain(_TOPIC, _FOR_EVER_MS, {0: self._drained})
        except (Unavailable, TimeoutError) as error:
            reason = str(error) or f"no answer within {self._bound_s:g} s"
            if self._told.due(reason):
                _log.warning("spool_waits", reason=reason)
            return False
        except (
            Exception
        ) as error:  # whatever it is, appends must go on and the drain must be tried again
            _log.error("spool_drain_failed", error=type(error).__name__)
            return False
        return True

    def _may_drain(self) -> bool:
        """Whether this process has the lock of those that drain; never waits."""
        if not self._lock.is_locked:
            with contextlib.suppress(Timeout):
                self._lock.acquire(blocking=False)
        return self._lock.is_locked

    async def _span(self) -> Span:
        return (await self._spool.spans(_TOPIC))[0]

    async def _next(self) -> int:
        return max((await self._span()).first, self._drained)

    async def _left(self) -> int:
        try:
            return (await self._span()).next - await self._next()
        except Unavailable:  # a disk that fails: there may be some
            return 1


def _wrap(record: Record) -> Record:
    """All topics share one of the file's, so that they are drained in the order in which they came."""
    return Record(
        _TOPIC,
        record.key,
        record.id,
        record.time_ms,
        {**record.headers, _TOPIC_HEADER: record.topic},
        record.body,
    )


def _unwrap(record: Record) -> Record:
    headers = dict(record.headers)
    topic = headers.pop(_TOPIC_HEADER)
    return Record(topic, record.key, record.id, record.time_ms, headers, record.body)
