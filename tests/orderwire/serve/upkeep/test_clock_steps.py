"""Whatever the wall clock did, an hour of right time later the store is as if it had not.

One machine is simulated: receiver, folds, sender and schedule share a wall clock that is set at
will, and a clock that only runs.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from hypothesis import example
from hypothesis import strategies as st
from structlog.testing import capture_logs

from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.transport import HttpAnswer, NoAnswer, NotSent
from orderwire.doctor.keeping import step_lines
from orderwire.serve.schedule import ledger
from orderwire.serve.upkeep.clock_steps import CAPPED, LATER, LONGEST_MS, ClockSteps
from processors.engine.processor import Processor, ticks_of
from stream.clock import WallClock
from stream.record import Entry, Record
from stream.store.contract import Reading
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import SHOP, body, destinations, processor, record
from tests.support.delivery.capi_orders import settings as capi_settings
from tests.support.delivery.sender_bench import Graph, ok
from tests.support.examples import on_each_store
from tests.support.shops.folding import all_orders, carts_checkouts

RIGHT = datetime(2026, 11, 22, 20, 30, tzinfo=UTC)
RIGHT_MS = int(RIGHT.timestamp() * 1000)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
JOB, EVERY_MS = "spend", HOUR_MS // 4
COMPARED: dict[str, tuple[str, ...]] = {
    "outbox": ("event_id", "outcome", "event_time_s", "veto"),
    "outbox_cell": ("kind", "name", "events"),
    "destination_account": ("paused_since_ms", "next_probe_ms"),
    "order_refetch": ("gid", "lacking"),
}
"""Tables, and the columns of theirs that do not say when our clock saw something."""


WHOLE = ("shop_order", "order_shop")


@dataclass(frozen=True, slots=True)
class Turn:
    """What happens, and for how long time passes afterwards."""

    what: str
    step_ms: int
    seconds: int


@dataclass
class Machine:
    """One machine that receives, folds and sends."""

    store: SqlStore
    steps: bool
    true_ms: int = RIGHT_MS
    ahead_ms: int = 0
    orders: int = 0
    away: type[Exception] | None = None

    def __post_init__(self) -> None:
        self.folds: list[Processor[Any]] = [
            all_orders(),
            carts_checkouts(),
            processor(capi_settings()),
        ]
        self.graph = Graph(lambda _, events: self.answer(len(events)))
        self.start()

    def wall_ms(self) -> int:
        return self.true_ms + self.ahead_ms

    def start(self) -> None:
        """A new process on the same machine."""
        self.clock = WallClock(self.wall_ms, lambda: self.true_ms)
        self.following = ClockSteps(self.store, self.clock, "this boot")
        self.sender = OutboxSender(
            self.store,
            destinations(capi_settings()),
            self.graph,
            tuning=Tuning(spacing_ms=0),
            clock_ms=self.clock,
            steady_ms=lambda: self.true_ms,
            chance=lambda: 0.5,
            sleep=self.sleep,
        )
        with self.store.begin() as transaction:
            ledger.register(transaction, [(JOB, SHOP)], self.clock())

    async def sleep(self, seconds: float) -> None:
        self.true_ms += round(seconds * 1000)

    def answer(self, events: int) -> HttpAnswer:
        if self.away is not None:
            raise self.away("down")
        return ok(events)

    def receive(self) -> None:
        """An order, with Shopify's times, received by our clock."""
        self.orders += 1
        made = datetime.fromtimestamp(self.true_ms / 1000, UTC) - timedelta(seconds=5)
        local = made.astimezone(timezone(timedelta(hours=5)))
        came = record(
            body(
                self.orders,
                local,
                customer={"id": 1 + self.orders % 3, "email": "a@example.com"},
                processed_at=local.isoformat(),
                checkout_token=f"c{self.orders}",
            ),
            self.wall_ms(),
        )
        self.fold(came)

    def begin_checkout(self, idle: timedelta) -> None:
        """A checkout that was left some time ago, and lies idle."""
        self.orders += 1
        at = datetime.fromtimestamp(self.true_ms / 1000, UTC) - idle
        token = f"left{self.orders}"
        text = (
            f'{{"id": {self.orders}, "token": "{token}", "created_at": "{at.isoformat()}",'
            f' "updated_at": "{at.isoformat()}", "currency": "EUR", "total_price": "10.00",'
            ' "presentment_currency": "EUR", "line_items": []}'
        )
        headers = {"source": "shopify", "topic": "checkouts/update", "shop": SHOP}
        came = Record("checkouts", f"{SHOP}:{token}", token, self.wall_ms(), headers, text.encode())
        self.fold(came)

    def fold(self, came: Record) -> None:
        for fold in self.folds:
            if fold.topic == came.topic:
                event = fold.decode(Entry(came, 0, self.orders))
                assert event is not None
                with self.store.begin() as transaction:
                    fold.apply(transaction, [event], self.clock.careful_ms())

    async def work(self) -> None:
        """One turn of everything that goes by itself."""
        if self.following.stepped():
            self.following.follow()
        self.following.cap()
        for fold in self.folds:
            for tick in ticks_of(fold).values():
                for _ in range(2):
                    with self.store.begin() as transaction:
                        tick(transaction, self.clock.careful_ms(), None)
        await self.sender.drain()
        now_ms = self.clock()
        with self.store.begin() as transaction:
            for shop in ledger.due(transaction, JOB, now_ms, 9):
                claim = ledger.claim(transaction, JOB, shop, "me", now_ms, 60_000)
                assert claim is not None
                ledger.succeeded(transaction, claim, now_ms, now_ms + EVERY_MS, "")

    async def do(self, turn: Turn) -> None:
        if self.steps:
            self.ahead_ms = turn.step_ms
        match turn.what:
            case "sale":
                self.receive()
            case "cart":
                self.begin_checkout(timedelta(days=13, hours=8))
            case "no connection":
                self.away = NotSent
            case "no answer":
                self.away = NoAnswer
            case "answers":
                self.away = None
            case "restart":
                self.start()
        await self.work()
        self.true_ms += turn.seconds * 1000

    async def an_hour_of_right_time(self) -> None:
        self.ahead_ms, self.away = 0, None
        for _ in range(12):
            await self.work()
            self.true_ms += 5 * 60_000
        await self.work()

    def state(self) -> dict[str, Any]:
        with self.store.snapshot() as snapshot:
            counted = [
                name
                for name in names(snapshot, self.store.dialect)
                if name.startswith(("rfm_", "cart_", "day_", "budget_")) or name in WHOLE
            ]
            found: dict[str, Any] = {
                table: sorted(map(tuple, snapshot.query(f"SELECT {columns} FROM {table}")))
                for table, columns in [
                    *((table, ", ".join(names)) for table, names in COMPARED.items()),
                    *((table, "*") for table in counted),
                ]
            }
            (job,) = snapshot.query("SELECT * FROM scheduled_job")
        assert self.true_ms <= job.due_ms <= self.true_ms + EVERY_MS
        assert job.lease_until_ms == 0
        found["outbox_cell"] = [
            row for row in found["outbox_cell"] if row[0] == "outcome" and row[2]
        ]
        return found


