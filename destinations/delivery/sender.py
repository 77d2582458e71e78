"""Sends outbox rows to Meta: one `Sender` per process, any number of processes, one lane per pixel.

Idle, nothing is delayed: `wake` leads straight to a claim. Under load claims of one pixel are at
least `spacing_ms` apart, so that rows gather into batches. Rows that other processes wrote, retries
that fell due and claims of dead senders are found within `poll_s`. Time, sleeping, chance, ids and
the HTTP call are parameters.
"""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from destinations.delivery.accounts import TEST_MODE, guard_test_mode, take_probe
from destinations.delivery.backoff import retry_ms
from destinations.delivery.dispatch import Delivery
from destinations.delivery.ledger import Due, claim, due_pixels, register, take_back
from destinations.delivery.rows import OutboxRow, PixelRow
from destinations.delivery.transport import Call
from destinations.meta.settings import CapiSettings
from stream.metrics import CapiMetrics
from stream.store.contract import Store, StoreUnavailable, Transaction

T = TypeVar("T")
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tuning:
    """How much at once, and how often."""

    batch: int = 1_000
    """Events per request; Meta takes no more (docs/facts/meta.md, "Request")."""
    in_flight: int = 4
    """Requests of one pixel at a time."""
    spacing_ms: int = 20
    poll_s: float = 1.0
    timeout_s: float = 10.0
    """For one request. Meta's advice is 1.5 s for one event; giving up early makes an ambiguous row, so a batch gets longer."""
    lease_ms: int = 30_000
    """No request starts after half of it, and none lasts longer than `timeout_s`: it is over before the lease is."""
    hold_after: int = 3
    """Failures in a row after which the lane backs off."""
    hold_cap_ms: int = 30_000


@dataclass(slots=True)
class Lane:
    """One pixel, as this sender sees it."""

    settings: CapiSettings
    pixel: PixelRow
    slots: asyncio.Semaphore
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    driver: asyncio.Task[None] | None = None
    again: bool = False
    """Somebody called while the driver was running."""
    emptied: bool = False
    """The last claim got less than it asked for: there is no more until somebody calls."""
    next_claim_ms: int = 0
    failures: int = 0
    held_until_ms: int = 0


