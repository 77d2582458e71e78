"""Ad spend of the simulated shop's campaigns: bodies for the topic `spend`."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from random import Random
from typing import Any

from simulator.shop.catalogue import CAMPAIGNS, Product
from stream.money import amount

Json = dict[str, Any]
CampaignDay = tuple[str, date]
"""Campaign id, and the shop's day."""


PACE_DAYS = 14
"""A campaign's pace on a day is its mean revenue of the days up to this far before and after."""


def reports(
    seed: int,
    past: Mapping[CampaignDay, Sequence[int]],
    live: Mapping[CampaignDay, Sequence[int]],
    history: tuple[date, date],
    days: Sequence[date],
    *,
    products: Sequence[Product],
    currency: str,
    time_zone: str,
) -> list[Json]:
    """One per campaign and day of `days` (docs/api.md, "Records on spend").

    `past` and `live` (minor units, orders) are what campaigns brought; `history` are the first and
    last day of `past`. A campaign spends what its ROAS makes of its pace around the day and of the
    day's live revenue, more or less, so that its ROAS stays where it is however the shop grows. A
    day is reported alike each time, except for what was sold since.
    """
    rows = []
    for campaign in CAMPAIGNS:
        name = campaign.campaign_id
        for day in days:
            # Spend would be zero, and ROAS unknown, for a campaign that sold nothing for a month.
            pace = _pace(past, name, day, history) or 20 * products[0].price * campaign.share
            units, orders = (
                sum(each.get((name, day), (0, 0))[part] for each in (past, live)) for part in (0, 1)
            )
            random = Random(f"{seed} {name} {day}")
            spent = round(
                (pace + live.get((name, day), (0, 0))[0])
                / campaign.roas
                * random.lognormvariate(-0.045, 0.3)
            )
            clicks = max(orders, round(spent / max(1, products[7].price) * 8))
            rows.append(
                {
                    "date": day.isoformat(),
                    "channel": campaign.channel,
                    "campaign_id": name,
                    "campaign_name": campaign.name,
                    "currency": currency,
                    "spend": amount(spent, currency),
                    "impressions": clicks * 70,
                    "clicks": clicks,
                    "platform_revenue": amount(round(units * random.uniform(0.95, 1.3)), currency),
                    "platform_orders": orders,
                    "time_zone": time_zone,
                }
            )
    return rows


def _pace(
    past: Mapping[CampaignDay, Sequence[int]], name: str, day: date, history: tuple[date, date]
) -> float:
    """Mean revenue per day around `day`, minor units; of the newest days for one after them."""
    first, last = history
    middle = min(day, last)
    near = [
        middle + timedelta(days=back)
        for back in range(-PACE_DAYS, PACE_DAYS + 1)
        if first <= middle + timedelta(days=back) <= last
    ]
    return sum(past.get((name, each), (0, 0))[0] for each in near) / max(len(near), 1)
