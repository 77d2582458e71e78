"""Orders that wait to be fetched because Shopify Events named them without their data."""

from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any, Final

from query.status.schema import RefetchStatus
from stream.store.contract import Snapshot
from stream.times import instant

JOB: Final = "refetch"
"""Its name in `scheduled_job`, where a shop's Admin API may be asked."""
GO_ON: Final = (
    "set SHOPIFY_ADMIN_TOKEN, or SHOPIFY_CLIENT_ID and SHOPIFY_CLIENT_SECRET, so that they can be"
    " fetched; for query_errors give the app the scopes that its Events query reads"
)


def read_refetch(snapshot: Snapshot, shops: Collection[str] | None) -> list[RefetchStatus]:
    """One entry per shop with anything waiting, of these shops or of all."""
    rows = snapshot.query(
        "SELECT shop, lacking, count(*) AS orders, min(since_ms) AS since_ms, sum(tries) AS tries"
        " FROM order_refetch GROUP BY shop, lacking ORDER BY shop, lacking"
    )
    within = [row for row in rows if shops is None or row.shop in shops]
    if not within:
        return []
    able = snapshot.query("SELECT shop FROM scheduled_job WHERE job = :job", job=JOB)
    asking = {row.shop for row in able}
    return [
        _status(shop, its, able=shop in asking)
        for shop, its in groupby(within, lambda row: str(row.shop))
    ]


def _status(shop: str, rows: Iterable[Any], *, able: bool) -> RefetchStatus:
    its = list(rows)
    return RefetchStatus(
        shop=shop,
        waiting=sum(row.orders for row in its),
        lacking={row.lacking: row.orders for row in its},
        since=instant(min(row.since_ms for row in its)),
        go_on=None if able else GO_ON,
    )
