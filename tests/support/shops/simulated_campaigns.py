"""A shop of some weeks with several campaigns, and the truth behind its records."""

import random
from urllib.parse import quote, quote_plus

from stream.record import Entry
from tests.support.oracles.budget_truth import Cost, Merchant, Sale
from tests.support.shops.budget_shop import (
    TODAY,
    iso,
    order_records,
    report,
)

SOURCES = {
    "meta": ("facebook", "ig", "Facebook_Ads"),
    "google": ("google", "adwords"),
    "tiktok": ("tiktok",),
}


class Simulated:
    """A shop of some weeks with several campaigns, its records, and the truth behind them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.currency = self.random.choice(("USD", "USD", "JPY"))
        self.sales: list[Sale] = []
        self.costs: list[Cost] = []
        self.entries: list[Entry] = []
        self.number = 1000
        self.calm = seed % 3 == 0
        for channel, campaign_id, name in (
            ("meta", "1200001", "Summer Sale"),
            ("meta", "1200002", "Été & Co"),
            ("meta", "1200003", "retargeting"),
            ("google", "77", "Brand"),
            ("tiktok", "", "Spark"),
        ):
            self.campaign(channel, campaign_id, name, self.currency)
        if self.random.random() < 0.3:
            self.campaign("google", "78", "Abroad", "EUR")
        self.others()
        self.random.shuffle(self.entries)
        self.entries += self.random.sample(self.entries, len(self.entries) // 5)

    def campaign(self, channel: str, campaign_id: str, name: str, currency: str) -> None:
        pick = self.random
        started, stopped = (
            TODAY - pick.choice((3, 8, 12, 35, 50)),
            TODAY - pick.choice((0, 0, 1, 5, 9)),
        )
        level, skill, slope = (
            pick.uniform(2_000, 20_000),
            pick.uniform(1.0, 5.0),
            pick.choice((1.0, 0.5)),
        )
        if self.calm:
            started, stopped, skill = TODAY - 50, TODAY, pick.uniform(2.0, 4.0)
        varied, renamed = pick.choice((0.02, 0.5)), bool(campaign_id) and pick.random() < 0.3
        for day in range(started, max(stopped, started) + 1):
            spend = 0 if pick.random() < 0.05 else round(level * pick.lognormvariate(0, varied))
            result = name if not renamed or day > TODAY - 10 else f"{name} (old)"
            claimed = round(spend * 3.1) if channel == "meta" else None
            cost = Cost(
                day, channel, campaign_id, result, currency, spend, pick.randrange(100), claimed
            )
            self.costs.append(cost)
            self.entries.append(report(cost, time_ms=2))
            if pick.random() < 0.2:
                self.entries.append(report(cost._replace(spend=spend + 500, clicks=0), time_ms=1))
            worth = skill * level * (spend / level) ** slope
            for _ in range(3 if self.calm else pick.randrange(1, 5)):
                key = (channel, campaign_id, "" if campaign_id else name.casefold())
                self.sale(
                    day,
                    round(worth / 3 * pick.lognormvariate(0, 0.1 if self.calm else 0.3)),
                    key,
                    self.link(channel, campaign_id, name, day),
                )

    def link(self, channel: str, campaign_id: str, name: str, day: int) -> str:
        source = self.random.choice(SOURCES[channel])
        by_name = [
            f"/?utm_source={source}&utm_campaign={quote(name)}",
            f"/products/hat?utm_campaign={quote_plus(name.upper())}&utm_source={source}&fbclid=Iw{day}",
            f"https://shop.example/?utm_medium=cpc&amp;utm_campaign={quote_plus('  ' + name)}",
        ]
        by_id = [
            f"/?utm_id={campaign_id}&utm_source={source}",
            f"/?utm_source={source}&utm_campaign={campaign_id}&x=1",
            f"/?UTM_ID={campaign_id}",
        ]
        return self.random.choice(
            by_id if campaign_id and (day <= TODAY - 10 or self.random.random() < 0.5) else by_name
        )

    def others(self) -> None:
        for day in range(TODAY - 40, TODAY + 1):
            for campaign, landing_site in (
                (("(direct)", "", ""), "/collections/all"),
                (("(none)", "", ""), None),
                (("(none)", "", ""), "/wallets/checkouts.json"),
                (("meta", "", ""), "/?fbclid=IwAR0"),
                (("google", "", ""), "/?gclid=x"),
                (
                    ("klaviyo", "", "welcome"),
                    "/?utm_source=Klaviyo&utm_medium=email&utm_campaign=Welcome",
                ),
            ):
                if self.random.random() < 0.4:
                    self.sale(day, self.random.randrange(1000, 9000), campaign, landing_site)
            if self.random.random() < 0.1:
                self.number += 10
                gone = Sale(day, 5000, self.currency, ("(direct)", "", ""))
                change = self.random.choice(
                    (
                        {"cancelled_at": f"{iso(day)}T13:00:00Z"},
                        {"test": True},
                        {"financial_status": "voided"},
                    )
                )
                self.entries += order_records(self.number, gone, "/", **change)

    def sale(
        self, day: int, kept: int, campaign: tuple[str, str, str], landing_site: str | None
    ) -> None:
        self.number += 10
        currency = "EUR" if self.random.random() < 0.02 else self.currency
        sale = Sale(day, kept, currency, campaign)
        self.sales.append(sale)
        self.entries += order_records(
            self.number, sale, landing_site, self.random.choice((0, 0, 0, 700))
        )

    def merchant(self) -> Merchant:
        pick = self.random
        return Merchant(
            self.currency,
            bankroll=pick.choice((20_000, 60_000, 100_000, 1_000_000)),
            margin=pick.choice((0.3, 0.5, 0.8)),
            days=pick.choice((30, 30, 14)),
            seed=pick.choice((None, 2500)),
            shown=pick.choice((None, 7, 50)),
            immature=pick.choice((3, 3, 1)),
            step=pick.choice((0.3, 0.3, 0.1)),
            kelly=pick.choice((0.5, 0.5, 0.2)),
            prior_days=pick.choice((10, 10, 0, 25)),
            prior_sd=pick.choice((0.2, 0.2, 0.05, 1.0)),
        )
