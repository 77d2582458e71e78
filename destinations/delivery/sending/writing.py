"""Runs a sender's transactions in threads, and repeats those whose loss would lose an answer."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from destinations.delivery.backoff import again_ms
from stream.store.contract import Store, StoreUnavailable, Transaction

T = TypeVar("T")
ATTEMPTS = 3
log = structlog.get_logger()


class StoreWriting:
    """The store, as a sender uses it."""

    def __init__(
        self,
        store: Store,
        sleep: Callable[[float], Awaitable[None]],
        chance: Callable[[], float],
    ) -> None:
        self._store, self._sleep, self._chance = store, sleep, chance
        self._threads: ThreadPoolExecutor | None = None

    async def write_surely(self, work: Callable[[Transaction], T]) -> T:
        """`write`, retried for about 6 s: an answer must not be lost."""
        # Not stamina: time and chance are the sender's, which its tests move.
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self.write(work)
            except StoreUnavailable as error:
                log.warning("store unavailable to the sender", detail=str(error))
                await self._sleep(again_ms(attempt, self._chance()) / 1000)
        return await self.write(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction, in a thread. Raises StoreUnavailable."""

        def transact() -> T:
            with self._store.begin() as transaction:
                return work(transaction)

        return await self.in_thread(transact)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run what blocks."""
        if self._threads is None:
            writers = 1 if self._store.dialect == "sqlite" else 4
            self._threads = ThreadPoolExecutor(writers, "delivery-store")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Wait for nothing; later work starts new threads."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None
