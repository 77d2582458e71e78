"""Cells -> campaigns: which spend and which orders are the same campaign's, day by day. Pure.

A link's label (`utm_id`, then `utm_campaign`) joins spend by campaign_id first, then by
campaign_name, case-insensitively, under any name that the campaign had in the time read. Both look
within the channel that the link tells; a link that tells none, and an id of any link, may match in
another channel where only one campaign fits. A label that fits two campaigns is given to neither:
it stands as a row of its own, and says so. A label that fits none (an email's, or a campaign whose
spend is not reported) is a row without spend.

A report without an id stands for the campaign of its name and channel. Where the same day is
reported under that name with an id as well, it was restated with the id, and the one without does
not count; its other days are that campaign's where a single one has the name.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from aggregates.budget.fold import attribution

DIRECT: Final = attribution.DIRECT.channel
UNATTRIBUTED: Final = attribution.UNATTRIBUTED.channel


class BudgetCell(NamedTuple):
    """A row of `budget_cell` of one shop; money in minor units of `currency`, days since
    1970-01-01."""

    day: int
    channel: str
    campaign_id: str
    campaign: str
    currency: str
    orders: int
    revenue: int
    reports: int
    spend: int
    impressions: int
    clicks: int
    platform_reports: int
    platform_revenue: int
    platform_orders: int


@dataclass(slots=True)
class Platform:
    """What the ad platform itself says of some days; `revenue_reports` counts the days that name a
    revenue."""

    impressions: int = 0
    clicks: int = 0
    revenue_reports: int = 0
    revenue: int = 0
    orders: int = 0


@dataclass(slots=True)
class Campaign:
    """Spend, revenue and orders by day.

    `spend_currency` is None where no spend was reported, "" where several currencies were.
    """

    channel: str
    campaign_id: str | None
    name: str | None
    spend_currency: str | None = None
    candidates: list["Campaign"] = field(default_factory=list)
    """The reported campaigns that a label fits, where it fits several and so none for sure."""
    spend: Counter[int] = field(default_factory=Counter)
    revenue: Counter[int] = field(default_factory=Counter)
    orders: Counter[int] = field(default_factory=Counter)
    platform: defaultdict[int, Platform] = field(default_factory=lambda: defaultdict(Platform))
    daily_budget: int | None = None
    """As it is set now, minor units of `spend_currency`; None where no report says it."""


@dataclass(slots=True)
class Bucket:
    """Orders and revenue by day that no campaign has."""

    orders: Counter[int] = field(default_factory=Counter)
    revenue: Counter[int] = field(default_factory=Counter)


class SetBudget(NamedTuple):
    """A campaign's daily budget as a report says it is set."""

    channel: str
    campaign_id: str
    campaign_name: str
    day: int
    currency: str
    amount: int


@dataclass(frozen=True, slots=True)
class Account:
    """All that the cells say of one shop. `buckets` by channel: `(direct)`, `(none)`, and channels
    known without their campaign."""

    campaigns: list[Campaign]
    buckets: dict[str, Bucket]
    other_currency_orders: Counter[int]
    """Orders by day in a currency other than the shop's: left out everywhere else."""


def key_of(campaign: Campaign) -> tuple[str, str, str]:
    """What tells a reported campaign from all others: its id, or its name where it has none."""
    campaign_id = campaign.campaign_id or ""
    return campaign.channel, campaign_id, "" if campaign_id else label(campaign.name or "")


def label(name: str) -> str:
    """What two spellings of one campaign name have in common."""
    return " ".join(name.split()).casefold()


class CurrencyCount(NamedTuple):
    """How often a shop uses a currency."""

    currency: str
    orders: int
    reports: int


def shop_currency(cells: Iterable[CurrencyCount]) -> str | None:
    """The currency of most orders; where there are none, of most spend reports; None where there is
    nothing."""
    orders, reports = Counter[str](), Counter[str]()
    for cell in cells:
        orders[cell.currency] += cell.orders
        reports[cell.currency] += cell.reports
    for counted in (orders, reports):
        if any(counted.values()):
            return min(counted, key=lambda code: (-counted[code], code))
    return None


