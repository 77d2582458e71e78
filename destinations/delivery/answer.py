"""Answers of `GET /v1/destinations…` and the work of `POST /v1/destinations/{name}/retry`. Counts
come from cells, never from the outbox, so that an answer's cost does not grow with the rows."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec.structs import asdict

from destinations.delivery.accounts import RULE
from destinations.delivery.life import past
from destinations.delivery.protocol import Kind
from destinations.delivery.rows import (
    BUCKETS_PER_OCTAVE,
    CELLS,
    DEAD,
    MAYBE_ACCEPTED,
    OUTCOMES,
    PENDING,
    AccountRow,
)
from destinations.delivery.schema import (
    AccountState,
    AttemptMade,
    EventDelivery,
    Failing,
    Latency,
    OrderDelivery,
    Outcomes,
    Paused,
    Retried,
    State,
)
from stream.store.contract import Key, Reading, Transaction
from stream.times import instant

ACCOUNT_COLUMNS = ", ".join(AccountRow._fields)
ORDER_COLUMNS = (
    "event_name, event_id, order_id, outcome, reason, match_keys, event_time_s, received_ms,"
    " sent_ms, due_ms, attempts"
)


class ShownAccount(NamedTuple):
    """An account in the form that answers use."""

    shop: str
    name: str
    kind: Kind
    account: str
    """The vendor's own id of it; "" where none is configured."""
    max_age_s: int


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """The latency in milliseconds below which `share` (0 to 1) of the events lie; None without
    events.

    Bucket b holds 2**(b/8) up to 2**((b+1)/8); within it latencies are taken as spread evenly on
    the logarithm.
    """
    total = sum(buckets.values())
    wanted, below = share * total, 0
    for bucket in sorted(buckets):
        count = buckets[bucket]
        if count > 0 and below + count >= wanted:
            return round(math.exp2((bucket + (wanted - below) / count) / BUCKETS_PER_OCTAVE), 1)
        below += count
    return None