class Sender:
    """Sends what is due. `run` until `stop`, or `drain` once."""

    def __init__(
        self,
        store: Store,
        shops: Mapping[str, CapiSettings],
        call: Call,
        *,
        metrics: CapiMetrics | None = None,
        tuning: Tuning | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self._store, self._shops, self._call, self._metrics = store, shops, call, metrics
        self._tuning, self._clock_ms, self._sleep = tuning or Tuning(), clock_ms, sleep
        self._chance, self._new_id = chance, new_id
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._threads = ThreadPoolExecutor(1 if store.dialect == "sqlite" else 4, "capi-store")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._stopping = False
        self.claims = 0
        """Batches claimed so far."""

    def wake(self, shops: Collection[str] | None = None) -> None:
        """There may be something new, for these shops or for anybody. Safe from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            if shops is None:
                self._loop.call_soon_threadsafe(self._woken.set)
            else:
                self._loop.call_soon_threadsafe(self._kick_shops, shops)

    def stop(self) -> None:
        """Claim nothing more; `run` returns when what is in flight has been settled. Safe from any thread."""
        self._stopping = True
        self.wake()

    async def run(self) -> None:
        """Send until `stop`. Cancelling it leaves rows in flight to their lease: they become `maybe_accepted` later."""
        self._loop = asyncio.get_running_loop()
        try:
            while not self._stopping:
                self._woken.clear()
                for lane in await self._due():
                    self._kick(lane)
                try:
                    async with asyncio.timeout(
                        self._tuning.poll_s
                    ):  # `wait_for` would forget a cancellation that comes with the waking.
                        await self._woken.wait()
                except TimeoutError:
                    continue
            # Drivers first: one that is just claiming starts a delivery more.
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
            self._threads.shutdown(wait=False)

    async def drain(self) -> None:
        """Send until nothing is due now, or every lane that has something is paused, throttled or backing off."""
        while True:
            before = self.claims
            for lane in await self._due():
                await self._drive(lane)
                await asyncio.gather(*lane.tasks)
            if self.claims == before:
                return

    async def _due(self) -> list[Lane]:
        """The lanes that have something to do now."""
        try:
            await self._register()
            due = await self._in_thread(self._look)
        except StoreUnavailable as error:
            log.warning("capi_store_unavailable", detail=str(error))
            return []
        found = []
        for each in due:
            pixel = each.pixel
            lane = self._lanes.get((pixel.shop, pixel.pixel_id))
            if lane is not None:
                lane.pixel = pixel
                if self._metrics is not None:
                    self._metrics.paused(pixel.pixel_id, pixel.paused_since_ms is not None)
                if each.due or each.lapsed:
                    found.append(lane)
        return found

    def _look(self) -> list[Due]:
        """What is due in every lane, after rows whose lease is over were taken back."""
        now_ms = self._clock_ms()
        with self._store.snapshot() as snapshot:
            due = due_pixels(snapshot, now_ms)
        for lapsed in [(each.pixel.shop, each.pixel.pixel_id) for each in due if each.lapsed]:
            with self._store.begin() as transaction:
                take_back(transaction, *lapsed, now_ms)
        return due

    async def _register(self) -> None:
        """A lane for every shop that has none yet: all at the start, the rest later where the store failed meanwhile."""
        for settings in self._shops.values():
            if (settings.shop, settings.pixel_id) in self._lanes:
                continue

            def make(transaction: Transaction, settings: CapiSettings = settings) -> PixelRow:
                register(transaction, settings.shop, settings.pixel_id)
                return guard_test_mode(transaction, settings, self._clock_ms())

            pixel = await self._write(make)
            lane = Lane(settings, pixel, asyncio.Semaphore(self._tuning.in_flight))
            self._lanes[settings.shop, settings.pixel_id] = lane

    def _kick_shops(self, shops: Collection[str]) -> None:
        """Lanes that are not there yet find by themselves what waits for them."""
        places = [(shop, self._shops[shop].pixel_id) for shop in shops if shop in self._shops]
        for lane in [self._lanes[place] for place in places if place in self._lanes]:
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
                log.warning("capi_store_unavailable", detail=str(error))
            except Exception as error:  # Ours; the next poll tries again.
                log.error("capi_lane_broke", shop=lane.settings.shop, error=type(error).__name__)

    async def _drive(self, lane: Lane) -> None:
        """Claim and send until nothing is left, or the lane may not."""
        while not self._stopping:
            await lane.slots.acquire()
            claimed = False
            try:
                if not self._stopping:  # the slot may have come free because of it
                    claimed = await self._next(lane)
            finally:
                if not claimed:
                    lane.slots.release()
            if not claimed or lane.emptied:
                return

    async def _next(self, lane: Lane) -> bool:
        """Claim a batch and start its delivery. False where nothing is to be claimed, or nothing may be sent now."""
        now_ms = self._clock_ms()
        if lane.next_claim_ms > now_ms:
            await self._sleep((lane.next_claim_ms - now_ms) / 1000)
            now_ms = self._clock_ms()
        settings = lane.settings
        if settings.test_event_code:
            lane.pixel = await self._write(
                lambda transaction: guard_test_mode(transaction, settings, now_ms)
            )
        if now_ms < max(lane.held_until_ms, lane.pixel.throttled_until_ms):
            return False
        limit, probe = self._tuning.batch, False
        if lane.pixel.paused_since_ms is not None:
            if lane.pixel.paused_code == TEST_MODE or now_ms < lane.pixel.next_probe_ms:
                return False
            if not await self._write(
                lambda transaction: take_probe(
                    transaction, settings.shop, settings.pixel_id, now_ms
                )
            ):
                return False
            lane.pixel = lane.pixel._replace(next_probe_ms=now_ms + 1)
            limit, probe = 1, True
        lane.next_claim_ms = now_ms + self._tuning.spacing_ms
        claim_id = self._new_id()
        place = (settings.shop, settings.pixel_id)
        rows = await self._write(
            lambda transaction: claim(
                transaction,
                self._store.dialect,
                *place,
                claim_id,
                now_ms,
                self._tuning.lease_ms,
                limit,
                probe=probe,
            )
        )
        if not rows:
            return False
        self.claims += 1
        lane.emptied = limit > 1 and len(rows) < limit
        delivery = Delivery(
            settings=settings,
            dialect=self._store.dialect,
            claim_id=claim_id,
            give_up_ms=now_ms + self._tuning.lease_ms // 2,
            timeout_s=self._tuning.timeout_s,
            call=self._call,
            write=self._write_surely,
            clock_ms=self._clock_ms,
            chance=self._chance,
            metrics=self._metrics,
            paused=lane.pixel.paused_since_ms is not None,
        )
        task = asyncio.create_task(self._deliver(lane, delivery, rows))
        lane.tasks.add(task)
        task.add_done_callback(lambda done: self._done(lane, done))
        if limit == 1:
            await asyncio.wait([task])
        return True

    def _done(self, lane: Lane, task: asyncio.Task[None]) -> None:
        lane.tasks.discard(task)
        lane.slots.release()

    async def _deliver(self, lane: Lane, delivery: Delivery, rows: list[OutboxRow]) -> None:
        try:
            await delivery.run(rows)
        except StoreUnavailable as error:
            log.error(
                "capi_results_lost", shop=lane.settings.shop, rows=len(rows), detail=str(error)
            )
        except Exception as error:  # Ours. Its text may quote a row, so only its type is told; the rows come back with their lease.
            log.error(
                "capi_delivery_broke",
                shop=lane.settings.shop,
                rows=len(rows),
                error=type(error).__name__,
            )
            delivery.failed = True
        if delivery.pixel is not None:
            lane.pixel = delivery.pixel
        lane.failures = lane.failures + 1 if delivery.failed else 0
        if lane.failures >= self._tuning.hold_after:
            hold_ms = retry_ms(lane.failures - self._tuning.hold_after + 1, self._chance())
            lane.held_until_ms = self._clock_ms() + min(hold_ms, self._tuning.hold_cap_ms)

    async def _write_surely(self, work: Callable[[Transaction], T]) -> T:
        """`_write`, again and again for about 6 s: what Meta answered must not be forgotten."""
        for attempt in range(1, 4):
            try:
                return await self._write(work)
            except StoreUnavailable as error:
                log.warning("capi_store_unavailable", detail=str(error))
                await self._sleep(retry_ms(attempt, self._chance()) / 1000)
        return await self._write(work)

    async def _write(self, work: Callable[[Transaction], T]) -> T:
        """Do `work` in a transaction, in a thread. Raises StoreUnavailable."""

        def transact() -> T:
            with self._store.begin() as transaction:
                return work(transaction)

        return await self._in_thread(transact)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
