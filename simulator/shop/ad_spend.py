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


def reports(
    random: Random,
    sold: Mapping[CampaignDay, Sequence[int]],
    history_days: int,
    today: date,
    days: int,
    *,
    products: Sequence[Product],
    currency: str,
    time_zone: str,
) -> list[Json]:
    """One per campaign and day, `days` of them up to `today` (docs/api.md, "Records on spend").

    `sold` (minor units, orders) is what campaigns brought in `history_days`. A campaign spends what
    its ROAS makes of that a day, more or less; one that sold nothing is taken to sell a share of 20
    units of the first product.
    """
    rows = []
    for campaign in CAMPAIGNS:
        ever = sum(units for (name, _), (units, _) in sold.items() if name == campaign.campaign_id)
        revenue = (
            ever / history_days
            if ever and history_days
            else 20 * products[0].price * campaign.share
        )
        for back in range(days - 1, -1, -1):
            day = today - timedelta(days=back)
            spent = round(revenue / campaign.roas * random.lognormvariate(-0.045, 0.3))
            units, orders = sold.get((campaign.campaign_id, day), (0, 0))
            clicks = max(orders, round(spent / max(1, products[7].price) * 8))
            rows.append(
                {
                    "date": day.isoformat(),
                    "channel": campaign.channel,
                    "campaign_id": campaign.campaign_id,
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
