"""Sends outbox rows: one sender per process, any number of processes, one lane per account."""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

import structlog

from destinations.delivery.accounts import guarded
from destinations.delivery.ledger import (
    Due,
    due_accounts,
    take_back,
)
from destinations.delivery.protocol import Destination
from destinations.delivery.rows import AccountRow
from destinations.delivery.sending.batches import Batches
from destinations.delivery.sending.gauges import Gauges
from destinations.delivery.sending.lane import Lane
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.sending.writing import StoreWriting
from destinations.delivery.transport import Call
from stream.metrics import DeliveryMetrics
from stream.store.contract import Store, StoreUnavailable, Transaction
from stream.tracing import Tracer

T = TypeVar("T")
EARLY_S = 0.002
FULL_REQUESTS = 4
"""As many events of an account may be in flight as this many full requests hold (a request
that is answered in 150 ms holds few of them), so that a backlog does not fill the memory."""
MEASURE_MS = 15_000
log = structlog.get_logger()


class OutboxSender:
    """Sends what is due. `run` until `stop`, or `drain` once.

    When idle nothing is delayed: `wake` leads straight to a claim. Under load claims of one account
    are up to its `spacing_ms` apart, so that rows gather into batches. Rows of other processes,
    retries that fell due and claims of dead senders are found within `poll_s`. Time, sleeping,
    chance, ids and the HTTP call are parameters.
    """

    def __init__(
        self,
        store: Store,
        destinations: Sequence[Destination],
        call: Call,
        *,
        public_call: Call | None = None,
        metrics: DeliveryMetrics | None = None,
        tracer: Tracer | None = None,
        tuning: Tuning | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        steady_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        """`public_call` reaches public addresses only; it serves destinations that ask for that.

        `clock_ms` is the wall clock, for what is written to the store. `steady_ms` counts from any
        moment on and never steps: this process measures its own waits by it.
        """
        self._store, self._clock_ms = store, clock_ms
        self._destinations = {(each.shop, each.name): each for each in destinations}
        self._tuning = tuning or Tuning()
        self._writing = StoreWriting(store, sleep, chance)
        self._gauges = Gauges(store, self._writing, metrics, clock_ms, steady_ms)
        self._batches = Batches(
            store.dialect,
            self._writing,
            self._tuning,
            call,
            public_call or call,
            metrics=metrics,
            tracer=tracer,
            clock_ms=clock_ms,
            steady_ms=steady_ms,
            sleep=sleep,
            chance=chance,
            new_id=new_id,
        )
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._by_shop: dict[str, list[Lane]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._stopping = False

    def wake(self, shops: Collection[str] | None = None) -> None:
        """There may be something new, for these shops or for any. Safe from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            if shops is None:
                self._loop.call_soon_threadsafe(self._woken.set)
            else:
                self._loop.call_soon_threadsafe(self._kick_shops, frozenset(shops))

    def stop(self) -> None:
        """Claim nothing more; `run` returns when everything in flight is settled. Safe from any
        thread."""
        self._stopping = True
        self.wake()

    async def run(self) -> None:
        """Send until `stop`. Cancelling it leaves rows in flight to their lease: they become
        `maybe_accepted` later."""
        self._loop = asyncio.get_running_loop()
        try:
            while not self._stopping:
                self._woken.clear()
                for lane in await self._due_lanes():
                    self._kick(lane)
                try:
                    # `wait_for` would forget a cancellation that comes with the waking.
                    async with asyncio.timeout(self._tuning.poll_s):
                        await self._woken.wait()
                except TimeoutError:
                    continue
            # Drivers first: one that is just claiming starts a dispatch more.
            await asyncio.gather(
                *(lane.driver for lane in self._lanes.values() if lane.driver),
                return_exceptions=True,
            )
            await asyncio.gather(
                *(task for lane in self._lanes.values() for task in lane.tasks),
                return_exceptions=True,
            )
        finally:
            for lane in self._lanes.values():
                for task in (*lane.tasks, *([lane.driver] if lane.driver else [])):
                    task.cancel()
            self._writing.close()

    async def drain(self) -> None:
        """Send until nothing is due now, or every lane with due rows is paused, throttled or
        backing off."""
        while True:
            before = self._batches.claimed
            for lane in await self._due_lanes():
                await self._drive(lane)
                await asyncio.gather(*lane.tasks)
            if self._batches.claimed == before:
                return

    async def _due_lanes(self) -> list[Lane]:
        """The lanes that have something to do now."""
        try:
            await self._register()
            due = await self._writing.in_thread(
                partial(self._find_due, frozenset(self._batches.live))
            )
        except StoreUnavailable as error:
            log.warning("store unavailable to the sender", detail=str(error))
            return []
        found = []
        for each in due:
            account = each.account
            lane = self._lanes.get((account.shop, account.destination))
            if lane is not None:
                lane.account = account
                self._gauges.show(lane)
                if each.due or each.lapsed:
                    found.append(lane)
                self._kick_then(lane, each.next_ms)
        await self._gauges.measure(self._lanes)
        return found

    def _kick_then(self, lane: Lane, due_ms: int | None) -> None:
        """What falls due before the next look goes out in time."""
        if self._loop is None or due_ms is None:
            return
        wait_s = (due_ms - self._clock_ms()) / 1000
        if wait_s < self._tuning.poll_s:
            # Timers may fire a moment early, and then nothing would be due yet.
            self._loop.call_later(max(0.0, wait_s) + EARLY_S, self._kick_lane, lane)

    def _kick_lane(self, lane: Lane) -> None:
        if not self._stopping:
            self._kick(lane)

    def _find_due(self, live: frozenset[str]) -> list[Due]:
        """What is due in every lane, after taking back rows whose lease is over.

        `live` are this process's own claims: a clock that steps forward ends no request.
        """
        now_ms = self._clock_ms()
        with self._store.snapshot() as snapshot:
            due = due_accounts(snapshot, now_ms)
        for place in [(each.account.shop, each.account.destination) for each in due if each.lapsed]:
            known = self._destinations.get(place)
            with self._store.begin() as transaction:
                # An account that is no longer configured is sent nothing.
                take_back(transaction, *place, now_ms, known.repeat_ms if known else 0, live)
        return due

    async def _register(self) -> None:
        """A lane for every account without one: all at the start, later those for which the store
        failed."""
        for place, destination in self._destinations.items():
            if place in self._lanes:
                continue

            def make(
                transaction: Transaction, destination: Destination = destination
            ) -> AccountRow:
                return guarded(transaction, destination, self._clock_ms())

            account = await self._writing.write(make)
            limits = self._tuning.limits(destination.limits)
            lane = Lane(destination, limits, account, asyncio.Semaphore(limits.in_flight))
            self._lanes[place] = lane
            self._by_shop.setdefault(destination.shop, []).append(lane)

    def _kick_shops(self, shops: Collection[str]) -> None:
        """Missing lanes find waiting rows by themselves."""
        for lane in [lane for shop in shops for lane in self._by_shop.get(shop, ())]:
            if not self._stopping:
                self._kick(lane)

    def _kick(self, lane: Lane) -> None:
        if lane.driver is None or lane.driver.done():
            lane.driver = asyncio.create_task(self._drive_on(lane))
        else:
            lane.again = True

    async def _drive_on(self, lane: Lane) -> None:
        lane.again = True
        while lane.again and not self._stopping:
            lane.again = False
            try:
                await self._drive(lane)
            except StoreUnavailable as error:
                log.warning("store unavailable to the sender", detail=str(error))
            except Exception as error:  # A bug of ours; the next poll tries again.
                log.error("lane broke", **lane.names, error=type(error).__name__)

    async def _drive(self, lane: Lane) -> None:
        """Claim and send until nothing is left, or the lane may not send."""
        while not self._stopping:
            await lane.slots.acquire()
            claimed = False
            try:
                if not self._stopping:  # the slot may have come free because of it
                    claimed = await self._batches.next(lane)
            finally:
                if not claimed:
                    lane.slots.release()
            if not claimed or lane.emptied:
                return
            while lane.in_flight >= max(FULL_REQUESTS * lane.limits.events, lane.limits.in_flight):
                await asyncio.wait(lane.tasks, return_when=asyncio.FIRST_COMPLETED)
