"""Alarms that hold, from the table `alert`, for `/v1/status`."""

import json
from collections.abc import Collection

from query.status.schema import AlarmStatus
from stream.store.contract import Reading
from stream.times import instant


def read_alarms(reading: Reading, shops: Collection[str] | None, now_ms: int) -> list[AlarmStatus]:
    """Those of the installation and of these shops, or of all; the oldest first."""
    rows = reading.query(
        "SELECT alarm, about, shop, since_ms, fires_ms, detail FROM alert WHERE ended_ms = 0"
        " ORDER BY since_ms, alarm, about"
    )
    return [
        AlarmStatus(
            alarm=row.alarm,
            shop=row.shop or None,
            about={name: value for name, value in json.loads(row.about) if name != "shop"},
            state="firing" if now_ms >= row.fires_ms else "pending",
            since=instant(row.since_ms),
            cause=row.detail or None,
        )
        for row in rows
        if shops is None or not row.shop or row.shop in shops
    ]
