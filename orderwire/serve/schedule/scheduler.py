"""Runs jobs: claims what is due, each turn in a thread of its own, and settles it by its
outcome."""

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

import structlog

from orderwire.serve.schedule import ledger
from orderwire.serve.schedule.job import Done, Job, Turn
from orderwire.serve.waiting import again
from stream.metrics import JobMetrics
from stream.rate_limit import RateLimit
from stream.store.contract import Store, StoreUnavailable, Transaction

PLACES = 4
SLOW_S = 10.0
SLOW_PLACES = 12
LEASE_S = 60.0
LOOK_S = 5.0
"""At most so long until a turn is found that another process gave up, or somebody asked for."""
REGISTER_EVERY_S = 600.0
STOP_S = 10.0
"""For turns to return at the end; the supervisor kills after 25 s. What is still at work then is
begun again once its lease is over."""
SETTLE_S = 10.0

log = structlog.get_logger()
T = TypeVar("T")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(eq=False, slots=True)
class _Running:
    job: Job
    claim: ledger.Claim
    turn: Turn
    started_s: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: Done | BaseException | None = None


class _Due(NamedTuple):
    found: list[tuple[Job, str]]
    next_ms: int | None
    failing: dict[str, dict[str, int]]
    """Failures in a row by job and shop."""
    idle: list[tuple[Job, frozenset[str]]]
    """Jobs with turns of shops that have nothing to do, and the shops that have."""


