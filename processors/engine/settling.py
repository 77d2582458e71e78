"""Settles a batch: limits first, then parking, then one transaction; if that fails, a search for
the bad records.

Rejected records are on the topic `parked` before the transaction that passes them commits.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

import structlog

from processors.engine.decoding import shop_of
from processors.engine.folding import SearchResult, search
from processors.engine.limits import Failures, TooManyFailures, first_passed
from processors.engine.parking import parked, without_body
from processors.engine.processor import Processor
from processors.engine.store_calls import StoreCalls
from processors.engine.work import CATCHES_UP, BatchWork
from stream.log.contract import Log, RecordsRefused
from stream.metrics import ProcessorMetrics
from stream.store.contract import Store, StoreError, Transaction

Event = TypeVar("Event")
ATTEMPTS = 4
"""Searches of one batch: each finds something, or the batch fails for no record's sake."""

log = structlog.get_logger()


class _RolledBack(Exception):
    """Ends the transaction of a search."""


class Settling(Generic[Event]):
    """The settings and state shared by all batches of one processor."""

    def __init__(
        self,
        processor: Processor[Event],
        source: Log,
        store: Store,
        failures: Failures,
        metrics: ProcessorMetrics,
        clock_ms: Callable[[], int],
        committed: Callable[[Sequence[Event]], None],
    ) -> None:
        self.processor, self.store, self.clock_ms = processor, store, clock_ms
        self._log, self._failures, self._metrics = source, failures, metrics
        self._committed = committed

    async def settle(
        self,
        work: BatchWork[Event],
        calls: StoreCalls,
        save: Callable[[Transaction, BatchWork[Event]], None],
    ) -> None:
        """Park and fold, with `save` (positions, rows) at the beginning of the transaction.

        Raises TooManyFailures (nothing has happened then), StoreError, Unavailable.
        """
        # Not stamina: each turn has fewer records, those found to be bad are left out.
        for attempt in range(ATTEMPTS):
            self._check_limits(work)
            await self._park(work)
            try:
                await calls.until_done(partial(self._write, work, save))
                break
            except StoreError:
                raise
            except Exception as error:
                if attempt == ATTEMPTS - 1 or not work.events():
                    raise
                log.warning(
                    "batch failed",
                    processor=self.processor.name,
                    error=type(error).__name__,
                    records=len(work.decoded),
                )
                work.take(await calls.until_done(partial(self._search, work)))
        if work.failed() or not self._failures.quiet():
            for shop, failed in work.counted():
                self._failures.note(shop, failed=failed)
        for shop, reason in work.left_behind.items():
            if reason != CATCHES_UP:  # A shop that only falls behind goes on counting.
                self._failures.forget(shop)
        self._committed(work.events())

    def _check_limits(self, work: BatchWork[Event]) -> None:
        while work.failed():
            passed = first_passed(self._failures.trial(), work.counted())
            if passed is None:
                return
            reason = f"{passed.reason}, the last with {work.last_failure(passed.shop)}"
            if passed.shop is None:
                raise TooManyFailures(reason)
            work.leave_behind(passed.shop, reason)

    async def _park(self, work: BatchWork[Event]) -> None:
        rejects = work.to_park()
        if not rejects:
            return
        try:
            name = self.processor.name
            await self._log.append([parked(entry, rejected, name) for entry, rejected in rejects])
        except RecordsRefused as refused:
            await self._park_without_body(work, refused)
        work.parked |= {entry.place for entry, _ in rejects}
        self._metrics.parked(Counter(shop_of(entry) for entry, _ in rejects))

    async def _park_without_body(self, work: BatchWork[Event], refused: RecordsRefused) -> None:
        """The topic `parked` takes smaller records than the record's own: the body stays there,
        where a replay reads it. If nothing can be parked, the shops wait, and nothing is passed."""
        try:
            await self._log.append([without_body(record) for record in refused.records])
        except RecordsRefused as again:
            for shop in {record.headers.get("shop", "") for record in again.records}:
                work.leave_behind(shop, f"its records cannot be parked: {again.detail}")

    def _write(
        self, work: BatchWork[Event], save: Callable[[Transaction, BatchWork[Event]], None]
    ) -> None:
        with self.store.begin() as transaction:
            save(transaction, work)
            for events in work.calls():
                self.processor.apply(transaction, events, self.clock_ms())

    def _search(self, work: BatchWork[Event]) -> SearchResult[Event]:
        found: SearchResult[Any] = SearchResult()
        try:
            with self.store.begin() as transaction:
                found = search(
                    self.processor, transaction, work.decoded, self.clock_ms(), work.at_most
                )
                raise _RolledBack
        except _RolledBack:
            return found
