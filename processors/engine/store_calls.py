"""Runs blocking store calls in a thread of their own, with retries while the store is
unavailable."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import structlog

from stream.metrics import ProcessorMetrics
from stream.store.contract import Conflict, StoreUnavailable

RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits after a StoreUnavailable; the last one repeats."""

log = structlog.get_logger()
T = TypeVar("T")


class StoreCalls:
    """One thread, so that no two transactions of a processor overlap."""

    def __init__(self, processor: str, metrics: ProcessorMetrics, stop: asyncio.Event) -> None:
        self._processor, self._metrics, self._stop = processor, metrics, stop
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=processor)
        self._away = False

    async def until_done(self, call: Callable[[], T]) -> T:
        """Retry while the database is unavailable or busy, or chose us as a deadlock's victim: the
        call had no effect then.

        Raises StoreUnavailable once `stop` is set, and whatever else the call raises.
        """
        attempt = 0
        # Not stamina: its waits cannot be ended by `stop`, and a conflict is repeated without one.
        while True:
            try:
                result = await asyncio.get_running_loop().run_in_executor(self._thread, call)
            except Conflict:
                self._metrics.retries.inc()
            except StoreUnavailable as error:
                self._metrics.retries.inc()
                if self._stop.is_set():
                    raise
                if not self._away:
                    self._away = True
                    log.warning("store unavailable", processor=self._processor, error=str(error))
                with suppress(TimeoutError):
                    wait_s = RETRY_S[min(attempt, len(RETRY_S) - 1)]
                    await asyncio.wait_for(self._stop.wait(), wait_s)
                attempt += 1
            else:
                if self._away:
                    self._away = False
                    log.info("store available again", processor=self._processor)
                return result

    def close(self) -> None:
        """Wait for a running call."""
        self._thread.shutdown(wait=True)
