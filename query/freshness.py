"""Refreshes cells in memory; a question waits for a refresh that began after it, but not for
ever."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final

import structlog

from stream.store.contract import StoreError, StoreUnavailable

REST: Final = 4
"""The background rests at least this many times as long as its last refresh took."""
log = structlog.get_logger()


class Freshness:
    """`refresh` blocks and runs in a thread.

    A question waits at most `patience_s`, then uses the data in memory, and `as_of` names its
    state: a slow disk or a burst of events makes answers older, not slower. Where there is no data
    yet it waits without limit.
    """

    def __init__(self, refresh: Callable[[], None], patience_s: float) -> None:
        self._refresh, self._patience_s = refresh, patience_s
        # A thread of its own: the columns that come and go then share one of the allocator's
        # arenas, not one per thread of a pool.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cells")
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None
        self._ended = False

    async def fresh(self, known: bool) -> None:
        """Return when the data in memory is newer than this call; where an older answer is `known`,
        after `patience_s` at the latest. Raises StoreUnavailable."""
        refreshed = self._ask()
        if not known:
            await asyncio.shield(refreshed)
            return
        done, _ = await asyncio.wait([refreshed], timeout=self._patience_s)
        if done:
            refreshed.result()

    async def keep(self, every_s: float) -> None:
        """Refresh for ever, without questions. An unavailable store is retried and not logged:
        questions report it."""
        while True:
            began = perf_counter()
            try:
                await asyncio.shield(self._ask())
            except StoreError as error:
                log.warning("cells could not be refreshed", error=str(error))
            await asyncio.sleep(max(every_s, REST * (perf_counter() - began)))

    async def settle(self) -> None:
        """Wait for a running refresh; its errors are ignored. Questions from now on are refused:
        a connection may have been accepted while the listener closed."""
        self._ended = True
        await asyncio.gather(
            *(task for task in (self._running, self._next) if task is not None),
            return_exceptions=True,
        )
        self._thread.shutdown(wait=True)

    def _ask(self) -> "asyncio.Task[None]":
        if self._next is None:
            if self._ended:  # The thread takes no work any more, which would be a RuntimeError.
                raise StoreUnavailable("this process is ending")
            self._next = asyncio.create_task(self._begin(self._running))
            self._next.add_done_callback(_seen)
        return self._next

    async def _begin(self, before: "asyncio.Task[None] | None") -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        await asyncio.get_running_loop().run_in_executor(self._thread, self._refresh)


def _seen(task: "asyncio.Task[None]") -> None:
    """Mark an error as retrieved, so that asyncio does not report it."""
    if not task.cancelled():
        task.exception()
