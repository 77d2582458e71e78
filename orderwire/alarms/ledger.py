"""The table `alert`: alarms that hold or have just ended, shared by all processes."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from orderwire.alarms.conditions import AlarmSubject
from orderwire.alarms.rows import AlertRow
from stream.store.contract import Reading, Store, Transaction


def read(reading: Reading) -> dict[AlarmSubject, AlertRow]:
    """Every row."""
    rows = reading.query(
        "SELECT alarm, about, since_ms, fires_ms, seen_ms, detail, ended_ms, notified, tries,"
        " next_ms, revision FROM alert"
    )
    return {(found := _row(each)).subject: found for each in rows}


def write(
    store: Store, rows: Collection[AlertRow], over: Collection[AlertRow]
) -> dict[AlarmSubject, AlertRow]:
    """Save `rows` and delete `over`; returns the saved ones that nobody else has changed since.
    Raises StoreError."""
    saved: dict[AlarmSubject, AlertRow] = {}
    with store.begin() as transaction:
        for row in rows:
            new = row._replace(revision=row.revision + 1)
            if _save(transaction, row, new):
                saved[row.subject] = new
        for row in over:
            transaction.execute(
                "DELETE FROM alert WHERE alarm = :alarm AND about = :about"
                " AND revision = :revision",
                **_key(row.subject),
                revision=row.revision,
            )
    return saved


def _save(transaction: Transaction, before: AlertRow, row: AlertRow) -> bool:
    values = {
        **_key(row.subject),
        "shop": row.subject.shop,
        "since_ms": row.since_ms,
        "fires_ms": row.fires_ms,
        "seen_ms": row.seen_ms,
        "detail": row.detail,
        "ended_ms": row.ended_ms,
        "notified": json.dumps(sorted(row.notified)),
        "tries": row.tries,
        "next_ms": row.next_ms,
        "revision": row.revision,
    }
    names = ", ".join(values)
    places = ", ".join(f":{name}" for name in values)
    updates = ", ".join(f"{name} = :{name}" for name in values)
    touched = transaction.execute(
        f"INSERT INTO alert ({names}) VALUES ({places})"
        f" ON CONFLICT (alarm, about) DO UPDATE SET {updates} WHERE alert.revision = :before",
        **values,
        before=before.revision,
    )
    return touched == 1


def _key(subject: AlarmSubject) -> Mapping[str, str]:
    return {"alarm": subject.alarm, "about": json.dumps(subject.about)}


def _row(found: Any) -> AlertRow:
    about = tuple((name, value) for name, value in json.loads(found.about))
    return AlertRow(
        AlarmSubject(found.alarm, about),
        found.since_ms,
        found.fires_ms,
        found.seen_ms,
        found.detail,
        found.ended_ms,
        frozenset(json.loads(found.notified)),
        found.tries,
        found.next_ms,
        found.revision,
    )
