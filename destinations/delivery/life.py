"""How long an outbox row is kept, and in which form."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from destinations.delivery.rows import (
    DAY_CELLS,
    LAST_US,
    OPEN,
    OUTBOX,
    OutboxRow,
    counted,
    day_cells,
)
from processors.engine.processor import Deltas, in_shop
from stream.store.contract import Cells, Entities, Key, Reading, Transaction

DAY_MS = 86_400_000
OLDEST_MS = 90 * DAY_MS
"""The age at which no destination takes an event any more."""
FULL_MS = 30 * DAY_MS
LEAST_DAYS, DEFAULT_DAYS = 31, 90
CHUNK = 1_000


class MarkRow(NamedTuple):
    """An event whose row is gone, and that may not be sent again.

    No destination accepts events older than `OLDEST_MS`, so nothing can be sent twice once the mark
    is gone. Skipped events and those without consent leave no mark: a payment or consent may still
    come.
    """

    shop: str
    destination: str
    mark: int
    """64 bits of a digest of event name and event id."""
    until_ms: int


MARKS = Entities("outbox_mark", MarkRow, 3)
PAST = Cells("outbox_past_cell", ("shop", "destination", "outcome"), ("events",))
"""Rows that are gone. Beside `rows.CELLS`, which are the sum over the rows that are there."""
PAST_DAYS = Cells("outbox_past_day_cell", DAY_CELLS.key, DAY_CELLS.measures)
"""The same of events that were sent, beside `rows.DAY_CELLS`."""


def with_life(row: OutboxRow) -> OutboxRow:
    """The row with the time at which it shrinks; None while work remains for it.

    Days count from `received_ms`, the delivery. A row lives for 31 days at least, longer than the
    log, so that a replay of the whole log finds it.
    """
    if row.due_ms is not None:
        return row if row.tidy_ms is None else row._replace(tidy_ms=None)
    return row._replace(tidy_ms=row.received_ms + FULL_MS) if row.tidy_ms is None else row


def _mark(key: Key, until_ms: int = 0) -> MarkRow:
    """The mark of the row that has this key."""
    shop, destination, *names = map(str, key)
    digest = blake2b("\0".join(names).encode(), digest_size=8).digest()
    return MarkRow(shop, destination, int.from_bytes(digest, "big", signed=True), until_ms)


def marked(transaction: Transaction, keys: Iterable[Key]) -> set[Key]:
    """Which of these events, none of which has a row, have a mark. `keys` are not made where no
    event has one."""
    if not transaction.query("SELECT 1 FROM outbox_mark LIMIT 1"):
        return set()
    wanted = {key: _mark(key) for key in keys}
    marks: set[Key] = {(mark.shop, mark.destination, mark.mark) for mark in wanted.values()}
    found = transaction.load(MARKS, marks)
    return {
        key for key, mark in wanted.items() if (mark.shop, mark.destination, mark.mark) in found
    }


def tidy(transaction: Transaction, now_ms: int, days: int, shop: str | None = None) -> int:
    """Shrink and delete rows whose time is over, of `shop` or of all, a thousand at most; returns
    how many.

    | what | until | why |
    |---|---|---|
    | payload | the row is final (dead, dry run: until it expires) | it has buyer data |
    | attempts in full | 30 days after the delivery | evidence for the vendor's support |
    | the row, its last attempt only | `ORDERWIRE_OUTBOX_DAYS`, default 90 | status of the order |
    | a mark of 8 bytes, if final | 90 days after the event's time | not to be sent again |
    | counts of rows, by outcome | for ever | `outcomes` of the account |
    | counts of what was sent, by day | for ever | `sent` of `GET /v1/days` |
    """
    here, of_shop = in_shop(shop)
    keys = transaction.query(
        "SELECT shop, destination, event_name, event_id FROM outbox"
        f" WHERE tidy_ms <= :now{here} LIMIT {CHUNK}",
        now=now_ms,
        **of_shop,
    )
    rows = transaction.load(OUTBOX, [tuple(key) for key in keys]).values() if keys else ()
    due = [row for row in rows if row.tidy_ms is not None and row.tidy_ms <= now_ms]
    # What shrinks now and was to be deleted by now too is so the next time.
    full = [row for row in due if row.tidy_ms == row.received_ms + FULL_MS]
    transaction.save(OUTBOX, [_shrunk(row, days) for row in full])
    _delete(transaction, [row for row in due if row.tidy_ms != row.received_ms + FULL_MS], now_ms)
    transaction.execute(
        f"DELETE FROM outbox_mark WHERE until_ms <= :now{here}", now=now_ms, **of_shop
    )
    return len(due)


def past(reading: Reading, shop: str, destination: str) -> dict[str, int]:
    """How many rows are gone, by outcome."""
    rows = reading.query(
        "SELECT outcome, events FROM outbox_past_cell WHERE shop = :shop "
        "AND destination = :destination",
        shop=shop,
        destination=destination,
    )
    return {row.outcome: row.events for row in rows}


def _shrunk(row: OutboxRow, days: int) -> OutboxRow:
    last = row.attempts.splitlines(keepends=True)[-1:]
    # One millisecond more, if both times are equal, distinguishes the two stages.
    gone_ms = row.received_ms + max(days * DAY_MS, FULL_MS + 1)
    return row._replace(
        attempts="".join(last), payload=b"", expires_ms=None, tidy_ms=gone_ms, checkout_token=""
    )


def _final(row: OutboxRow) -> bool:
    """Whether no later delivery may send this event; `outbox` decides the same for a row that still
    exists."""
    return row.outcome not in OPEN or row.ambiguous_ms is not None or row.updated_us == LAST_US


def _delete(transaction: Transaction, rows: Iterable[OutboxRow], now_ms: int) -> None:
    deltas, marks = Deltas(), list[MarkRow]()
    keys: list[Key] = []
    for row in rows:
        deltas.take(counted(row))
        deltas.add(day_cells(row, PAST_DAYS))
        deltas.add([(PAST, (row.shop, row.destination, row.outcome), (1,))])
        key = (row.shop, row.destination, row.event_name, row.event_id)
        keys.append(key)
        until_ms = row.event_time_s * 1_000 + OLDEST_MS
        if until_ms > now_ms and _final(row):
            marks.append(_mark(key, until_ms))
    transaction.save(MARKS, marks)
    transaction.delete(OUTBOX, keys)
    deltas.save(transaction)