async def outcome(store: SqlStore, turns: Sequence[Turn], *, steps: bool) -> dict[str, Any]:
    """What the store comes to, an hour of right time after these turns."""
    empty(store)
    machine = Machine(store, steps)
    for turn in turns:
        await machine.do(turn)
    await machine.an_hour_of_right_time()
    return machine.state()


def names(reading: Reading, dialect: str) -> list[str]:
    """All tables."""
    sql = (
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        if dialect == "sqlite"
        else "SELECT tablename AS name FROM pg_tables WHERE schemaname = current_schema()"
    )
    return sorted(row.name for row in reading.query(sql))


def empty(store: SqlStore) -> None:
    kept = ("alembic_version", "revisions", "cell_changes_floor")
    with store.begin() as transaction:
        for name in names(transaction, store.dialect):
            if name not in kept:
                transaction.execute(f"DELETE FROM {name}")


TURN = st.builds(
    Turn,
    st.sampled_from(
        ["sale", "sale", "cart", "no connection", "no answer", "answers", "restart", "nothing"]
    ),
    st.one_of(
        st.just(0),
        st.sampled_from([-HOUR_MS, HOUR_MS, -DAY_MS, DAY_MS, -2 * DAY_MS, 2 * DAY_MS]),
        st.integers(-48, 48).map(lambda hours: hours * HOUR_MS),
    ),
    st.sampled_from([1, 10, 60, 600, 1_200, 3_600]),
)


