"""Adjusts what waits in the store when the wall clock is set: no wait becomes longer than it was
meant to be. A step is logged once, and shown by `doctor`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import structlog

from destinations.meta.destination import REPEAT_MS
from stream.clock import STEP_MS, WallClock, boot
from stream.store.contract import Entities, Reading, Store, StoreUnavailable, Transaction

LOOK_S: Final = 1.0
SEEN_EVERY_S: Final = 30.0
FORGOTTEN_MS: Final = 30 * 86_400_000
LONGEST_MS: Final = 25 * 3_600_000
"""Longer than any wait: a throttle lasts a day at most, a job and a refetch wait no longer."""
CAPPED_EVERY_S: Final = 600.0
LATER: Final = {
    "outbox": ("due_ms", "ambiguous_ms"),
    "destination_account": (
        "throttled_until_ms",
        "next_probe_ms",
        "paused_since_ms",
        "failing_since_ms",
    ),
    "scheduled_job": ("due_ms", "lease_until_ms", "succeeded_ms", "failing_since_ms"),
    "order_refetch": ("since_ms", "due_ms"),
    "admin_token": ("renew_at_s", "claimed_until_s"),
    "alert": ("since_ms", "fires_ms", "seen_ms", "ended_ms", "next_ms"),
    "audit_run": ("started_ms", "completed_ms", "updated_ms"),
    "audit_step": ("started_ms", "completed_ms"),
    "reconciled": ("reached_s", "ran_s"),
    "spend_pull": ("restated_ms", "pulled_ms"),
    "meta_account": ("test_since_ms", "test_seen_ms", "quality_ms"),
    "browser_shop": ("seen_ms", "shown_ms"),
    "cell_changes": ("at_ms",),
    "roles": ("started_ms", "beat_ms"),
}
"""Columns by table that our own clock was written to, and that something is measured from or waits
for. Moved back by a step back where they lie in the future."""
CAPPED: Final = {
    "outbox": ("due_ms",),
    "destination_account": ("throttled_until_ms", "next_probe_ms"),
    "scheduled_job": ("due_ms", "lease_until_ms"),
    "order_refetch": ("due_ms",),
    "alert": ("next_ms",),
}
"""Waits: what lies further ahead than any of them lasts was written by a clock that was ahead, of a
machine that did not live to notice it."""

log = structlog.get_logger()


class ClockRow(NamedTuple):
    """Columns of `clock`."""

    boot: str
    offset_ms: int
    """The wall clock minus the steady one, as what waits in the store is written."""
    seen_ms: int
    stepped_ms: int = 0
    """When the last step was noticed, by the clock after it; 0 without one."""
    by_ms: int = 0
    """How far it went: forward, or back where it is negative."""


CLOCK: Final = Entities("clock", ClockRow, 1)


def adjust(transaction: Transaction, by_ms: int, now_ms: int) -> None:
    """Follow a step of the wall clock, which says `now_ms` after it."""
    if by_ms < 0:
        for table, columns in LATER.items():
            for column in columns:
                _move_later(transaction, table, column, by_ms, now_ms)
    # How long a receiver recognises a repeat counts from the first attempt that it may have taken,
    # in time that passed. It is the one wait that a step forward would end for good.
    transaction.execute(
        "UPDATE outbox SET expires_ms = expires_ms + :by, ambiguous_ms = ambiguous_ms + :by"
        " WHERE due_ms IS NOT NULL AND expires_ms = ambiguous_ms + :repeat"
        if by_ms > 0
        else "UPDATE outbox SET expires_ms = ambiguous_ms + :repeat WHERE due_ms IS NOT NULL"
        " AND expires_ms = ambiguous_ms - :by + :repeat",
        by=by_ms,
        repeat=REPEAT_MS,
    )


def _move_later(transaction: Transaction, table: str, column: str, by_ms: int, now_ms: int) -> None:
    unit = 1_000 if column.endswith("_s") else 1
    transaction.execute(
        f"UPDATE {table} SET {column} = {column} + :by WHERE {column} > :now",
        by=by_ms // unit,
        now=now_ms // unit,
    )


def cap(transaction: Transaction, now_ms: int) -> int:
    """Waits that lie too far ahead end now; returns how many."""
    return sum(
        transaction.execute(
            f"UPDATE {table} SET {column} = :now WHERE {column} > :far",
            now=now_ms,
            far=now_ms + LONGEST_MS,
        )
        for table, columns in CAPPED.items()
        for column in columns
    )


def last_step(reading: Reading) -> ClockRow | None:
    """The machine whose clock was set last, if any was."""
    rows = reading.query(
        f"SELECT {', '.join(ClockRow._fields)} FROM clock WHERE by_ms <> 0"
        " ORDER BY stepped_ms DESC LIMIT 1"
    )
    return ClockRow(*rows[0]) if rows else None


class ClockSteps:
    """Compares the wall clock of this machine with the one that the store was written by."""

    def __init__(self, store: Store, clock: WallClock, boot_id: str | None = None) -> None:
        self._store, self._clock = store, clock
        self._boot = boot() if boot_id is None else boot_id
        self._offset_ms: int | None = None
        self.noticed = 0
        """Steps that this process was the one to follow."""

    def stepped(self) -> bool:
        """Whether the clock was set since `follow`, or nothing is known yet. Costs nothing."""
        if self._offset_ms is None:
            return True
        offset_ms = self._clock.offset_ms()
        if abs(offset_ms - self._offset_ms) >= STEP_MS:
            return True
        self._offset_ms = offset_ms
        return False

    def follow(self) -> None:
        """Adjust the store if the clock was set since it was last seen; note that it was seen.

        One process of a machine does it for all: the row of `clock` is locked meanwhile. Raises
        StoreUnavailable.
        """
        with self._store.begin() as transaction:
            now_ms, offset_ms = self._clock(), self._clock.offset_ms()
            known = transaction.load(CLOCK, [(self._boot,)]).get((self._boot,))
            if known is None:
                by_ms = min(0, now_ms - _newest_ms(transaction, now_ms))
                self._forget(transaction, now_ms)
            else:
                by_ms = offset_ms - known.offset_ms
            row = (known or ClockRow(self._boot, 0, 0))._replace(
                offset_ms=offset_ms, seen_ms=now_ms
            )
            if abs(by_ms) < STEP_MS:
                transaction.save(CLOCK, [row])
                self._followed(offset_ms, 0)
                return
            adjust(transaction, by_ms, now_ms)
            transaction.save(CLOCK, [row._replace(stepped_ms=now_ms, by_ms=by_ms)])
        self._followed(offset_ms, by_ms)
        self.noticed += 1
        log.warning(
            "clock stepped",
            by_s=by_ms / 1_000,
            next_step="what waits was adjusted; have NTP keep this machine's clock",
        )

    def _followed(self, offset_ms: int, by_ms: int) -> None:
        if self._offset_ms is None:  # Before this process began, so its clock has not noticed.
            self._clock.doubt(by_ms)
        self._offset_ms = offset_ms

    def cap(self) -> None:
        """As `cap`. Raises StoreUnavailable."""
        with self._store.begin() as transaction:
            if ended := cap(transaction, self._clock()):
                log.warning("waits ended that lay too far ahead", rows=ended)

    def _forget(self, transaction: Transaction, now_ms: int) -> None:
        transaction.execute("DELETE FROM clock WHERE seen_ms < :old", old=now_ms - FORGOTTEN_MS)


def _newest_ms(transaction: Transaction, now_ms: int) -> int:
    """When the store was last written, by any machine's clock."""
    seen_ms = transaction.query("SELECT MAX(seen_ms) AS newest FROM clock")[0].newest
    return now_ms if seen_ms is None else int(seen_ms)


async def watch(
    steps: ClockSteps,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Follow the clock until cancelled."""
    seen_s = capped_s = 0.0
    while True:
        try:
            if steps.stepped() or seen_s <= 0:
                await asyncio.to_thread(steps.follow)
                seen_s = SEEN_EVERY_S
            if capped_s <= 0:
                await asyncio.to_thread(steps.cap)
                capped_s = CAPPED_EVERY_S
        except StoreUnavailable as error:
            log.warning("the clock was not compared", error=str(error))
        await sleep(LOOK_S)
        seen_s, capped_s = seen_s - LOOK_S, capped_s - LOOK_S
