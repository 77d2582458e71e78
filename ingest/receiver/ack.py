"""Appends records to the log and reports within a bounded time whether each is durable."""

import asyncio
import time
from collections.abc import Sequence
from traceback import extract_tb
from typing import Protocol

import structlog

from ingest.receiver.body import BytesInFlight
from ingest.receiver.outcome import Outcome
from stream.log.contract import RecordsRefused, Unavailable
from stream.rate_limit import RateLimit
from stream.record import Record

_log = structlog.get_logger(__name__)

FAILING_S = 10.0


class Appends(Protocol):
    """The part of a log (stream/log/contract.py) that the receiver needs; a spool has it too."""

    async def append(self, records: Sequence[Record]) -> None: ...


class Acks:
    """Appends records to `log`; resolves each within `timeout_s`.

    Records that arrive in one turn of the event loop share one append, one task and one timer.
    After the timeout the senders are asked to retry while the write goes on, its bytes still
    charged: a log that hangs fills the limit of bytes in flight, instead of memory growing.
    """

    def __init__(self, log: Appends, in_flight: BytesInFlight, timeout_s: float) -> None:
        self._log = log
        self._in_flight = in_flight
        self._timeout_s = timeout_s
        self._warnings = RateLimit(time.monotonic)
        self._next = _Batch()
        self._failed_s: float | None = None
        self.refusing: str | None = None
        """Why the last append failed; None once one succeeded again."""
        self._writing = set[asyncio.Task[None]]()

    def failing(self) -> bool:
        """Whether the last append failed, less than `FAILING_S` ago.

        Nobody may send while this says so; then it has to be tried again.
        """
        return self._failed_s is not None and time.monotonic() - self._failed_s < FAILING_S

    def append(self, record: Record, charged: int) -> asyncio.Future[Outcome]:
        """ACCEPTED or UNAVAILABLE, within the time limit. Takes over `charged`. Cancelling the
        future never cancels the write."""
        loop = asyncio.get_running_loop()
        if not self._next.records:
            loop.call_soon(self._write)
        return self._next.add(record, charged, loop.create_future())

    def _write(self) -> None:
        batch, self._next = self._next, _Batch()
        task = asyncio.get_running_loop().create_task(self._log_append(batch))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _log_append(self, batch: "_Batch") -> None:
        overdue = asyncio.get_running_loop().call_later(self._timeout_s, self._overdue, batch)
        outcome, refused = Outcome.UNAVAILABLE, tuple[Record, ...]()
        try:
            await self._log.append(batch.records)
            outcome, self._failed_s, self.refusing = Outcome.ACCEPTED, None, None
        except Unavailable as error:
            self._failed_s, self.refusing = time.monotonic(), str(error)
            self._log_unavailable(str(error))
        except RecordsRefused as error:
            # There is nowhere to keep these; the rest of the batch is durable.
            self._log_unavailable(str(error))
            outcome, refused = Outcome.ACCEPTED, error.records
        except Exception as error:
            # An error outside the log's contract is our bug; the sender retries, so nothing is
            # lost. The message is not logged: a database's error quotes the values it was given.
            place = extract_tb(error.__traceback__)[-1]
            _log.error(
                "append_failed", error=type(error).__name__, at=f"{place.filename}:{place.lineno}"
            )
        finally:
            overdue.cancel()
            self._in_flight.give(batch.charged)
            batch.answer(outcome, refused)

    def _overdue(self, batch: "_Batch") -> None:
        self._failed_s = time.monotonic()
        self.refusing = f"no answer within {self._timeout_s:g} s"
        self._log_unavailable(self.refusing)
        batch.answer(Outcome.UNAVAILABLE)

    def _log_unavailable(self, reason: str) -> None:
        """Log why deliveries are answered 503."""
        if self._warnings.allows(reason):
            _log.warning("log_unavailable", reason=reason)


class _Batch:
    __slots__ = ("answers", "charged", "records")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.answers: list[asyncio.Future[Outcome]] = []
        self.charged = 0

    def add(
        self, record: Record, charged: int, answer: asyncio.Future[Outcome]
    ) -> asyncio.Future[Outcome]:
        self.records.append(record)
        self.answers.append(answer)
        self.charged += charged
        return answer

    def answer(self, outcome: Outcome, refused: Sequence[Record] = ()) -> None:
        """Every record ends with `outcome`, refused ones as unavailable."""
        for record, answer in zip(self.records, self.answers, strict=True):
            if not answer.done():
                lost = any(record is each for each in refused)
                answer.set_result(Outcome.UNAVAILABLE if lost else outcome)