@on_each_store(sqlite=12, postgresql=3, turns=st.lists(TURN, min_size=1, max_size=7))
@example([Turn("no connection", DAY_MS, 1), Turn("sale", DAY_MS, 1)])
@example([Turn("sale", DAY_MS // 2, 1), Turn("sale", 0, 1)])
@example([Turn("sale", DAY_MS, 1_200), Turn("cart", 2 * DAY_MS, 1_200), Turn("sale", 0, 1)])
@example([Turn("no answer", 0, 1), Turn("sale", -2 * DAY_MS, 60), Turn("answers", 0, 1)])
def test_any_steps_of_the_clock_end_an_hour_later_in_the_state_of_an_undisturbed_run(
    store: SqlStore, turns: list[Turn]
) -> None:
    undisturbed = asyncio.run(outcome(store, turns, steps=False))
    assert asyncio.run(outcome(store, turns, steps=True)) == undisturbed


def followed(store: SqlStore, wall_ms: int, steady_ms: int, boot: str = "this boot") -> None:
    """A new process whose clocks say this sees the store."""
    ClockSteps(store, WallClock(lambda: wall_ms, lambda: steady_ms), boot).follow()


def test_a_step_is_logged_once_however_many_processes_see_it(store: SqlStore) -> None:
    followed(store, RIGHT_MS, 0)
    with capture_logs() as lines:
        for _ in range(3):
            followed(store, RIGHT_MS - HOUR_MS, 0)
    assert [(line["event"], line["by_s"]) for line in lines] == [("clock stepped", -3_600.0)]


def test_a_step_back_is_noticed_after_the_machine_was_started_again(store: SqlStore) -> None:
    followed(store, RIGHT_MS, 0, "one boot")
    with capture_logs() as lines:
        followed(store, RIGHT_MS - DAY_MS, 0, "the next one")
    assert [line["by_s"] for line in lines] == [-86_400.0]


def test_time_off_is_no_step(store: SqlStore) -> None:
    followed(store, RIGHT_MS, 0, "one boot")
    with capture_logs() as lines:
        followed(store, RIGHT_MS + DAY_MS, 0, "the next one")
        followed(store, RIGHT_MS + 2 * DAY_MS, DAY_MS, "the next one")
    assert lines == []


def test_doctor_says_for_a_day_that_the_clock_was_set(store: SqlStore) -> None:
    followed(store, RIGHT_MS, 0)
    assert step_lines(store, RIGHT_MS) == []
    followed(store, RIGHT_MS + HOUR_MS, 0)
    (line,) = step_lines(store, RIGHT_MS + 2 * HOUR_MS)
    assert (line.state, line.subject) == ("hint", "clock")
    assert "set forward by 3600 s at 2026-11-22T21:30:00.000Z" in line.text
    assert step_lines(store, RIGHT_MS + 2 * DAY_MS) == []


def test_a_wait_of_a_clock_that_nobody_saw_go_back_ends(store: SqlStore) -> None:
    with store.begin() as transaction:
        ledger.register(transaction, [(JOB, SHOP)], RIGHT_MS + LONGEST_MS + 1)
    with capture_logs() as lines:
        ClockSteps(store, WallClock(lambda: RIGHT_MS, lambda: 0), "this boot").cap()
    assert [line["rows"] for line in lines] == [1]
    with store.snapshot() as snapshot:
        assert ledger.due(snapshot, JOB, RIGHT_MS, 9) == [SHOP]


NOT_MOVED = {
    "ad_issue": "Meta's time",
    "backfill_window": "a span of Shopify's times",
    "browser_fact": "the buyer's and Shopify's time; goes after days",
    "budget_spend": "the report's time: the newest wins, and the next one is an hour away",
    "cart_checkout": "Shopify's times",
    "cart_link": "Shopify's times",
    "clock": "the clock itself",
    "contact": "Shopify's time",
    "day_customer": "Shopify's time",
    "delivery_count": "shown",
    "known_buyer_page": "Shopify's time",
    "meta_click": "a click's time; goes after 90 days",
    "missed_order": "shown",
    "order_shop": "an offset",
    "outbox_mark": "Shopify's time and 90 days",
    "parked": "when it came; goes after the log's retention",
    "positions": "shown",
    "projection": "shown",
    "redacted_mark": "when it was asked for; goes after the log's retention",
    "redaction": "when it was asked for",
    "rfm_btyd_cell": "Shopify's days",
    "rfm_cell": "Shopify's days",
    "rfm_customer": "Shopify's days",
    "rfm_last_day_cell": "Shopify's days",
    "rfm_shop": "put back by its own tick",
    "shop_order": "Shopify's times",
    "statement_day": "shown",
    "stopped_shop": "shown",
    "subscribed": "looked at when a subscription is missing",
}
"""Tables with times that a step of our clock does not touch, and why."""


def test_every_time_in_the_store_is_moved_by_a_step_or_has_a_reason_not_to_be(
    migrated_sqlite: Path,
) -> None:
    with closing(sqlite3.connect(migrated_sqlite)) as db:
        timed = {
            table
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for _, column, *_ in db.execute(f"PRAGMA table_info({table})")
            if column.endswith(("_ms", "_s", "_us", "_day"))
        }
    assert timed == LATER.keys() | NOT_MOVED.keys()
    assert all(set(columns) <= set(LATER[table]) for table, columns in CAPPED.items())
