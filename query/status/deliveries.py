"""When each topic of a shop was last delivered, and how often today (`delivery_count`)."""

from collections.abc import Collection, Mapping
from zoneinfo import ZoneInfo

from query.status.schema import DeliveryStatus
from stream.store.contract import Snapshot
from stream.times import day_of, instant


def read_deliveries(
    snapshot: Snapshot,
    shops: Collection[str] | None,
    zones: Mapping[str, ZoneInfo | None],
    now_ms: int,
) -> list[DeliveryStatus]:
    """One entry per shop and topic, of these shops or of all."""
    rows = snapshot.query(
        "SELECT shop, topic, last_ms, day, today FROM delivery_count ORDER BY shop, topic"
    )
    return [
        DeliveryStatus(
            shop=row.shop,
            topic=row.topic,
            last=instant(row.last_ms),
            today=row.today if row.day == day_of(now_ms, zones.get(row.shop)) else 0,
        )
        for row in rows
        if shops is None or row.shop in shops
    ]
