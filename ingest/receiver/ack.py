"""From a record to "it is durable", in bounded time.

Records that arrive in one turn of the event loop are appended together: one call, one task and one
timer for all of them. The log may take longer than a sender can wait. Then the senders are told to
come again, while the write goes on by itself, its bytes staying charged until the log lets go of
them: a log that hangs fills the budget, and the budget refuses, instead of memory growing.
"""

import asyncio
import time
from collections.abc import Sequence
from traceback import extract_tb
from typing import Protocol

import structlog

from ingest.receiver.body import Budget
from ingest.receiver.outcome import Outcome
from stream.log.contract import RecordsRefused, Unavailable
from stream.rate_limit import RateLimit
from stream.record import Record

_log = structlog.get_logger(__name__)


class Appends(Protocol):
    """The part of a log that the receiver needs (stream/log/contract.py); a spool in front of one
    has it too."""

    async def append(self, records: Sequence[Record]) -> None: ...


class Acks:
    """Appends records to `log` and tells, for each one, how that ended within `timeout_s`."""

    def __init__(self, log: Appends, budget: Budget, timeout_s: float) -> None:
        self._log = log
        self._budget = budget
        self._timeout_s = timeout_s
        self._warnings = RateLimit(time.monotonic)
        self._next = _Batch()
        self._writing = set[asyncio.Task[None]]()

    def append(self, record: Record, charged: int) -> asyncio.Future[Outcome]:
        """ACCEPTED or UNAVAILABLE, within the time limit. Takes over `charged`. Cancelling the
        answer never cancels the write."""
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
            outcome = Outcome.ACCEPTED
        except Unavailable as error:
            self._tell(str(error))
        except RecordsRefused as error:
            # There is nowhere to keep these; the rest of the batch is durable.
            self._tell(str(error))
            outcome, refused = Outcome.ACCEPTED, error.records
        except Exception as error:
            # Not in the log's contract, so a fault of ours; the sender comes again and nothing is
            # lost. Its message stays out of our logs, since a database's quotes the values it was
            # given.
            place = extract_tb(error.__traceback__)[-1]
            _log.error(
                "append_failed", error=type(error).__name__, at=f"{place.filename}:{place.lineno}"
            )
        finally:
            overdue.cancel()
            self._budget.give(batch.charged)
            batch.answer(outcome, refused)

    def _overdue(self, batch: "_Batch") -> None:
        self._tell(f"no answer within {self._timeout_s:g} s")
        batch.answer(Outcome.UNAVAILABLE)

    def _tell(self, reason: str) -> None:
        """Why deliveries are answered 503."""
        if self._warnings.due(reason):
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
        """Every record ends with `outcome`, those refused as unavailable."""
        for record, answer in zip(self.records, self.answers, strict=True):
            if not answer.done():
                lost = any(record is each for each in refused)
                answer.set_result(Outcome.UNAVAILABLE if lost else outcome)
