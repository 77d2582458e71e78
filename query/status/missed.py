"""Orders that no webhook brought and reconcile did, by topic and hour of the last two days."""

from collections.abc import Collection

from query.status.schema import MissedStatus
from stream.store.contract import Snapshot
from stream.times import instant

SHOWN_S = 48 * 3_600


def read_missed(
    snapshot: Snapshot, shops: Collection[str] | None, now_ms: int
) -> list[MissedStatus]:
    """One entry per shop, topic and hour, of these shops or of all."""
    rows = snapshot.query(
        "SELECT shop, topic, hour_s, count(*) AS orders FROM missed_order WHERE hour_s >= :since"
        " GROUP BY shop, topic, hour_s ORDER BY shop, topic, hour_s",
        since=now_ms // 1000 - SHOWN_S,
    )
    return [
        MissedStatus(
            shop=row.shop, topic=row.topic, hour=instant(row.hour_s * 1000), orders=row.orders
        )
        for row in rows
        if shops is None or row.shop in shops
    ]
