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
    """Of a processor, of a projection, or of its tick."""
    rows = reading.query(
        "SELECT reason FROM stopped_shop WHERE processor = :part AND shop = :shop AND stopped = 1"
        " UNION ALL SELECT 'its formula failed: ' || stopped FROM projection"
        " WHERE name = :part AND shop = :shop AND stopped <> ''",
        part=about["part"],
        shop=about["shop"],
    )
    ticks = [
        tick["reason"]
        for role in reading.query("SELECT details FROM roles")
        for tick in json.loads(role.details).get("ticks", ())
        if (f"tick {tick['tick']}", tick["shop"]) == (about["part"], about["shop"])
    ]
    return [*(str(row[0]) for row in rows), *ticks]


def _jobs(reading: Reading, about: Mapping[str, str]) -> list[str]:
    rows = reading.query(
        "SELECT reason FROM scheduled_job WHERE job = :job AND shop = :shop AND failures > 0",
        job=about["job"],
        shop=about["shop"],
    )
    return [str(row[0]) for row in rows]


def _parked(reading: Reading, about: Mapping[str, str]) -> list[str]:
    rows = reading.query(
        "SELECT reason, records FROM parked_cell WHERE shop = :shop AND records > 0"
        " ORDER BY records DESC",
        shop=about["shop"],
    )
    return [f"{row.records} {row.reason}" for row in rows]


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
