"""Claims, leases and settlement of outbox rows, as functions on a transaction. Each keeps the cells
equal to the sum over the rows."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from destinations.delivery.life import FULL_MS, with_life
from destinations.delivery.results import Attempt, expired, waiting, with_later_deliveries
from destinations.delivery.rows import (
    ACCOUNTS,
    CELLS,
    DAY_CELLS,
    MAYBE_ACCEPTED,
    OUTBOX,
    PENDING,
    SENDING,
    SENT,
    AccountRow,
    OutboxDeltas,
    OutboxRow,
    latency_bucket,
)
from processors.engine.processor import in_shop
from stream.store.contract import Key, Reading, Transaction

CHUNK = 1_000
COLUMNS = ", ".join(OutboxRow._fields)
KEY = "shop, destination, event_name, event_id"
BLOCKED = "(paused_since_ms IS NOT NULL OR throttled_until_ms > :now)"
"""The condition under which an account is sent nothing now."""


class ClaimLost(Exception):
    """The lease ended before the answer came, and the rows were claimed again."""


class Due(NamedTuple):
    """An account, and what its rows need now."""

    account: AccountRow
    due: bool
    """To be sent."""
    lapsed: bool
    """To be taken back: their lease is over."""
    next_ms: int | None
    """When the next pending row falls due; None where there is none later."""


def register(
    transaction: Transaction, shop: str, destination: str, kind: str = "", account: str = ""
) -> AccountRow:
    """The account's row, created if missing, with the vendor's id as configured now."""
    key = (shop, destination)
    row = transaction.load(ACCOUNTS, [key]).get(key)
    new = row or AccountRow(shop, destination)
    if kind:
        new = new._replace(kind=kind, account=account)
    if new != row:
        transaction.save(ACCOUNTS, [new])
    return new


def due_accounts(reading: Reading, now_ms: int) -> list[Due]:
    """Every registered account. One index probe per account and state, however many rows wait."""
    pending, maybe, lapsed = (
        "EXISTS (SELECT 1 FROM outbox o WHERE o.shop = a.shop AND o.destination = a.destination"
        f" AND o.outcome = '{outcome}' AND o.due_ms <= :now)"
        for outcome in (PENDING, MAYBE_ACCEPTED, SENDING)
    )
    later = (
        "(SELECT MIN(o.due_ms) FROM outbox o WHERE o.shop = a.shop"
        f" AND o.destination = a.destination AND o.outcome = '{PENDING}' AND o.due_ms > :now)"
    )
    columns = ", ".join(f"a.{name}" for name in AccountRow._fields)
    rows = reading.query(
        f"SELECT {columns}, {pending} OR {maybe}, {lapsed}, {later} FROM destination_account a "
        "ORDER BY 1, 2",
        now=now_ms,
    )
    return [
        Due(AccountRow(*account), bool(due), bool(lapsed), next_ms)
        for *account, due, lapsed, next_ms in rows
    ]


class Waiting(NamedTuple):
    """What an account has still to send."""

    shop: str
    destination: str
    events: int
    oldest_s: int | None
    """`event_time` of the oldest, Unix seconds."""


def waiting_events(reading: Reading) -> list[Waiting]:
    """Of every registered account, by the indexes of what is due."""
    of_account = (
        "FROM outbox o WHERE o.shop = a.shop AND o.destination = a.destination"
        " AND o.due_ms IS NOT NULL"
    )
    rows = reading.query(
        f"SELECT a.shop, a.destination, (SELECT COUNT(*) {of_account}),"
        f" (SELECT MIN(o.event_time_s) {of_account}) FROM destination_account a"
    )
    return [Waiting(*row) for row in rows]


def change(
    transaction: Transaction,
    keys: Collection[Key],
    next_state: Callable[[OutboxRow], OutboxRow | None],
) -> list[OutboxRow]:
    """Load, change and save rows; `next_state` returns None for a row that stays. Returns the rows
    as they are now."""
    deltas, changed = OutboxDeltas(), []
    for old in transaction.load(OUTBOX, keys).values():
        new = next_state(old)
        if new is not None and new != old:
            new = with_life(new)
            deltas.take(old)
            deltas.add(new)
            changed.append(new)
    transaction.save(OUTBOX, changed)
    deltas.save(transaction)
    return changed


def end_leases(transaction: Transaction, now_ms: int) -> int:
    """End every lease now; returns how many rows. For a caller that knows that no other sender
    lives."""
    return transaction.execute(
        f"UPDATE outbox SET due_ms = :now WHERE outcome = '{SENDING}' AND due_ms > :now",
        now=now_ms,
    )


def take_back(
    transaction: Transaction,
    shop: str,
    destination: str,
    now_ms: int,
    repeat_ms: int | None,
    live: Collection[str] = (),
) -> int:
    """Rows whose sender is gone become `maybe_accepted`, due now; returns how many.

    They may have been accepted since the lease, however long ago it ended. `repeat_ms` is as in
    `results.waiting`. `live`: claims whose sender is known to live, whatever the clock says.
    """
    keys = transaction.query(
        f"SELECT {KEY} FROM outbox WHERE shop = :shop AND destination = :destination "
        f"AND outcome = '{SENDING}' AND due_ms <= :now LIMIT {CHUNK}",
        shop=shop,
        destination=destination,
        now=now_ms,
    )
    lost = Attempt(now_ms, 0, "lost")

    def back(row: OutboxRow) -> OutboxRow | None:
        if row.outcome != SENDING or row.due_ms is None or row.due_ms > now_ms:
            return None
        if row.claimed_by in live:
            return None
        again = waiting(
            row, now_ms, lost, repeat_ms=repeat_ms, tries=row.tries, ambiguous_ms=row.due_ms
        )
        return with_later_deliveries(row, again)

    return len(change(transaction, [tuple(key) for key in keys], back)) if keys else 0


def claim(
    transaction: Transaction,
    dialect: str,
    shop: str,
    destination: str,
    claim_id: str,
    now_ms: int,
    lease_ms: int,
    limit: int,
    *,
    probe: bool = False,
) -> list[OutboxRow]:
    """Up to `limit` due rows, oldest first, leased to `claim_id` for `lease_ms`; no other sender
    gets them meanwhile.

    One UPDATE takes the lease: on PostgreSQL it skips rows that another sender is claiming (SKIP
    LOCKED), on SQLite there is one writer at a time. Rows of a blocked account are not claimed; a
    `probe` is for a paused account.
    """
    may = (
        "TRUE"
        if probe
        else "NOT EXISTS (SELECT 1 FROM destination_account WHERE shop = :shop "
        f"AND destination = :destination AND {BLOCKED})"
    )
    # A plan may run a subquery once per row, and then its LIMIT limits nothing; a materialized one
    # runs once.
    wanted, lock = ("rowid", "") if dialect == "sqlite" else (KEY, "FOR UPDATE SKIP LOCKED")
    waiting_as = [
        f"SELECT * FROM (SELECT {wanted} FROM outbox WHERE shop = :shop "
        f"AND destination = :destination AND outcome = '{outcome}' AND due_ms <= :now "
        f"AND expires_ms > :now AND {may} ORDER BY due_ms LIMIT :limit {lock}) AS {outcome}"
        for outcome in (MAYBE_ACCEPTED, PENDING)
    ]
    found = transaction.query(
        f"WITH due AS MATERIALIZED ({' UNION ALL '.join(waiting_as)} LIMIT :limit) UPDATE outbox "
        f"SET outcome = '{SENDING}', claimed_by = :claim_id, due_ms = :until "
        f"WHERE ({wanted}) IN (SELECT * FROM due) RETURNING {COLUMNS}",
        claim_id=claim_id,
        until=now_ms + lease_ms,
        shop=shop,
        destination=destination,
        now=now_ms,
        limit=limit,
    )
    rows = [OutboxRow._make(row) for row in found]
    maybe = sum(row.ambiguous_ms is not None for row in rows)
    outcomes = {MAYBE_ACCEPTED: -maybe, PENDING: maybe - len(rows), SENDING: len(rows)}
    transaction.add(
        CELLS,
        {(shop, destination, "outcome", outcome): (count,) for outcome, count in outcomes.items()},
    )
    return rows


def settle(transaction: Transaction, claim_id: str, rows: Sequence[OutboxRow]) -> int:
    """Write the result of rows claimed as `claim_id`; returns how many were written.

    Rows whose claim was lost stay as they are: after a lease has ended the next claim makes them
    `maybe_accepted`, since they may have been sent.
    """
    by_key: dict[Key, OutboxRow] = {row.key: row for row in rows}

    def next_state(row: OutboxRow) -> OutboxRow | None:
        return (
            with_later_deliveries(row, by_key[row.key])
            if row.outcome == SENDING and row.claimed_by == claim_id
            else None
        )

    return len(change(transaction, list(by_key), next_state))


def settle_sent(
    transaction: Transaction, dialect: str, rows: Sequence[OutboxRow], made: Attempt
) -> None:
    """A whole, unchanged claim was accepted: one UPDATE for all its rows. Raises ClaimLost (roll
    back, then `settle`)."""
    first = rows[0]
    mine = (
        f"shop = :shop AND destination = :destination AND outcome = '{SENDING}' "
        "AND due_ms = :until AND claimed_by = :claim_id"
    )
    locked = ""
    if (
        dialect == "postgresql"
        # In key order, as the fold locks them: no deadlock with a delivery of orders that are just
        # being sent. A row of them is no index's order: in a table without statistics PostgreSQL
        # would walk the primary key, and read every row that the account ever had.
    ):
        locked = (
            f"WITH mine AS MATERIALIZED (SELECT {KEY} FROM outbox WHERE {mine} ORDER BY ({KEY}) "
            "FOR UPDATE)"
        )
        mine = f"({KEY}) IN (SELECT * FROM mine)"
    touched = transaction.execute(
        f"{locked} UPDATE outbox SET outcome = '{SENT}', reason = '', payload = :empty, sent_ms = "
        f":sent_ms, due_ms = NULL, expires_ms = NULL, tidy_ms = received_ms + {FULL_MS}, "
        "claimed_by = '', checkout_token = '', tries = 0, attempts = attempts || :line"
        f" WHERE {mine}",
        empty=b"",
        sent_ms=made.at_ms,
        line=made.line(),
        shop=first.shop,
        destination=first.destination,
        until=first.due_ms,
        claim_id=first.claimed_by,
    )
    if touched != len(rows):
        raise ClaimLost(f"{len(rows) - touched} of {len(rows)} rows are somebody else's by now")
    outcome = (first.shop, first.destination, "outcome")
    deltas: dict[Key, tuple[int]] = {(*outcome, SENDING): (-touched,), (*outcome, SENT): (touched,)}
    latency = (first.shop, first.destination, "latency")
    for ms, count in Counter(made.at_ms - row.received_ms for row in rows).items():
        key = (*latency, latency_bucket(ms))
        deltas[key] = (deltas.get(key, (0,))[0] + count,)
    transaction.add(CELLS, deltas)
    transaction.add(DAY_CELLS, _by_day(rows))


def _by_day(rows: Sequence[OutboxRow]) -> dict[Key, tuple[int, int]]:
    """The cells of `DAY_CELLS` in which `rows` count once they are sent, as `rows.day_cells`."""
    values: dict[Key, list[int]] = {}
    for row in rows:
        if row.day is not None:
            key = (row.shop, row.destination, row.event_name, row.day, row.currency)
            values.setdefault(key, []).append(row.value)
    return {key: (len(each), sum(each)) for key, each in values.items()}


def expire(transaction: Transaction, now_ms: int, shop: str | None = None) -> int:
    """Expire rows past their `expires_ms`, of `shop` or of all, a thousand at most; returns how
    many.

    A row that is already dead only loses its payload.
    """
    here, of_shop = in_shop(shop)
    keys = transaction.query(
        f"SELECT {KEY} FROM outbox WHERE expires_ms <= :now{here} LIMIT {CHUNK}",
        now=now_ms,
        **of_shop,
    )

    def late(row: OutboxRow) -> OutboxRow | None:
        if row.expires_ms is None or row.expires_ms > now_ms:
            return None
        if row.outcome == SENDING and (row.due_ms is None or row.due_ms > now_ms):
            return None  # its sender is about to say
        if row.outcome == SENDING:  # its sender is gone, and may have sent it
            row = row._replace(ambiguous_ms=row.ambiguous_ms or row.due_ms)
        return expired(row)

    return len(change(transaction, [tuple(key) for key in keys], late)) if keys else 0


def forget_orders(transaction: Transaction, shop: str, order_ids: Collection[str]) -> int:
    """Redact a customer: delete the payloads of these orders and cancel what was not sent. Returns
    how many rows."""
    keys: list[Key] = []
    for order_id in order_ids:
        keys += map(
            tuple,
            transaction.query(
                f"SELECT {KEY} FROM outbox WHERE shop = :s AND order_id = :o",
                s=shop,
                o=order_id,
            ),
        )

    def forgotten(row: OutboxRow) -> OutboxRow | None:
        if row.outcome in (PENDING, MAYBE_ACCEPTED, SENDING):
            return expired(row)._replace(reason="the customer's data was redacted")
        if not row.payload and not row.checkout_token:
            return None
        return row._replace(payload=b"", expires_ms=None, checkout_token="")

    return len(change(transaction, keys, forgotten)) if keys else 0
