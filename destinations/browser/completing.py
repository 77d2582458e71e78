"""Completes waiting events of a checkout with what its browser reported, and obeys a refusal."""

from collections.abc import Callable, Mapping, Sequence

from destinations.browser.facts import FactRow, facts_of
from destinations.delivery.ledger import KEY, change
from destinations.delivery.protocol import Completer
from destinations.delivery.results import forbidden
from destinations.delivery.rows import (
    DRY_RUN,
    FORBID_ONLY,
    NO_CONSENT,
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
    | pending, no request made yet | completed, and due now | not sent |
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
    return {(row.shop, row.token) for row in by_key.values()}


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
        if row.outcome not in (PENDING, DRY_RUN) or row.attempts or row.ambiguous_ms is not None:
            return None
        built = completer.completed(row.payload, facts, fact_row.seen_ms)
        return row._replace(
            payload=built.payload,
            match_keys=",".join(built.match_keys),
            browser=1,
            due_ms=None if row.due_ms is None else min(row.due_ms, now_ms),
        )

    return completed
