"""The scheduler at work: shops kept apart, an orderly end, and a holder that is killed."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from orderwire.serve.schedule import ledger
from orderwire.serve.schedule.job import Done, Job, Turn
from orderwire.serve.schedule.scheduler import PLACES, Scheduler
from query.status.jobs import read_jobs
from query.status.schema import JobStatus
from stream.metrics import JobMetrics
from stream.store.contract import StoreError
from stream.store.sql.store import SqlStore
from tests.support.servers.forks import Forked

SHOPS = tuple(f"shop-{n:04}.myshopify.com" for n in range(1_000))
START_MS = 1_795_348_800_000
PATIENCE_S = 30.0


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms


@asynccontextmanager
async def running(
    store: SqlStore, *jobs: Job, clock: Callable[[], int] | None = None, slow_s: float = 10.0
) -> AsyncIterator[CollectorRegistry]:
    registry, stop = CollectorRegistry(), asyncio.Event()
    scheduler = Scheduler(
        store,
        jobs,
        "one",
        JobMetrics(registry),
        clock_ms=clock or Clock(),
        look_s=0.05,
        slow_s=slow_s,
        stop_s=5.0,
    )
    task = asyncio.create_task(scheduler.run(stop))
    try:
        yield registry
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_S)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():  # noqa: ASYNC110 - the store tells, and sets no event
            await asyncio.sleep(0.01)


def shown(store: SqlStore, now_ms: int) -> JobStatus:
    with store.snapshot() as snapshot:
        (job,) = read_jobs(snapshot, None, now_ms)
        return job


async def test_every_shop_has_its_turn_again_after_the_jobs_time(store: SqlStore) -> None:
    clock, ran = Clock(), list[str]()

    def run(turn: Turn) -> Done:
        ran.append(turn.shop)
        return Done("2 days")

    async with running(store, Job("spend", 3_600, run, SHOPS[:3]), clock=clock) as registry:
        await until(lambda: worked(store) == 3)
        assert sorted(ran) == list(SHOPS[:3])
        clock.ms += 3_599_000
        await asyncio.sleep(0.2)
        assert len(ran) == 3
        clock.ms += 1_000
        await until(lambda: len(ran) == 6)
        await until(lambda: shown(store, clock.ms).running == 0)
        assert registry.get_sample_value(
            "orderwire_job_runs_total", {"job": "spend", "outcome": "done"}
        ) == 6.0  # fmt: skip
    answer = shown(store, clock.ms)
    assert (answer.name, answer.shops, answer.note, answer.failing) == ("spend", 3, "2 days", [])
    assert answer.succeeded_at == "2026-11-22T13:00:00.000Z"
    assert answer.next_at == "2026-11-22T14:00:00.000Z"


def worked(store: SqlStore) -> int:
    """For how many shops the job has worked."""
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT count(*) FROM scheduled_job WHERE succeeded_ms > 0")
        return int(rows[0][0])


async def test_shops_whose_jobs_hang_delay_no_other_shop_and_no_other_job(store: SqlStore) -> None:
    ran, hanging = set[str](), set(SHOPS[: PLACES + 2])
    release = threading.Event()

    def run(turn: Turn) -> None:
        if turn.shop in hanging:
            release.wait(PATIENCE_S)
        ran.add(turn.shop)

    other = set[str]()
    jobs = (
        Job("spend", 3_600, run, SHOPS[:40]),
        Job("watchdog", 3_600, lambda turn: other.add(turn.shop), SHOPS[:1]),
    )
    async with running(store, *jobs, slow_s=0.1):
        await until(lambda: len(ran) == 40 - len(hanging) and bool(other))
        release.set()
        await until(lambda: len(ran) == 40)


async def test_a_failing_shop_waits_longer_each_time_is_shown_and_delays_no_other(
    store: SqlStore,
) -> None:
    clock, ran, bad = Clock(), list[str](), SHOPS[0]

    def run(turn: Turn) -> None:
        ran.append(turn.shop)
        if turn.shop == bad:
            raise StoreError("no token is set")

    with structlog.testing.capture_logs() as lines:
        async with running(store, Job("spend", 5, run, SHOPS[:2]), clock=clock) as registry:
            for rounds, after_s in enumerate((0, 10, 60), start=1):
                clock.ms += after_s * 1_000
                each_ran = sorted(SHOPS[:2] * rounds)
                await until(lambda each_ran=each_ran: sorted(ran) == each_ran)  # type: ignore[misc]
                await until(lambda: shown(store, clock.ms).running == 0)
            await until(
                lambda: (
                    registry.get_sample_value("orderwire_job_failing_shops", {"job": "spend"})
                    == 1.0
                )
            )
            by_shop = "orderwire_job_failures"
            labels, others = ({"job": "spend", "shop": shop} for shop in SHOPS[:2])
            await until(lambda: registry.get_sample_value(by_shop, labels) == 3)
            assert registry.get_sample_value(by_shop, others) is None
    (failing,) = shown(store, clock.ms).failing
    assert (failing.shop, failing.failures, failing.reason) == (bad, 3, "no token is set")
    assert failing.since == "2026-11-22T12:00:00.000Z"
    assert failing.next_at == "2026-11-22T12:06:10.000Z"
    failures = [line for line in lines if line["event"] == "job failed"]
    assert [(line["shop"], line["reason"]) for line in failures] == [(bad, "no token is set")]


async def test_of_an_exception_that_is_not_ours_only_the_type_is_shown(store: SqlStore) -> None:
    def run(turn: Turn) -> None:
        raise ValueError("jane@example.com")

    clock = Clock()
    async with running(store, Job("spend", 5, run, SHOPS[:1]), clock=clock):
        await until(lambda: bool(shown_failing(store, clock)))
    assert shown(store, clock.ms).failing[0].reason == "ValueError"


def shown_failing(store: SqlStore, clock: Clock) -> list[object]:
    with store.snapshot() as snapshot:
        return [each for job in read_jobs(snapshot, None, clock.ms) for each in job.failing]


async def test_at_the_end_turns_are_asked_to_return_and_are_settled(store: SqlStore) -> None:
    begun = threading.Event()

    def run(turn: Turn) -> Done:
        begun.set()
        assert turn.stop.wait(PATIENCE_S)
        return Done("stopped half-way", next_in_s=0)

    clock = Clock()
    async with running(store, Job("spend", 3_600, run, SHOPS[:1]), clock=clock):
        await until(begun.is_set)
    answer = shown(store, clock.ms + 1)
    assert (answer.running, answer.note) == (0, "stopped half-way")
    with store.snapshot() as snapshot:
        assert ledger.due(snapshot, "spend", clock.ms, 1) == [SHOPS[0]]


async def test_a_turn_that_lasts_too_long_is_asked_to_return(store: SqlStore) -> None:
    stopped = threading.Event()

    def run(turn: Turn) -> None:
        turn.stop.wait(PATIENCE_S)
        stopped.set()

    registry, stop = CollectorRegistry(), asyncio.Event()
    job = Job("spend", 3_600, run, SHOPS[:1], max_s=0.1)
    scheduler = Scheduler(store, [job], "one", JobMetrics(registry), lease_s=0.4)
    task = asyncio.create_task(scheduler.run(stop))
    await until(stopped.is_set)
    stop.set()
    await asyncio.wait_for(task, PATIENCE_S)


async def test_a_thousand_shops_that_wait_cost_next_to_nothing(store: SqlStore) -> None:
    clock, ran = Clock(), set[str]()
    jobs = [Job(name, 3_600, lambda turn: ran.add(turn.shop), SHOPS) for name in ("a", "b")]
    with store.begin() as transaction:
        ledger.register(transaction, [(job.name, shop) for job in jobs for shop in SHOPS], 0)
        transaction.execute("UPDATE scheduled_job SET due_ms = :due", due=clock.ms + 3_600_000)
    scheduler = Scheduler(
        store, jobs, "one", JobMetrics(CollectorRegistry()), clock_ms=clock, look_s=5.0
    )
    await scheduler._look()
    before_s = time.process_time()
    for _ in range(20):
        assert await scheduler._look() == 5.0
    per_look_s = (time.process_time() - before_s) / 20
    # A look every 5 s: 0.05 s of CPU would be 1 % of a core.
    assert per_look_s < 0.05
    assert ran == set()


async def test_shops_that_have_nothing_to_do_are_put_off_together_and_the_others_run(
    store: SqlStore,
) -> None:
    clock, ran, busy = Clock(), list[str](), {SHOPS[7]}
    job = Job(
        "refetch",
        30,
        lambda turn: ran.append(turn.shop),
        SHOPS,
        waiting=lambda reading, now_ms: busy,
    )
    async with running(store, job, clock=clock):
        await until(lambda: ran == [SHOPS[7]])
        await until(lambda: shown(store, clock.ms + 1).overdue_s == 0)
        busy.clear()
        clock.ms += 30_000
        await until(lambda: shown(store, clock.ms + 1).overdue_s == 0)
        busy.add(SHOPS[8])
        clock.ms += 30_000
        await until(lambda: ran == [SHOPS[7], SHOPS[8]])
    found = shown(store, clock.ms + 1)
    assert (found.shops, found.failing) == (1_000, [])


async def test_a_shop_whose_turn_failed_is_tried_again_though_it_has_nothing_to_do(
    store: SqlStore,
) -> None:
    clock, ran, busy = Clock(), list[str](), {SHOPS[0]}

    def run(turn: Turn) -> None:
        ran.append(turn.shop)
        if len(ran) == 1:
            busy.clear()
            raise StoreError("not now")

    job = Job("refetch", 30, run, SHOPS[:3], waiting=lambda reading, now_ms: busy)
    async with running(store, job, clock=clock):
        await until(lambda: bool(shown_failing(store, clock)))
        clock.ms += 10_000
        await until(lambda: len(ran) == 2)
        await until(lambda: not shown_failing(store, clock))


HOLDER = """
import asyncio, os, sys, time
from prometheus_client import CollectorRegistry
from orderwire.serve.schedule.job import Job
from orderwire.serve.schedule.scheduler import Scheduler
from stream.metrics import JobMetrics
from stream.store.sql.store import SqlStore

