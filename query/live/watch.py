"""Looks at a shop twice a second for all of its clients together: what changed is kept for each of
them to take."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from query.api_settings import ApiSettings, ShopAnswerSettings
from query.as_of import Lags, lag_records
from query.live.counters import Live, read_live
from query.live.orders import BACK_RECORDS, Cursor, PlacedOrder, newest
from query.problem import Problem
from stream.log.contract import Log, LogError
from stream.store.contract import Store, StoreError

LOOK_S: Final = 0.5
MOST: Final = 50
"""Clients of one shop at one process."""


class ShopWatch:
    """The state of one shop, as its clients are shown it."""

    def __init__(self) -> None:
        self.clients = 0
        self.changes = 0
        """Grows with every change of the members below."""
        self.live: Live | None = None
        self.placed: deque[PlacedOrder] = deque(maxlen=BACK_RECORDS)
        """The newest orders; a client takes those behind its place."""
        self.reached: Cursor = {}
        self._changed = asyncio.Event()

    def publish(self, live: Live | None, placed: list[PlacedOrder], reached: Cursor) -> None:
        """Keep what a look found, and wake whoever waits if it is new."""
        self.reached = reached
        if live == self.live and not placed:
            return
        self.live = live
        self.placed.extend(placed)
        self.changes += 1
        self.wake()

    def wake(self) -> None:
        """Let every client look."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self, seen: int, timeout_s: float) -> bool:
        """Wait until there are more than the `seen` changes; False after `timeout_s`."""
        if self.changes > seen:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True


class Watches:
    """The shops that somebody listens to."""

    def __init__(
        self,
        store: Store,
        log: Log,
        lags: Lags,
        settings: Callable[[], ApiSettings],
        clock: Callable[[], int],
    ) -> None:
        """`settings` may be others at each call."""
        self._store, self._log, self._lags = store, log, lags
        self._settings, self._clock = settings, clock
        self._shops: dict[str, ShopWatch] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.ended = False
        self.looks = 0
        """How often a shop was looked at."""

    @contextmanager
    def listening(self, shop: str) -> Iterator[ShopWatch]:
        """The shop's watch, for one client. Raises Problem 503 for too many of them."""
        watch = self._shops.get(shop)
        if watch is None:
            watch = self._shops[shop] = ShopWatch()
            task = asyncio.create_task(self._keep(shop, watch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if watch.clients >= MOST:
            raise Problem(
                503,
                "too-many-streams",
                f"{MOST} clients listen to this shop already",
                "close some pages, or ask again later",
                headers={"Retry-After": "30"},
            )
        watch.clients += 1
        try:
            yield watch
        finally:
            watch.clients -= 1

    def listened(self) -> list[str]:
        """The shops that are looked at."""
        return sorted(self._shops)

    async def end(self) -> None:
        """End the wait of every client, and stop looking."""
        self.ended = True
        for watch in self._shops.values():
            watch.wake()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, shop: str, watch: ShopWatch) -> None:
        """Look as long as somebody listens."""
        while True:
            await self._look(shop, watch)
            await asyncio.sleep(LOOK_S)
            if not watch.clients or self.ended:
                del self._shops[shop]
                return

    async def _look(self, shop: str, watch: ShopWatch) -> None:
        """What does not answer now is asked again at the next look; /readyz reports it."""
        self.looks += 1
        live, placed, reached = watch.live, list[PlacedOrder](), watch.reached
        with contextlib.suppress(LogError, StoreError):
            live = await self._live(shop)
        with contextlib.suppress(LogError):
            placed, reached = await newest(self._log, shop, reached)
        watch.publish(live, placed, reached)

    async def _live(self, shop: str) -> Live:
        settings = self._settings()
        feeds = settings.processors
        spans = await self._lags.spans({feed.topic for feed in feeds})
        accounts = settings.shops.get(shop, ShopAnswerSettings()).accounts

        def read() -> Live:
            with self._store.snapshot() as snapshot:
                behind = lag_records(feeds, snapshot.positions(), spans)
                return read_live(
                    snapshot, shop, accounts, behind, self._clock(), settings.role_silent_ms
                )

        return await asyncio.to_thread(read)
