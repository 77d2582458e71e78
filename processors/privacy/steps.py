"""Carries out a redaction in the store, step by step (`processors/privacy/rows.py`).
`orderwire/serve/upkeep/redacting.py` erases the log's records."""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from processors.privacy.erasing import EntityErasure
from processors.privacy.finding import found
from processors.privacy.late import made_salt
from processors.privacy.rows import (
    CLOSED,
    ERASED,
    FOUND,
    MARKS,
    REDACTIONS,
    STORED,
    WATCHED_MS,
    RedactedMarkRow,
    RedactionRow,
)
from processors.privacy.subject import Subject, decode, encode, marked
from stream.store.contract import Key, Reading, Store, Transaction

Forget = Callable[[Store, str, Subject], int]
"""Removes what another room keeps of a subject; how many rows. May be called again."""
COLUMNS = ", ".join(RedactionRow._fields)


def waiting(reading: Reading, shop: str | None = None) -> list[RedactionRow]:
    """Redactions that are not erased yet, oldest first."""
    where, of_shop = ("", {}) if shop is None else (" AND shop = :shop", {"shop": shop})
    rows = reading.query(
        f"SELECT {COLUMNS} FROM redaction WHERE state NOT IN ('{ERASED}', '{CLOSED}'){where}"
        " ORDER BY asked_ms, shop, id",
        **of_shop,
    )
    return [RedactionRow(*row) for row in rows]


def watching(reading: Reading) -> list[RedactionRow]:
    """Redactions whose late records are still to be erased."""
    rows = reading.query(f"SELECT {COLUMNS} FROM redaction WHERE state = '{ERASED}'")
    return [RedactionRow(*row) for row in rows]


def subject_of(row: RedactionRow) -> Subject:
    """The person, or everybody, that the redaction is about."""
    return decode(row.subject)


def find(store: Store, row: RedactionRow) -> RedactionRow:
    """Look up what the store has of the subject, and mark it for late records."""
    with store.snapshot() as snapshot:
        subject = found(snapshot, row.shop, subject_of(row))
    with store.begin() as transaction:
        salt = made_salt(transaction, secrets.token_hex(16))
        until_ms = row.asked_ms + WATCHED_MS
        marks = dict(marked(salt, row.shop, subject))
        transaction.load(MARKS, [(row.shop, mark) for mark in marks])
        transaction.save(
            MARKS,
            [
                RedactedMarkRow(row.shop, mark, name, row.asked_ms, until_ms)
                for mark, name in marks.items()
            ],
        )
        return moved(transaction, row, state=FOUND, subject=encode(subject), until_ms=until_ms)


def erase(
    store: Store,
    row: RedactionRow,
    entities: EntityErasure,
    forget: Mapping[str, Forget],
    now_ms: int,
) -> RedactionRow:
    """Erase the subject in the store."""
    subject = subject_of(row)
    counts = Counter(json.loads(row.counts))
    counts.update(entities.erase(row.shop, subject, now_ms))
    for name, work in forget.items():
        counts[name] += work(store, row.shop, subject)
    with store.begin() as transaction:
        counts["customers"] += _forget_aliases(transaction, row.shop, subject)
        return moved(
            transaction,
            row,
            state=STORED,
            subject="",
            counts=json.dumps({name: n for name, n in sorted(counts.items()) if n}),
        )


def _forget_aliases(transaction: Transaction, shop: str, subject: Subject) -> int:
    if subject.everybody:
        return transaction.execute("DELETE FROM customer_alias WHERE shop = :shop", shop=shop)
    return sum(
        transaction.execute(
            "DELETE FROM customer_alias WHERE shop = :shop AND (deleted = :id OR kept = :id)",
            shop=shop,
            id=customer,
        )
        for customer in subject.customers
    )


def moved(transaction: Transaction, row: RedactionRow, **changes: Any) -> RedactionRow:
    """The redaction after the change; its present state if another process changed it first."""
    key: Key = (row.shop, row.id)
    now = transaction.load(REDACTIONS, [key]).get(key, row)
    if now.state != row.state:
        return now
    new = now._replace(**changes)
    transaction.save(REDACTIONS, [new])
    return new


def close_old(transaction: Transaction, now_ms: int) -> int:
    """Stop watching for redactions that are old enough, and forget their marks."""
    transaction.execute("DELETE FROM redacted_mark WHERE until_ms <= :now", now=now_ms)
    return transaction.execute(
        f"UPDATE redaction SET state = '{CLOSED}' WHERE state = '{ERASED}' AND until_ms <= :now",
        now=now_ms,
    )


def marks_by_shop(
    reading: Reading, shops: Sequence[str] | None = None
) -> dict[str, dict[str, int]]:
    """By shop: mark -> when its redaction was asked."""
    marks: dict[str, dict[str, int]] = {}
    for row in reading.query("SELECT shop, mark, asked_ms FROM redacted_mark"):
        if shops is None or row.shop in shops:
            marks.setdefault(row.shop, {})[row.mark] = row.asked_ms
    return marks