def run(turn):
    print("has", turn.shop, flush=True)
    if sys.argv[2] == "first":
        time.sleep(3600)

async def main():
    store = SqlStore.open(sys.argv[1])
    job = Job("spend", 3600, run, ["a.myshopify.com"])
    scheduler = Scheduler(
        store, [job], f"{os.getpid()}", JobMetrics(CollectorRegistry()), lease_s=1.0, look_s=0.1
    )
    print("up", flush=True)
    await scheduler.run(asyncio.Event())

asyncio.run(main())
"""


def holder(url: str, which: str, folder: Path) -> Forked:
    child = Forked([url, which], os.environ, folder, folder / f"{which}.log", HOLDER)
    child.until_printed("up")
    return child


def test_a_turn_whose_process_is_killed_is_taken_over_by_the_other_process_and_not_before(
    store: SqlStore, store_url: str, tmp_path: Path
) -> None:
    first = holder(store_url, "first", tmp_path)
    first.until_printed("has a.myshopify.com")
    second = holder(store_url, "second", tmp_path)
    try:
        time.sleep(2.5)  # Two leases and a half: the holder lives, and keeps its turn.
        with store.snapshot() as snapshot:
            (row,) = snapshot.query("SELECT lease_owner, succeeded_ms FROM scheduled_job")
        assert tuple(row) == (str(first.pid), 0)
        assert "has" not in second.said()
        first.kill()
        second.until_printed("has a.myshopify.com")
    finally:
        first.kill()
        second.kill()
