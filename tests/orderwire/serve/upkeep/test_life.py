"""Every table lives as docs/scale.md says: what has an end is gone once that has passed, and what
is kept for ever has a key that no delivery brings anew."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from aggregates.registry import AGGREGATES
from orderwire.alarms.reporting import Reporter
from orderwire.alarms.watch import AlarmWatch
from orderwire.operation.moving.store_copy import tables
from orderwire.serve.feeds import running
from orderwire.serve.reconcile.reconciling import Reconciling
from orderwire.serve.reconcile.statement_day import read_day
from orderwire.serve.registry import PROCESSORS, projections
from orderwire.serve.reporting.heartbeat import Heartbeat, Identity
from orderwire.serve.upkeep.clock_steps import ClockSteps
from orderwire.serve.upkeep.sweeping import sweep
from orderwire.settings.program import Settings
from processors.engine.processor import Processor
from processors.engine.runner import CHANGES_KEPT_MS
from processors.privacy.steps import close_old
from simulator.admin.books import Books, shop
from simulator.admin.stand_in import AdminStandIn
from stream.clock import WallClock
from stream.store.sql.store import SqlStore
from stream.times import EPOCH
from tests.stream.store.test_documented_life import lives
from tests.stream.store.test_upgrade import NOW_MS, SHOP, stored, write
from tests.support.shopify.admin_client import client_of

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LATER_DAYS = (1, 9, 35, 95, 130, 190, 260, 400)
"""A role looks every second; here it looks a few times after each documented time."""
SETTINGS = Settings.load(
    {
        "SHOPIFY_SHOP": SHOP,
        "SHOPIFY_WEBHOOK_SECRET": "a shared secret",
        "SHOPIFY_TIMEZONE": "Europe/Paris",
        "SHOPIFY_KEEP_HASHED_CONTACTS": "true",
        "META_PIXEL_ID": "1234567890",
        "META_ACCESS_TOKEN": "a token",
        "META_APP_SECRET": "an app secret",
        "META_VERIFY_TOKEN": "a verify token",
    }
)
BY_DELIVERY = {"order_id", "event_id", "token", "gid", "click", "mark", "offset", "revision"}
"""Columns of which every order, checkout or delivery has another value."""


@dataclass
class Role:
    """What removes rows in the role `process`, and in its jobs."""

    store: SqlStore

    def __post_init__(self) -> None:
        self._made = projections(SETTINGS)
        self._processors: list[Processor[Any]] = [
            PROCESSORS[name](SETTINGS, self._made) for name in running(SETTINGS)
        ]

    def tick(self, now_ms: int) -> None:
        """Of every processor that runs, and the sweep."""
        for processor in self._processors:
            with self.store.begin() as transaction:
                processor.tick(transaction, now_ms)
        with self.store.begin() as transaction:
            transaction.forget_changes(now_ms - CHANGES_KEPT_MS)
            close_old(transaction, now_ms)
        sweep(self.store, self._made.values())

    async def job(self, now_ms: int) -> None:
        """Reconciliation and the statement of a shop that has sold nothing since."""
        async with AdminStandIn(Books(shop(SHOP))) as admin:
            client = client_of(admin)
            work = Reconciling(
                client, self.store, SHOP, list[Any]().extend, threading.Event(), dry_run=False,
                clock=lambda: now_ms / 1000, look_again_s=0.0,
            )  # fmt: skip
            await asyncio.to_thread(lambda: work.run(work.since_last()))
            day = EPOCH + timedelta(milliseconds=now_ms)
            await asyncio.to_thread(read_day, client, self.store, SHOP, day, None)
            client.close()

    async def watch(self, now_ms: int) -> None:
        """Heartbeat, clock and alarms of a machine that has just been started."""
        heartbeat = Heartbeat(self.store, Identity("process"), dict, clock_ms=lambda: now_ms)
        await asyncio.to_thread(heartbeat._beat)
        heartbeat.gone()
        clock = WallClock(lambda: now_ms, lambda: now_ms)
        await asyncio.to_thread(ClockSteps(self.store, clock, "another start").follow)
        seconds = iter((0.0, 0.0, 3_600.0, 3_600.0, 7_200.0, 7_200.0))
        watch = AlarmWatch(
            _no_metrics, _leads, self.store, Reporter(list, _nobody, "here"),
            clock_ms=lambda: now_ms, monotonic=lambda: next(seconds, 10_800.0),
        )  # fmt: skip
        for _ in range(3):
            await watch.look()


async def _no_metrics() -> list[bytes]:
    return [b""]


async def _leads() -> bool:
    return True


async def _nobody(*_: Any, **__: Any) -> Any:
    raise AssertionError("nobody is to be notified")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlStore]:
    """With rows in every table, as an earlier program left them."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'state.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    write(url, stored("0066"), "0066")
    made = SqlStore.open(url)
    with made.begin() as transaction:
        # The stored row has invented values, which no program has written.
        transaction.execute("UPDATE alert SET about = '[]', notified = '[]', seen_ms = 0")
    yield made
    made.close()


def counts(store: SqlStore) -> dict[str, int]:
    """How many rows each table has."""
    with store.snapshot() as snapshot:
        return {
            table.name: snapshot.query(f"SELECT COUNT(*) FROM {table.name}")[0][0]
            for table in tables(snapshot, store.dialect)
        }


async def test_what_has_an_end_is_gone_a_year_later_and_nothing_else_is(store: SqlStore) -> None:
    ends = {table for table, until in lives().items() if not until.startswith("for ever")}
    before, role = counts(store), Role(store)
    for days in LATER_DAYS:
        for hours in range(6):
            role.tick(NOW_MS + days * DAY_MS + hours * HOUR_MS)
    now_ms = NOW_MS + LATER_DAYS[-1] * DAY_MS
    await role.job(now_ms)
    await role.watch(now_ms)
    role.tick(now_ms + 7 * HOUR_MS)
    after = counts(store)
    cells = {each.table for manifest in AGGREGATES for each in manifest.cells}
    assert {table for table in ends if after.get(table)} == OF_NOW
    kept = before.keys() - ends - cells
    assert {table for table in kept if before[table] and not after[table]} == set()


OF_NOW = {"statement_day", "clock"}
"""The day that the job has just read, and the start of the machine that looks."""


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_what_is_kept_for_ever_is_not_kept_by_delivery(store: SqlStore) -> None:
    ever = {table for table, until in lives().items() if until.startswith("for ever")}
    with store.snapshot() as snapshot:
        keys = {
            table.name: set(table.columns[: table.key]) & BY_DELIVERY
            for table in tables(snapshot, store.dialect)
        }
    assert {table for table in ever if keys.get(table)} == set()
