"""Why an alarm holds, where the store says more than the metric: the same words as in
`/v1/status`."""

import json
from collections.abc import Callable, Mapping

from orderwire.alarms.conditions import AlarmSubject
from stream.store.contract import Reading

MOST = 3
"""Causes that are named; more are counted."""


def cause(reading: Reading, subject: AlarmSubject) -> str:
    """In words, "" where nothing more is known."""
    find = _CAUSES.get(subject.alarm)
    if find is None:
        return ""
    found = list(dict.fromkeys(filter(None, find(reading, dict(subject.about)))))
    more = f", and {len(found) - MOST} more" if len(found) > MOST else ""
    return "; ".join(found[:MOST]) + more


def _account(column: str) -> "Callable[[Reading, Mapping[str, str]], list[str]]":
    def find(reading: Reading, about: Mapping[str, str]) -> list[str]:
        rows = reading.query(
            f"SELECT {column} FROM destination_account"
            " WHERE shop = :shop AND destination = :destination",
            shop=about["shop"],
            destination=about["destination"],
        )
        return [str(row[0]) for row in rows]

    return find


def _stopped(reading: Reading, about: Mapping[str, str]) -> list[str]:
    rows = reading.query(
        "SELECT shop, reason FROM stopped_shop WHERE processor = :processor AND stopped = 1"
        " ORDER BY since_ms",
        processor=about["processor"],
    )
    return [f"{row.shop or 'all shops'}: {row.reason}" for row in rows]


def _jobs(reading: Reading, about: Mapping[str, str]) -> list[str]:
    rows = reading.query(
        "SELECT shop, reason FROM scheduled_job WHERE job = :job AND failures > 0 ORDER BY shop",
        job=about["job"],
    )
    return [f"{row.shop}: {row.reason}" for row in rows]


def _parked(reading: Reading, _: Mapping[str, str]) -> list[str]:
    rows = reading.query(
        "SELECT shop, reason, records FROM parked_cell WHERE records > 0 ORDER BY records DESC"
    )
    return [f"{row.records} {row.reason} of {row.shop or 'no shop'}" for row in rows]


def _part(reading: Reading, about: Mapping[str, str]) -> list[str]:
    """As its role's heartbeat says, which is 2 s later than the metric."""
    details = [json.loads(row[0]) for row in reading.query("SELECT details FROM roles")]
    found = [{**each.get("stopped", {}), **each.get("parts", {})} for each in details]
    return [each.get(about["part"], "") for each in found]


_CAUSES: Mapping[str, Callable[[Reading, Mapping[str, str]], list[str]]] = {
    "DeliveryPaused": _account("paused_message"),
    "DeliveryFailing": _account("failing_cause"),
    "PartStopped": _part,
    "ShopStopped": _stopped,
    "JobFailing": _jobs,
    "TopicSilent": _jobs,
    "RecordsParked": _parked,
}
