"""Completes waiting events of a checkout with what its browser reported, and obeys a refusal."""

from collections.abc import Callable, Mapping, Sequence

from destinations.browser.facts import FactRow, facts_of
from destinations.delivery.ledger import KEY, change
from destinations.delivery.life import marked
from destinations.delivery.protocol import Completer
from destinations.delivery.results import forbidden
from destinations.delivery.rows import (
    DRY_RUN,
    FORBID_ONLY,
    NO_CONSENT,
    OUTBOX,
    PENDING,
    OutboxRow,
)
from stream.store.contract import Key, Transaction

Completers = Mapping[tuple[str, str], Completer]
"""By shop and account's name."""


def complete(
    transaction: Transaction, completers: Completers, facts: Sequence[FactRow], now_ms: int
) -> set[Key]:
    """Complete the events that are not settled yet. Returns (shop, token) of those found.

    | the event's row | facts | a refusal |
    |---|---|---|
    | pending, no request made yet | completed, renamed; due now, if they are all | not sent |
    | a request made, sent or not | unchanged: an event id has one payload | not sent again |
    | waits for payment | kept until the payment decides | likewise |
    | sent | unchanged | nothing |
    """
    by_key: dict[Key, FactRow] = {}
    for row in facts:
        found = transaction.query(
            f"SELECT {KEY} FROM outbox WHERE shop = :shop AND checkout_token = :token"
            " AND checkout_token <> ''",
            shop=row.shop,
            token=row.token,
        )
        by_key.update({tuple(key): row for key in found})
    if by_key:
        change(transaction, list(by_key), _completion(completers, by_key, now_ms))
        _rename(transaction, completers, by_key)
    return {(row.shop, row.token) for row in by_key.values()}


def _rename(
    transaction: Transaction, completers: Completers, by_key: Mapping[Key, FactRow]
) -> None:
    """Give events that wait without their template's id the browser's, which is known only now. No
    id that another event has, or had."""
    wanted: dict[Key, Key] = {}
    for key, facts in by_key.items():
        completer = completers.get((str(key[0]), str(key[1])))
        event_id = None if completer is None else completer.event_id(facts_of(facts))
        if event_id is not None and event_id != key[3]:
            wanted[key] = (*key[:3], event_id)
    if not wanted:
        return
    found = transaction.load(OUTBOX, {*wanted, *wanted.values()})
    taken = {*found, *marked(transaction, [new for new in wanted.values() if new not in found])}
    for old, new in wanted.items():
        row = found.get(old)
        if row is None or new in taken or not _untouched(row):
            continue
        payload = completers[row.shop, row.destination].renamed(row.payload, str(new[3]))
        if payload is not None:
            taken.add(new)
            transaction.delete(OUTBOX, [old])
            transaction.save(OUTBOX, [row._replace(event_id=str(new[3]), payload=payload)])


def _due_ms(row: OutboxRow, now_ms: int, *, waits: bool) -> int | None:
    return row.due_ms if waits or row.due_ms is None else min(row.due_ms, now_ms)


def _untouched(row: OutboxRow) -> bool:
    """Whether it waits, and no request was made with it."""
    waits = row.outcome in (PENDING, DRY_RUN) and row.payload != b""
    return waits and not row.attempts and row.ambiguous_ms is None


def _completion(
    completers: Completers, by_key: Mapping[Key, FactRow], now_ms: int
) -> Callable[[OutboxRow], OutboxRow | None]:
    def completed(row: OutboxRow) -> OutboxRow | None:
        completer = completers.get((row.shop, row.destination))
        if completer is None or row.outcome not in {PENDING, DRY_RUN} | FORBID_ONLY:
            return None
        fact_row = by_key[row.key]
        facts = facts_of(fact_row)
        if refusal := completer.refusal(facts):
            return None if row.outcome == DRY_RUN else forbidden(row, NO_CONSENT, refusal)
        if not _untouched(row):
            return None
        built = completer.completed(row.payload, facts, fact_row.seen_ms)
        return row._replace(
            payload=built.payload,
            match_keys=",".join(built.match_keys),
            browser=1,
            due_ms=_due_ms(row, now_ms, waits=completer.awaits(facts)),
        )

    return completed
