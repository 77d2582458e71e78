"""The queue of one topic in front of the log: direct, spooling or draining (see `spool.py`)."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from stream.log.contract import Log, RecordsRefused, Unavailable
from stream.log.spool_file import SpoolFile, unwrap, wrap
from stream.rate_limit import RateLimit
from stream.record import Record

BATCH_RECORDS = 500
HANDOVER_S = 0.5
"""How long new appends wait for the last batch of the file, to stay behind it."""

_log = structlog.get_logger("orderwire.spool")


class MayDrain(Protocol):
    """The right to drain the file, which one process has at a time."""

    def take(self, queue: "SpoolQueue") -> bool: ...
    def give(self, queue: "SpoolQueue") -> None: ...


class SpoolQueue:
    """One topic's queue. `topic` is None for a file of an earlier version, whose topics share one
    queue."""

    def __init__(
        self,
        topic: str | None,
        log: Log,
        file: SpoolFile,
        right: MayDrain,
        *,
        bound_s: float,
        probe_every_s: float,
        order_for_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.topic, self._log, self._file, self._right = topic, log, file, right
        self._bound_s, self._probe_every_s, self._order_for_s, self._clock = (
            bound_s,
            probe_every_s,
            order_for_s,
            clock,
        )
        self.spooling = False
        self._reason = ""
        self._said = False
        self._limit = RateLimit(clock)
        self._gate = asyncio.Event()
        self._gate.set()
        self._drained = 0
        self._size = 1
        """Records of the next batch. A batch that fails may be in the log all the same, and is sent
        again: one record until one is taken, then twice as many each time."""
        self._begun = 0
        """Appends so far; each has a number."""
        self._direct: dict[int, asyncio.Future[None]] = {}
        """By number, ascending: those that the log has not answered."""
        self._writes = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._drain: asyncio.Task[None] | None = None
        self._closed = False

    def begin(self, reason: str, *, say: bool = False) -> None:
        """Send new records to the file, and start to drain it."""
        if not self.spooling:
            self.spooling, self._reason, self._size = True, reason, 1
        self._start_drain()
        if say:
            self._report_spooling()

    async def drained(self) -> None:
        """Wait until the file is empty and new records go to the log again."""
        while self._drain is not None and not self._drain.done():
            await asyncio.wait([self._drain])

    async def close(self) -> None:
        """Stop draining; records in the file stay there."""
        self._closed = True
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)

    async def append(self, records: Sequence[Record]) -> None:
        """Durable in the log or in the file, within `bound_s` and one write. Raises Unavailable,
        RecordsRefused."""
        deadline = self._clock() + self._bound_s
        if not self._gate.is_set():
            await self._gate.wait()
        number, self._begun = self._begun, self._begun + 1
        if self.spooling:
            return await self._to_file(records, deadline, number)
        self._direct[number] = asyncio.get_running_loop().create_future()
        try:
            await self._to_log(records, deadline - self._clock())
        except (Unavailable, TimeoutError) as error:
            self.begin(str(error) or f"no answer within {self._bound_s:g} s")
            await self._to_file(records, deadline, number)
        finally:
            self._leave(number)

    def _leave(self, number: int) -> None:
        if (waiting := self._direct.pop(number, None)) is not None:
            waiting.set_result(None)

    async def _to_file(self, records: Sequence[Record], deadline: float, number: int) -> None:
        self._start_drain()
        self._writes += 1
        self._idle.clear()
        try:
            # Those that asked the log before fail as well, or are in it, and may have yet to hear
            # of that: they go first into the file, as they would have into the log.
            while (first := next(iter(self._direct), number)) < number:
                await asyncio.wait([self._direct[first]])
            self._leave(number)
            await self._file.append([wrap(self.topic, record) for record in records])
            self._report_spooling()
        except Unavailable as full:
            # No room or a bad disk: then the log after all, out of order, if it is back already.
            try:
                await self._to_log(records, deadline - self._clock())
            except (Unavailable, TimeoutError) as error:
                raise Unavailable(
                    f"spool {self._file.path} takes nothing ({full}),"
                    f" nor does the log ({error or self._reason})"
                ) from error
        finally:
            self._writes -= 1
            if self._writes == 0:
                self._idle.set()

    async def _to_log(
        self, records: Sequence[Record], within_s: float, *, drained: bool = False
    ) -> None:
        """Append; records that the log refuses for good are set aside in the file. Raises
        RecordsRefused if the file has no room for them."""
        try:
            async with asyncio.timeout(max(0.1, within_s)):
                await self._log.append(records)
        except RecordsRefused as refused:
            if not (drained or self._file.has_room_aside(refused.records)):
                raise
            await self._set_aside(refused)

    async def _set_aside(self, refused: RecordsRefused) -> None:
        await self._file.set_aside(refused.records, refused.reason)
        for topic in {record.topic for record in refused.records}:
            if self._limit.allows((topic, refused.reason)):
                _log.error(
                    "records_set_aside",
                    topic=topic,
                    reason=refused.reason,
                    detail=refused.detail,
                    shops=sorted({r.headers.get("shop", "") for r in refused.records}),
                    go_on="orderwire replay --set-aside, once that is mended",
                )

    def _report_spooling(self) -> None:
        """Log that the queue spools, once a record is in the file; a file that takes nothing is
        reported by the failed append."""
        if self.spooling and not self._said:
            self._said = True
            _log.warning("spooling", topic=self.topic, reason=self._reason)

    def _start_drain(self) -> None:
        if not self._closed and (self._drain is None or self._drain.done()):
            self._drain = asyncio.get_running_loop().create_task(self._until_empty())

    async def _until_empty(self) -> None:
        """Retry until the log takes a record, move batch after batch, then return to direct."""
        began = self._clock()
        accepted_since: float | None = None
        next_handover = began
        try:
            while (left := await self._left()) or self._writes:
                if not left:
                    await self._idle.wait()
                    continue
                moved = await self._move()
                if moved is False:
                    accepted_since = None
                    self._gate.set()
                    await asyncio.sleep(self._probe_every_s)
                    continue
                if moved:
                    accepted_since = self._clock() if accepted_since is None else accepted_since
                    if self.spooling and self._clock() - accepted_since > self._order_for_s:
                        self.spooling = False
                        _log.warning(
                            "spool_order_given_up",
                            topic=self.topic,
                            records=left,
                            after_s=round(self._clock() - accepted_since, 1),
                        )
                if self.spooling and left <= self._size and self._clock() >= next_handover:
                    next_handover = self._clock() + 4 * HANDOVER_S
                    self._gate.clear()
                    asyncio.get_running_loop().call_later(HANDOVER_S, self._gate.set)
                    await self._idle.wait()
            # Nothing was awaited since the file was seen empty with no write under way, so no
            # record can be left behind in it.
            self.spooling = False
            if self._said:
                self._said = False
                after_s = round(self._clock() - began, 1)
                _log.info("spool_drained", topic=self.topic, after_s=after_s)
        finally:
            self._right.give(self)
            self._gate.set()

    async def _move(self) -> bool | None:
        """Move one batch from the file to the log. False if the log takes nothing; None if another
        process drains."""
        size, self._size = self._size, 1
        try:
            if not self._right.take(self):
                self._size = size
                await asyncio.sleep(0.02)
                return None
            entries = await self._file.read(self.topic, await self._next(), size)
            if entries:
                records = [unwrap(entry.record) for entry in entries]
                await self._to_log(records, self._bound_s, drained=True)
                self._drained = entries[-1].offset + 1
            await self._file.forget(self.topic, self._drained)
        except (Unavailable, TimeoutError) as error:
            reason = str(error) or f"no answer within {self._bound_s:g} s"
            if self._limit.allows(reason):
                _log.warning("spool_waits", topic=self.topic, reason=reason)
            return False
        except Exception as error:
            # Whatever it is, appends must go on and the drain must be tried again.
            if self._limit.allows(type(error).__name__):
                _log.error("spool_drain_failed", topic=self.topic, exc_info=error)
            return False
        self._size = min(2 * size, BATCH_RECORDS)
        return True

    async def _next(self) -> int:
        return max((await self._file.span(self.topic)).first, self._drained)

    async def _left(self) -> int:
        """Records to move; 1 where all are moved and their deletion has failed."""
        with contextlib.suppress(Unavailable):
            span = await self._file.span(self.topic)
            return span.next - max(span.first, self._drained) or int(span.first < span.next)
        return 1  # a disk that fails: there may be some
