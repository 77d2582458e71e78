"""A campaign's day as an ad platform reports it, and the row that the topic `spend` gets of it.

Amounts stay in the ad account's currency unless a rate is given for it.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ingest.spend.record import SpendReport
from stream.money import amount, minor


@dataclass(frozen=True, slots=True)
class Rates:
    """How amounts are converted."""

    rates: Mapping[str, Decimal] = field(default_factory=dict)
    """How much one unit of a currency is in `into`."""
    into: str | None = None
    """Where it is None nothing is converted."""

    def of(self, currency: str) -> tuple[str, Decimal | None]:
        """The currency that amounts end in, and the rate; None where they stay as they are."""
        rate = self.rates.get(currency)
        if rate is None or self.into is None or self.into == currency:
            return currency, None
        return self.into, rate


@dataclass(frozen=True, slots=True)
class CampaignDay:
    """A campaign's day, in the ad account's currency."""

    date: dt.date
    channel: str
    campaign_id: str
    campaign_name: str
    currency: str
    spend: Decimal
    impressions: int | None = None
    clicks: int | None = None
    platform_revenue: Decimal | None = None
    platform_orders: int | None = None
    time_zone: str = ""
    reported_at: str = ""
    daily_budget: Decimal | None = None
    """What the campaign may spend per day as it is set now; zero while it is paused."""

    @property
    def key(self) -> tuple[dt.date, str, str]:
        """What one row is kept for."""
        return self.date, self.channel, self.campaign_id or f"name:{self.campaign_name.casefold()}"


def row(each: CampaignDay, rates: Rates, reported_at: str) -> SpendReport:
    """As the topic `spend` has it."""
    into, rate = rates.of(each.currency)

    def written(value: Decimal) -> str:
        return amount(minor(value if rate is None else value * rate, into), into)

    made: SpendReport = {
        "date": each.date.isoformat(),
        "channel": each.channel,
        "campaign_id": each.campaign_id,
        "campaign_name": each.campaign_name,
        "currency": into,
        "spend": written(each.spend),
        "reported_at": each.reported_at or reported_at,
    }
    if each.impressions is not None:
        made["impressions"] = each.impressions
    if each.clicks is not None:
        made["clicks"] = each.clicks
    if each.platform_revenue is not None:
        made["platform_revenue"] = written(each.platform_revenue)
    if each.platform_orders is not None:
        made["platform_orders"] = each.platform_orders
    if each.daily_budget is not None:
        made["daily_budget"] = written(each.daily_budget)
    if each.time_zone:
        made["time_zone"] = each.time_zone
    if rate is not None:
        made["account_currency"] = each.currency
        made["account_spend"] = str(each.spend)
        made["rate"] = str(rate)
    return made