class Scheduler:
    """The jobs of one process. `run` it until `stop` is set.

    A slow shop delays no other: each job has `PLACES` places, and a turn that lasts longer than
    `SLOW_S` leaves its place and continues beside them, up to `SLOW_PLACES` such turns.

    | failure no. | 1 | 2 | 3 | 4 | further |
    |---|---|---|---|---|---|
    | pause of that shop | 10 s | 60 s | 5 min | 15 min | 60 min |
    """

    def __init__(
        self,
        store: Store,
        jobs: Sequence[Job],
        owner: str,
        metrics: JobMetrics,
        *,
        clock_ms: Callable[[], int] = _now_ms,
        lease_s: float = LEASE_S,
        look_s: float = LOOK_S,
        slow_s: float = SLOW_S,
        stop_s: float = STOP_S,
    ) -> None:
        """`owner` names this process among all that share the store."""
        self._store, self._owner, self._metrics = store, owner, metrics
        self._jobs = {job.name: job for job in jobs}
        self._clock_ms, self._lease_s, self._look_s = clock_ms, lease_s, look_s
        self._slow_s, self._stop_s = slow_s, stop_s
        self._running: dict[ledger.Place, _Running] = {}
        self._settling: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._registered_s: float | None = None
        self._lines = RateLimit(time.monotonic)

    def replace(self, jobs: Sequence[Job]) -> None:
        """Go on with these jobs; turns under way end as they were begun."""
        self._jobs = {job.name: job for job in jobs}
        self._registered_s = None
        self._wake.set()

    async def soon(self, job: str, shops: Collection[str]) -> None:
        """Give these shops a turn now, or another one after the one under way."""
        now_ms = self._clock_ms()

        def ask(transaction: Transaction) -> None:
            for shop in sorted(shops):
                ledger.run_soon(transaction, job, shop, now_ms)

        await self._in_transaction(ask)
        self._wake.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Run what is due until `stop`, then let turns under way return."""
        renewing = asyncio.create_task(self._renew())
        stopping = asyncio.create_task(self._wake_at(stop))
        try:
            while not stop.is_set():
                self._wake.clear()
                try:
                    pause_s = await self._look()
                except StoreUnavailable as error:
                    if self._lines.allows("store"):
                        log.warning("schedule waits for the store", error=str(error))
                    pause_s = self._look_s
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), pause_s)
        finally:
            stopping.cancel()
            await self._end()
            renewing.cancel()
            await asyncio.gather(renewing, stopping, return_exceptions=True)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _look(self) -> float:
        """Begin what is due and has a place; how long to wait before looking again."""
        now_s = time.monotonic()
        if self._registered_s is None or now_s - self._registered_s >= REGISTER_EVERY_S:
            await self._in_transaction(self._register)
            self._registered_s = now_s
        free = [(job, self._free(job.name, now_s)) for job in self._jobs.values()]
        due = await asyncio.to_thread(self._due, free)
        for job, _ in free:
            self._metrics.failing(job.name, due.failing.get(job.name, {}))
        for job, busy in due.idle:
            await self._in_transaction(partial(self._put_off, job, busy))
        for job, shop in due.found:
            if (job.name, shop) not in self._running:
                await self._begin(job, shop)
        pauses_s = [self._look_s]
        if due.next_ms is not None:
            pauses_s.append((due.next_ms - self._clock_ms()) / 1000)
        pauses_s += [
            each.started_s + self._slow_s - now_s
            for each in self._running.values()
            if now_s - each.started_s < self._slow_s
        ]
        return max(0.01, min(pauses_s))

    def _register(self, transaction: Transaction) -> None:
        wanted = [(job.name, shop) for job in self._jobs.values() for shop in job.shops]
        ledger.register(transaction, wanted, self._clock_ms())

    def _free(self, name: str, now_s: float) -> int:
        """How many turns of a job may begin now."""
        ages_s = [
            now_s - each.started_s for each in self._running.values() if each.job.name == name
        ]
        quick = sum(age_s < self._slow_s for age_s in ages_s)
        return max(0, min(PLACES - quick, PLACES + SLOW_PLACES - len(ages_s)))

    def _due(self, free: Sequence[tuple[Job, int]]) -> "_Due":
        now_ms = self._clock_ms()
        with self._store.snapshot() as snapshot:
            busy = {
                job.name: frozenset(job.waiting(snapshot, now_ms)) & frozenset(job.shops)
                for job, _ in free
                if job.waiting is not None
            }
            found = [
                (job, shop)
                for job, places in free
                if places
                for shop in ledger.due(snapshot, job.name, now_ms, places, busy.get(job.name))
                if shop in job.shops
            ]
            return _Due(
                found,
                ledger.next_due_ms(snapshot, [job.name for job, _ in free], now_ms),
                ledger.failing_shops(snapshot),
                [
                    (job, busy[job.name])
                    for job, _ in free
                    if job.name in busy and ledger.idle(snapshot, job.name, now_ms, busy[job.name])
                ],
            )

    def _put_off(self, job: Job, busy: frozenset[str], transaction: Transaction) -> None:
        now_ms = self._clock_ms()
        due_ms = now_ms + int(job.every_s * 1000)
        ledger.put_off(transaction, job.name, now_ms, due_ms, busy)

    async def _begin(self, job: Job, shop: str) -> None:
        now_ms, lease_ms = self._clock_ms(), int(self._lease_s * 1000)
        claim = await self._in_transaction(
            lambda transaction: ledger.claim(
                transaction, job.name, shop, self._owner, now_ms, lease_ms
            )
        )
        if claim is None:
            return
        running = _Running(job, claim, Turn(shop, now_ms), time.monotonic())
        self._running[job.name, shop] = running
        loop = asyncio.get_running_loop()
        # Not a pool's: its threads are joined at exit, however long they take.
        threading.Thread(
            target=_work, args=(running, loop), name=f"{job.name} {shop}", daemon=True
        ).start()
        settling = asyncio.create_task(self._settle(running))
        self._settling.add(settling)
        settling.add_done_callback(self._settling.discard)

    async def _settle(self, running: _Running) -> None:
        await running.ended.wait()
        job, shop = running.job.name, running.turn.shop
        outcome = running.outcome
        seconds = time.monotonic() - running.started_s
        self._metrics.ran(job, "failed" if isinstance(outcome, BaseException) else "done", seconds)
        try:
            # Not settled at all: the lease runs out, and the turn is done once more.
            with suppress(StoreUnavailable):
                settle = again(min(1.0, self._lease_s / 10), at_most_s=SETTLE_S)
                await settle(StoreUnavailable, self._in_transaction, partial(self._write, running))
        finally:
            del self._running[job, shop]
            self._wake.set()

    def _write(self, running: _Running, transaction: Transaction) -> None:
        now_ms, outcome = self._clock_ms(), running.outcome
        if isinstance(outcome, BaseException):
            reason = shown(outcome)
            pause_ms = ledger.failed(transaction, running.claim, now_ms, reason)
            self._log_failure(running, outcome, reason, pause_ms)
            return
        done = outcome or Done()
        due_ms = (
            # Never later than from now: the clock may have gone back meanwhile.
            min(running.claim.started_ms, now_ms) + int(running.job.every_s * 1000)
            if done.next_in_s is None
            else now_ms + int(done.next_in_s * 1000)
        )
        ledger.succeeded(transaction, running.claim, now_ms, due_ms, done.note)

    def _log_failure(
        self, running: _Running, error: BaseException, reason: str, pause_ms: int | None
    ) -> None:
        # Of one reason once a minute: an outage of a vendor meets every shop.
        if self._lines.allows((running.job.name, reason)):
            log.error(
                "job failed",
                job=running.job.name,
                shop=running.turn.shop,
                reason=reason,
                next_in_s=None if pause_ms is None else pause_ms // 1000,
                left_out=self._lines.left_out,
                exc_info=None if _is_ours(error) else error,
            )

    async def _renew(self) -> None:
        """Keep the leases of turns under way; stop a turn whose lease is lost, or that lasts too
        long."""
        while True:
            await asyncio.sleep(self._lease_s / 4)
            now_s = time.monotonic()
            at_work = [each for each in self._running.values() if each.outcome is None]
            for running in at_work:
                if now_s - running.started_s > running.job.max_s:
                    running.turn.stop.set()
            if at_work:
                with suppress(StoreUnavailable):
                    await self._in_transaction(partial(self._renew_all, at_work))

    def _renew_all(self, at_work: Sequence[_Running], transaction: Transaction) -> None:
        until_ms = self._clock_ms() + int(self._lease_s * 1000)
        for running in at_work:
            if not ledger.renew(transaction, running.claim, until_ms):
                running.turn.stop.set()

    async def _end(self) -> None:
        for running in self._running.values():
            running.turn.stop.set()
        if self._settling:
            _, unfinished = await asyncio.wait(set(self._settling), timeout=self._stop_s)
            if unfinished:
                left = sorted(f"{job} of {shop}" for job, shop in self._running)
                log.warning("jobs left at work", jobs=left)
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _in_transaction(self, work: Callable[[Transaction], T]) -> T:
        def call() -> T:
            with self._store.begin() as transaction:
                return work(transaction)

        return await asyncio.to_thread(call)


OURS = {"ingest", "stream", "processors", "aggregates", "destinations", "orderwire"}
"""Packages whose exceptions say what to do, and quote nobody."""


def _work(running: _Running, loop: asyncio.AbstractEventLoop) -> None:
    try:
        running.outcome = running.job.run(running.turn) or Done()
    except BaseException as error:
        running.outcome = error
    with suppress(RuntimeError):  # The loop is closed: the process ends, and did not wait.
        loop.call_soon_threadsafe(running.ended.set)


def _is_ours(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in OURS


def shown(error: BaseException) -> str:
    """What may be shown of a failure: of an exception that is not ours only the type, since its
    message may quote what somebody sent."""
    return str(error) if _is_ours(error) else type(error).__name__
