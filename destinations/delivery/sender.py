"""Sends outbox rows: one sender per process, any number of processes, one lane per account."""

import asyncio
import random
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from destinations.delivery.accounts import RULE, failing, guarded, refused_for, take_probe
from destinations.delivery.backoff import again_ms
from destinations.delivery.dispatch import Dispatch
from destinations.delivery.lane import Lane
from destinations.delivery.ledger import (
    Due,
    Waiting,
    claim,
    due_accounts,
    take_back,
    waiting_events,
)
from destinations.delivery.protocol import Destination, RequestLimits
from destinations.delivery.refusals import Refusals
from destinations.delivery.rows import AccountRow, OutboxRow
from destinations.delivery.transport import Call
from stream.metrics import AccountLabels, DeliveryMetrics
from stream.store.contract import Store, StoreUnavailable, Transaction
from stream.tracing import Tracer

T = TypeVar("T")
EARLY_S = 0.002
CLAIMING = 8
"""Claims of an account begin as far apart as this many of them take, at most `spacing_ms`: an event
that comes by itself waits for nothing, and under load rows gather into batches."""
FULL_REQUESTS = 4
"""As many events of an account may be in flight as this many full requests hold (a request
that is answered in 150 ms holds few of them), so that a backlog does not fill the memory."""
MINUTE_MS = 60_000
MEASURE_MS = 15_000
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Tuning:
    """Intervals and time limits of the sender; a destination's own limits if nothing else is
    set."""

    batch: int | None = None
    """Events per request, at most the destination's."""
    in_flight: int | None = None
    spacing_ms: int | None = None
    timeout_s: float | None = None
    poll_s: float = 1.0
    lease_ms: int = 30_000
    """No request starts after half of it, and none lasts longer than its time-out: it is over
    before the lease is."""
    hold_after: int = 3
    """Failures in a row after which the lane backs off, and the account is said to be failing."""
    hold_cap_ms: int = 30_000
    failing_ms: int = 10_000
    """An account is also said to be failing once nothing but failures ended for so long: three
    requests that all run into their time-out would take longer than 30 s."""

    def limits(self, of: RequestLimits) -> RequestLimits:
        """A destination's limits with the overrides of this tuning."""
        return of._replace(
            events=of.events if self.batch is None else min(self.batch, of.events),
            in_flight=of.in_flight if self.in_flight is None else self.in_flight,
            spacing_ms=of.spacing_ms if self.spacing_ms is None else self.spacing_ms,
            timeout_s=of.timeout_s if self.timeout_s is None else self.timeout_s,
        )


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
        self._store, self._call, self._metrics = store, call, metrics
        self._tracer = tracer
        self._measure_ms: int | None = None
        self._public_call = public_call or call
        self._destinations = {(each.shop, each.name): each for each in destinations}
        self._tuning, self._clock_ms, self._sleep = tuning or Tuning(), clock_ms, sleep
        self._steady_ms, self._chance, self._new_id = steady_ms, chance, new_id
        self._lanes: dict[tuple[str, str], Lane] = {}
        self._by_shop: dict[str, list[Lane]] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()
        self._stopping = False
        self._live: set[str] = set()
        """Claims that this process is sending."""
        self.claims = 0
        """Batches claimed so far."""

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
            if self._threads is not None:
                self._threads.shutdown(wait=False)
                self._threads = None

    async def drain(self) -> None:
        """Send until nothing is due now, or every lane with due rows is paused, throttled or
        backing off."""
        while True:
            before = self.claims
            for lane in await self._due_lanes():
                await self._drive(lane)
                await asyncio.gather(*lane.tasks)
            if self.claims == before:
                return

    async def _due_lanes(self) -> list[Lane]:
        """The lanes that have something to do now."""
        try:
            await self._register()
            due = await self._in_thread(partial(self._find_due, frozenset(self._live)))
        except StoreUnavailable as error:
            log.warning("store unavailable to the sender", detail=str(error))
            return []
        found = []
        for each in due:
            account = each.account
            lane = self._lanes.get((account.shop, account.destination))
            if lane is not None:
                lane.account = account
                if self._metrics is not None:
                    labels = _labels(lane)
                    self._metrics.paused(labels, account.paused_since_ms is not None)
                    self._metrics.failing(labels, account.failing_since_ms is not None)
                if each.due or each.lapsed:
                    found.append(lane)
                self._kick_then(lane, each.next_ms)
        await self._measure()
        return found

    async def _measure(self) -> None:
        """Set the gauges of what waits, four times a minute."""
        now_ms, steady_ms = self._clock_ms(), self._steady_ms()
        if self._metrics is None or steady_ms < (self._measure_ms or steady_ms):
            return
        self._measure_ms = steady_ms + MEASURE_MS
        try:
            found = await self._in_thread(self._find_waiting)
        except StoreUnavailable:
            return  # The look before has logged it.
        for each in found:
            lane = self._lanes.get((each.shop, each.destination))
            if lane is not None:
                oldest_s = 0 if each.oldest_s is None else max(now_ms / 1000 - each.oldest_s, 0)
                self._metrics.waiting(_labels(lane), each.events, oldest_s)

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

    def _find_waiting(self) -> list[Waiting]:
        with self._store.snapshot() as snapshot:
            return waiting_events(snapshot)

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

            account = await self._write(make)
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
                    claimed = await self._next(lane)
            finally:
                if not claimed:
                    lane.slots.release()
            if not claimed or lane.emptied:
                return
            while lane.in_flight >= max(FULL_REQUESTS * lane.limits.events, lane.limits.in_flight):
                await asyncio.wait(lane.tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _next(self, lane: Lane) -> bool:
        """Claim a batch and start its dispatch. False if nothing can be claimed or sent now."""
        steady_ms = self._steady_ms()
        if lane.next_claim_ms is not None and lane.next_claim_ms > steady_ms:
            await self._sleep((lane.next_claim_ms - steady_ms) / 1000)
            steady_ms = self._steady_ms()
        now_ms = self._clock_ms()
        destination = lane.destination
        place = (destination.shop, destination.name)
        if destination.may_hold:
            lane.account = await self._write(
                lambda transaction: guarded(transaction, destination, now_ms)
            )
        backing_off = lane.held_until_ms is not None and steady_ms < lane.held_until_ms
        if backing_off or now_ms < lane.account.throttled_until_ms:
            return False
        limit, probe = lane.limits.events, False
        if lane.account.paused_since_ms is not None:
            next_probe_ms = lane.account.next_probe_ms
            if lane.account.paused_by == RULE or next_probe_ms is None or now_ms < next_probe_ms:
                return False
            if not await self._write(lambda transaction: take_probe(transaction, *place, now_ms)):
                return False
            lane.account = lane.account._replace(next_probe_ms=now_ms + 1)
            limit, probe = 1, True
        began_ms = self._steady_ms()
        claim_id = self._new_id()
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
        took_ms = max(self._steady_ms() - began_ms, 1)
        lane.next_claim_ms = began_ms + min(lane.limits.spacing_ms, CLAIMING * took_ms)
        if not rows:
            return False
        self.claims += 1
        lane.in_flight += len(rows)
        lane.emptied = not probe and len(rows) < limit
        dispatch = Dispatch(
            destination=destination,
            dialect=self._store.dialect,
            claim_id=claim_id,
            give_up_ms=steady_ms + self._tuning.lease_ms // 2,
            timeout_s=lane.limits.timeout_s,
            call=self._public_call if destination.public_only else self._call,
            write=self._write_surely,
            clock_ms=self._clock_ms,
            steady_ms=self._steady_ms,
            chance=self._chance,
            metrics=self._metrics,
            tracer=self._tracer,
            paused=lane.account.paused_since_ms is not None,
            refusals=Refusals(refused_for(lane.account), bool(lane.account.refused_cause)),
        )
        self._live.add(claim_id)
        task = asyncio.create_task(self._deliver(lane, dispatch, rows))
        lane.tasks.add(task)
        task.add_done_callback(lambda done: self._done(lane, done, claim_id, len(rows)))
        if probe:
            await asyncio.wait([task])
        return True

    def _done(self, lane: Lane, task: asyncio.Task[None], claim_id: str, events: int) -> None:
        self._live.discard(claim_id)
        lane.tasks.discard(task)
        lane.in_flight -= events
        lane.slots.release()

    async def _deliver(self, lane: Lane, dispatch: Dispatch, rows: list[OutboxRow]) -> None:
        began_ms = self._steady_ms()
        try:
            await dispatch.run(rows)
        except StoreUnavailable as error:
            log.error("results lost", **lane.names, rows=len(rows), detail=str(error))
        except Exception as error:
            # A bug of ours. Its text may quote a row, so only its type is logged; the rows come
            # back with their lease.
            log.error("dispatch broke", **lane.names, rows=len(rows), error=type(error).__name__)
            dispatch.failed = f"our own failure, {type(error).__name__}"
        if dispatch.account is not None:
            lane.account = dispatch.account
        await self._judge_lane(lane, dispatch.failed, began_ms)

    async def _judge_lane(self, lane: Lane, failed: str, began_ms: int) -> None:
        """Back off if requests fail one after the other, and record since when."""
        steady_ms = self._steady_ms()
        lane.failures = lane.failures + 1 if failed else 0
        if lane.failures == 1:
            lane.failing_since_ms, lane.first_failed_ms = self._clock_ms(), began_ms
        if lane.failures >= self._tuning.hold_after:
            hold_ms = again_ms(lane.failures - self._tuning.hold_after + 1, self._chance())
            lane.held_until_ms = steady_ms + min(hold_ms, self._tuning.hold_cap_ms)
        lasts = failed != "" and steady_ms - lane.first_failed_ms >= self._tuning.failing_ms
        fails = lasts or lane.failures >= self._tuning.hold_after
        if fails and steady_ms >= (lane.log_failure_ms or steady_ms):
            lane.log_failure_ms = steady_ms + MINUTE_MS
            log.warning("requests fail", **lane.names, cause=failed, failures=lane.failures)
        if (failed and not fails) or fails == (lane.account.failing_since_ms is not None):
            return
        since_ms = lane.failing_since_ms if fails else None
        place = (lane.destination.shop, lane.destination.name)
        try:
            lane.account = await self._write(
                lambda transaction: failing(transaction, *place, since_ms, failed)
            )
        except StoreUnavailable as error:
            log.warning("store unavailable to the sender", detail=str(error))
            return
        if not fails:
            lane.log_failure_ms = None
            log.info("requests work again", **lane.names)

    async def _write_surely(self, work: Callable[[Transaction], T]) -> T:
        """`_write`, retried for about 6 s: an answer must not be lost."""
        for attempt in range(1, 4):
            try:
                return await self._write(work)
            except StoreUnavailable as error:
                log.warning("store unavailable to the sender", detail=str(error))
                await self._sleep(again_ms(attempt, self._chance()) / 1000)
        return await self._write(work)

    async def _write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction, in a thread. Raises StoreUnavailable."""

        def transact() -> T:
            with self._store.begin() as transaction:
                return work(transaction)

        return await self._in_thread(transact)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._threads is None:
            writers = 1 if self._store.dialect == "sqlite" else 4
            self._threads = ThreadPoolExecutor(writers, "delivery-store")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _labels(lane: Lane) -> AccountLabels:
    to = lane.destination
    return AccountLabels(to.kind, to.shop, to.name, lane.account.account)
