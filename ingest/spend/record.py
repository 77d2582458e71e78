"""Records on the topic `spend` (docs/api.md, "Records on spend"), whoever reports them."""

from typing import NotRequired, TypedDict

import msgspec

from ingest.receiver.delivery import digest_id
from stream.record import Record


class SpendReport(TypedDict):
    date: str
    channel: str
    campaign_id: str
    campaign_name: str
    currency: str
    spend: str
    impressions: NotRequired[int]
    clicks: NotRequired[int]
    platform_revenue: NotRequired[str]
    platform_orders: NotRequired[int]
    daily_budget: NotRequired[str]
    time_zone: NotRequired[str]
    reported_at: NotRequired[str]
    account_currency: NotRequired[str]
    account_spend: NotRequired[str]
    rate: NotRequired[str]


"""A campaign's day. `account_*` and `rate` are there where amounts were converted."""


def spend_record(shop: str, row: SpendReport, now_ms: int) -> Record:
    """What a campaign cost on a day, for the log."""
    body = msgspec.json.encode(row)
    campaign = row["campaign_id"] or row["campaign_name"]
    return Record(
        topic="spend",
        key=f"{shop}:{row['channel']}:{campaign}",
        id=digest_id("spend", body),
        time_ms=now_ms,
        headers={"source": "spend", "topic": "spend", "shop": shop},
        body=body,
    )