def set_budgets(account: Account, budgets: Iterable[SetBudget]) -> None:
    """Note each campaign's budget, the newest that was reported."""
    newest: dict[tuple[str, str, str], SetBudget] = {}
    for each in sorted(budgets, key=lambda each: each.day):
        named = "" if each.campaign_id else label(each.campaign_name)
        newest[each.channel, each.campaign_id, named] = each
    for campaign in account.campaigns:
        found = newest.get(key_of(campaign))
        if found is not None and found.currency == campaign.spend_currency:
            campaign.daily_budget = found.amount


class _Directory:
    """Reported campaigns by what a link may call them."""

    def __init__(
        self,
        campaigns: dict[tuple[str, str, str], Campaign],
        names: dict[tuple[str, str, str], set[str]],
    ) -> None:
        self._ids: defaultdict[str, list[Campaign]] = defaultdict(list)
        self._names: defaultdict[str, list[Campaign]] = defaultdict(list)
        for key, campaign in campaigns.items():
            if campaign.campaign_id:
                self._ids[label(campaign.campaign_id)].append(campaign)
            for name in names[key]:
                self._names[name].append(campaign)

    def find(self, channel: str, campaign_id: str, campaign: str) -> list[Campaign]:
        """Those that a link means: one, none, or several that cannot be told apart."""
        told = (
            (self._ids, campaign_id, True),
            (self._ids, campaign, False),
            (self._names, campaign, False),
            (self._names, campaign_id, False),
        )
        for index, token, anywhere in told:
            found = index.get(label(token), []) if token else []
            if here := [each for each in found if each.channel == channel]:
                return here
            if found and (anywhere or not channel):
                return found
        return []


def account(cells: Iterable[BudgetCell], currency: str) -> Account:
    """Campaigns and the rest of one shop, orders in `currency` only."""
    cells = sorted(cells)
    reported, directory = _reported([cell for cell in cells if cell.reports])
    unmatched: dict[tuple[str, str, str], Campaign] = {}
    buckets: defaultdict[str, Bucket] = defaultdict(Bucket)
    others = Counter[int]()
    for cell in cells:
        if not cell.orders:
            continue
        if cell.currency != currency:
            others[cell.day] += cell.orders
            continue
        into: Bucket | Campaign
        if not cell.campaign_id and not cell.campaign:
            into = buckets[cell.channel]
        else:
            found = directory.find(cell.channel, cell.campaign_id, cell.campaign)
            key = (cell.channel, cell.campaign_id, cell.campaign)
            into = (
                found[0]
                if len(found) == 1
                else unmatched.setdefault(
                    key, Campaign(cell.channel, cell.campaign_id or None, cell.campaign or None)
                )
            )
            if len(found) > 1 and isinstance(into, Campaign):
                into.candidates = found
        into.orders[cell.day] += cell.orders
        into.revenue[cell.day] += cell.revenue
    return Account([*reported.values(), *unmatched.values()], dict(buckets), others)


def _reported(cells: list[BudgetCell]) -> tuple[dict[tuple[str, str, str], Campaign], _Directory]:
    """Campaigns with spend reports, each under its newest name (`cells` ascend by day)."""
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    restated: set[tuple[str, str, int]] = set()
    for cell in cells:
        if cell.campaign_id:
            ids[cell.channel, label(cell.campaign)].add(cell.campaign_id)
            restated.add((cell.channel, label(cell.campaign), cell.day))
    campaigns: dict[tuple[str, str, str], Campaign] = {}
    names: defaultdict[tuple[str, str, str], set[str]] = defaultdict(set)
    for cell in cells:
        campaign_id, name = cell.campaign_id, label(cell.campaign)
        if not campaign_id:
            if (cell.channel, name, cell.day) in restated:
                continue
            if len(same := ids.get((cell.channel, name), set())) == 1:
                (campaign_id,) = same
        key = (cell.channel, campaign_id, "" if campaign_id else name)
        campaign = campaigns.setdefault(
            key, Campaign(cell.channel, campaign_id or None, None, cell.currency)
        )
        if campaign.spend_currency != cell.currency:
            campaign.spend_currency = ""
        if cell.campaign:
            campaign.name = cell.campaign
            names[key].add(name)
        campaign.spend[cell.day] += cell.spend
        platform = campaign.platform[cell.day]
        platform.impressions += cell.impressions
        platform.clicks += cell.clicks
        platform.revenue_reports += cell.platform_reports
        platform.revenue += cell.platform_revenue
        platform.orders += cell.platform_orders
    return campaigns, _Directory(campaigns, names)