def account(reading: Reading, shown: ShownAccount, now_ms: int) -> AccountState:
    """The state of one account (docs/api.md, "GET /v1/destinations/{name}"); `shop` and `as_of`
    come with every answer.

    Outcomes count all events ever; latencies and match keys those whose rows are kept (`life`).
    """
    place = {"shop": shown.shop, "destination": shown.name}
    counted = _cells(reading, place)
    before = past(reading, shown.shop, shown.name)
    rows = reading.query(
        f"SELECT {ACCOUNT_COLUMNS} FROM destination_account"
        " WHERE shop = :shop AND destination = :destination",
        **place,
    )
    row = AccountRow(*rows[0]) if rows else AccountRow(shown.shop, shown.name)
    oldest = reading.query(
        "SELECT MIN(event_time_s) AS event_time_s FROM outbox"
        " WHERE shop = :shop AND destination = :destination AND due_ms IS NOT NULL",
        **place,
    )[0].event_time_s
    latency = {int(bucket): events for bucket, events in counted["latency"].items()}
    built = counted["match_key"].get("", 0)
    state, paused = _state(row, now_ms)
    failing = None
    if row.failing_since_ms is not None:
        failing = Failing(since=instant(row.failing_since_ms), cause=row.failing_cause)
    return shown.kind.answer_types().account(
        name=shown.name,
        kind=shown.kind.name,
        account=shown.account,
        state=state,
        paused=paused,
        failing=failing,
        outcomes=Outcomes(
            **{
                outcome: counted["outcome"].get(outcome, 0) + before.get(outcome, 0)
                for outcome in OUTCOMES
            }
        ),
        latency_ms=Latency(
            p50=percentile(latency, 0.5),
            p95=percentile(latency, 0.95),
            p99=percentile(latency, 0.99),
        ),
        oldest_unsent_s=None if oldest is None else max(now_ms // 1000 - oldest, 0),
        oldest_unsent_limit_s=shown.max_age_s,
        match_keys={
            key: round(counted["match_key"].get(key, 0) / built, 4) if built else None
            for key in shown.kind.match_keys
        },
        predicted_rejections={
            name: events for name, events in counted["predicted"].items() if events
        },
        **shown.kind.beside(reading, shown.shop, shown.name, shown.account),
    )


def _cells(reading: Reading, place: Mapping[str, str]) -> dict[str, dict[str, int]]:
    counted: dict[str, dict[str, int]] = {
        "outcome": {},
        "match_key": {},
        "latency": {},
        "predicted": {},
        "browser_key": {},
    }
    sql = (
        "SELECT kind, name, events FROM outbox_cell"
        " WHERE shop = :shop AND destination = :destination"
    )
    for kind, name, events in reading.query(sql, **place):
        counted[kind][name] = events
    return counted


def _state(row: AccountRow, now_ms: int) -> tuple[State, Paused | None]:
    """State and `paused` of an account; a throttle is shown in the same members."""
    if row.paused_since_ms is not None:
        code = row.paused_code
        return "paused", Paused(
            since=instant(row.paused_since_ms),
            class_=row.paused_class,
            code=int(code) if code.isdigit() else code or None,
            message=row.paused_message,
            next_probe_at=instant(row.next_probe_ms) if row.next_probe_ms else None,
        )
    if row.throttled_until_ms > now_ms:
        return "throttled", Paused(
            since=None,
            class_="throttle",
            code=None,
            message="the receiver asks to wait",
            next_probe_at=instant(row.throttled_until_ms),
        )
    return "sending" if row.failing_since_ms is None else "failing", None


def known_accounts(reading: Reading, shop: str) -> dict[str, tuple[str, str]]:
    """Accounts with events of the shop: name -> (kind, the vendor's id)."""
    rows = reading.query(
        "SELECT destination, kind, account FROM destination_account WHERE shop = :shop", shop=shop
    )
    return {row.destination: (row.kind, row.account) for row in rows}


def order(
    reading: Reading, shown: ShownAccount, order_id: str
) -> OrderDelivery[AttemptMade] | None:
    """One order's delivery to an account; None for an unknown order.

    The newest event, and all of the order's in `events`.
    """
    rows = reading.query(
        f"SELECT {ORDER_COLUMNS} FROM outbox WHERE shop = :shop AND order_id = :order_id"
        " AND destination = :destination ORDER BY received_ms DESC, event_time_s DESC, event_id",
        shop=shown.shop,
        order_id=order_id,
        destination=shown.name,
    )
    if not rows:
        return None
    attempt = shown.kind.answer_types().attempt
    events = [_event(row, attempt) for row in rows]
    return OrderDelivery(
        order_id=order_id,
        name=shown.name,
        account=shown.account,
        events=events,
        **asdict(events[0]),
    )


def _event(row: Any, attempt: type[AttemptMade]) -> EventDelivery[AttemptMade]:
    waits = row.due_ms is not None and row.outcome in (PENDING, MAYBE_ACCEPTED)
    return EventDelivery(
        event_name=row.event_name,
        event_id=row.event_id,
        outcome=row.outcome,
        reason=row.reason or None,
        event_time=instant(row.event_time_s * 1000),
        received_at=instant(row.received_ms),
        sent_at=instant(row.sent_ms) if row.sent_ms else None,
        next_attempt_at=instant(row.due_ms) if waits else None,
        match_keys=row.match_keys.split(",") if row.match_keys else [],
        attempts=[_attempt(line, attempt) for line in row.attempts.splitlines()],
    )


def _attempt(line: str, attempt: type[AttemptMade]) -> AttemptMade:
    kept = json.loads(line)
    members = {"at": instant(kept["at_ms"]), "class_": kept["class"]}
    others = [name for name in attempt.__struct_fields__ if name not in members]
    return attempt(**members, **{name: kept.get(name) for name in others})


def retry(
    transaction: Transaction,
    shop: str,
    destination: str,
    now_ms: int,
    *,
    order_ids: Sequence[str] | None = None,
    reason: str | None = None,
) -> Retried:
    """Send again: dead rows that still have their payload become pending, and a paused account is
    probed now.

    Filters: some orders, a text in the row's reason. Returns `{"retried": rows, "probed":
    accounts}`.
    """
    revived = revive(transaction, shop, destination, now_ms, order_ids=order_ids, reason=reason)
    probed = transaction.execute(
        "UPDATE destination_account SET next_probe_ms = :now WHERE shop = :shop"
        " AND destination = :destination AND paused_since_ms IS NOT NULL AND paused_by <> :rule",
        now=now_ms,
        shop=shop,
        destination=destination,
        rule=RULE,
    )
    return Retried(retried=revived, probed=probed)


def revive(
    transaction: Transaction,
    shop: str,
    destination: str,
    now_ms: int,
    *,
    order_ids: Sequence[str] | None = None,
    reason: str | None = None,
) -> int:
    """Dead rows that still have their payload become pending again; returns how many. Filters as in
    `retry`."""
    where = "shop = :shop AND destination = :destination AND outcome = 'dead' AND expires_ms > :now"
    values: dict[str, Any] = {"shop": shop, "destination": destination, "now": now_ms}
    if reason is not None:
        where += " AND reason LIKE :reason ESCAPE '!'"
        values["reason"] = f"%{reason.translate(_LITERAL)}%"
    if order_ids is not None:
        names = {f"order_{i}": order_id for i, order_id in enumerate(dict.fromkeys(order_ids))}
        listed = ", ".join(f":{name}" for name in names)
        where += f" AND order_id IN ({listed})" if names else " AND 1 = 0"
        values |= names
    moved: Counter[Key] = Counter()
    for outcome, ambiguous in ((PENDING, "IS NULL"), (MAYBE_ACCEPTED, "IS NOT NULL")):
        count = transaction.execute(
            f"UPDATE outbox SET outcome = '{outcome}', reason = '', due_ms = :now, tries = 0,"
            f" tidy_ms = NULL WHERE {where} AND ambiguous_ms {ambiguous}",
            **values,
        )
        moved[shop, destination, "outcome", DEAD] -= count
        moved[shop, destination, "outcome", outcome] += count
    # Rows first, cells last, as the fold and the sender lock them: no deadlock with either.
    transaction.add(CELLS, {key: (count,) for key, count in moved.items()})
    return sum(count for count in moved.values() if count > 0)


_LITERAL = str.maketrans({"%": "!%", "_": "!_", "!": "!!"})
"""What LIKE would take as a pattern, taken as it is."""
