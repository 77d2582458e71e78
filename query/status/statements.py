"""The newest day of each shop of which Shopify's orders were read whole or in part."""

from collections.abc import Collection

from query.status.schema import StatementStatus
from stream.store.contract import Snapshot
from stream.times import day_text, instant


def read_statements(
    snapshot: Snapshot, shops: Collection[str] | None, today: int
) -> list[StatementStatus]:
    """One entry per shop, of these shops or of all; of a day before `today`."""
    rows = snapshot.query(
        "SELECT shop, day, read_s FROM statement_day AS one WHERE day = (SELECT MAX(day)"
        " FROM statement_day AS each WHERE each.shop = one.shop AND each.day < :today)"
        " ORDER BY shop",
        today=today,
    )
    return [
        StatementStatus(shop=row.shop, day=day_text(row.day), read_at=instant(row.read_s * 1000))
        for row in rows
        if shops is None or row.shop in shops
    ]
