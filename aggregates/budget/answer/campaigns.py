"""Joins spend reports and orders into campaigns, day by day. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
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
class PlatformDays:
    """The ad platform's own report of some days; `revenue_reports` counts the days with a
    revenue."""

    impressions: int = 0
    clicks: int = 0
    revenue_reports: int = 0
    revenue: int = 0
    orders: int = 0


@dataclass(slots=True)
class CampaignDays:
    """Spend, revenue and orders of a campaign by day.

    `spend_currency` is None without spend reports, "" if there are several currencies.
    """

    channel: str
    campaign_id: str | None
    name: str | None
    spend_currency: str | None = None
    candidates: list["CampaignDays"] = field(default_factory=list)
    """The reported campaigns that a label fits, where it fits several and so none for sure."""
    spend: Counter[int] = field(default_factory=Counter)
    revenue: Counter[int] = field(default_factory=Counter)
    orders: Counter[int] = field(default_factory=Counter)
    platform: defaultdict[int, PlatformDays] = field(
        default_factory=lambda: defaultdict(PlatformDays)
    )
    ad_issues: list[str] = field(default_factory=list)
    """What the ad platform has reported of its ad objects, in words."""
    daily_budget: int | None = None
    """As it is set now, minor units of `spend_currency`; None where no report says it."""


@dataclass(slots=True)
class DaysWithoutCampaign:
    """Orders and revenue by day without a campaign."""

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
class AdAccount:
    """Campaigns and unassigned orders of one shop. `buckets` by channel: `(direct)`, `(none)`, and
    channels known without their campaign."""

    campaigns: list[CampaignDays]
    buckets: dict[str, DaysWithoutCampaign]
    other_currency_orders: Counter[int]
    """Orders by day in a currency other than the shop's: left out everywhere else."""
    ad_issues: list[str] = field(default_factory=list)
    """What the ad platform has reported of objects whose campaign is not shown."""


def key_of(campaign: CampaignDays) -> tuple[str, str, str]:
    """The identity of a reported campaign: its id, or its name without one."""
    campaign_id = campaign.campaign_id or ""
    return campaign.channel, campaign_id, "" if campaign_id else label(campaign.name or "")


def label(name: str) -> str:
    """A campaign name's normal form, equal for two spellings."""
    return " ".join(name.split()).casefold()


class CurrencyCount(NamedTuple):
    """How often a shop uses a currency."""

    currency: str
    orders: int
    reports: int


def shop_currency(cells: Iterable[CurrencyCount]) -> str | None:
    """The currency of most orders; without orders, of most spend reports; None without either."""
    orders, reports = Counter[str](), Counter[str]()
    for cell in cells:
        orders[cell.currency] += cell.orders
        reports[cell.currency] += cell.reports
    for counted in (orders, reports):
        if any(counted.values()):
            return min(counted, key=lambda code: (-counted[code], code))
    return None


def note_issues(account: AdAccount, issues: Mapping[str, list[str]]) -> None:
    """Note what Meta has reported, in words by campaign id ("" where that is not known)."""
    for campaign in account.campaigns:
        if campaign.channel == "meta" and campaign.campaign_id:
            campaign.ad_issues = list(issues.get(campaign.campaign_id, ()))
    shown = {each.campaign_id for each in account.campaigns}
    account.ad_issues.extend(
        sentence
        for campaign_id, sentences in issues.items()
        if not campaign_id or campaign_id not in shown
        for sentence in sentences
    )


def set_budgets(account: AdAccount, budgets: Iterable[SetBudget]) -> None:
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
    """Reported campaigns by the labels that a link may have.

    A label (`utm_id`, then `utm_campaign`) matches spend by campaign_id first, then by any
    campaign_name of the time read, case-insensitively. Both look within the link's channel; without
    one, and for an id of any link, other channels match too if only one campaign fits.
    """

    def __init__(
        self,
        campaigns: dict[tuple[str, str, str], CampaignDays],
        names: dict[tuple[str, str, str], set[str]],
    ) -> None:
        self._ids: defaultdict[str, list[CampaignDays]] = defaultdict(list)
        self._names: defaultdict[str, list[CampaignDays]] = defaultdict(list)
        for key, campaign in campaigns.items():
            if campaign.campaign_id:
                self._ids[label(campaign.campaign_id)].append(campaign)
            for name in names[key]:
                self._names[name].append(campaign)

    def find(self, channel: str, campaign_id: str, campaign: str) -> list[CampaignDays]:
        """The campaigns that a link may mean: one, none, or several that cannot be
        distinguished."""
        candidates = (
            (self._ids, campaign_id, True),
            (self._ids, campaign, False),
            (self._names, campaign, False),
            (self._names, campaign_id, False),
        )
        for index, token, anywhere in candidates:
            found = index.get(label(token), []) if token else []
            if here := [each for each in found if each.channel == channel]:
                return here
            if found and (anywhere or not channel):
                return found
        return []


def account(cells: Iterable[BudgetCell], currency: str) -> AdAccount:
    """Campaigns and the rest of one shop, orders in `currency` only.

    A label that fits two campaigns is given to neither: it is a row of its own, and says so. A
    label that fits none (an email's, or a campaign without spend reports) is a row without spend.
    """
    cells = sorted(cells)
    reported, directory = _reported([cell for cell in cells if cell.reports])
    unmatched: dict[tuple[str, str, str], CampaignDays] = {}
    buckets: defaultdict[str, DaysWithoutCampaign] = defaultdict(DaysWithoutCampaign)
    others = Counter[int]()
    for cell in cells:
        if not cell.orders:
            continue
        if cell.currency != currency:
            others[cell.day] += cell.orders
            continue
        into: DaysWithoutCampaign | CampaignDays
        if not cell.campaign_id and not cell.campaign:
            into = buckets[cell.channel]
        else:
            found = directory.find(cell.channel, cell.campaign_id, cell.campaign)
            key = (cell.channel, cell.campaign_id, cell.campaign)
            into = (
                found[0]
                if len(found) == 1
                else unmatched.setdefault(
                    key, CampaignDays(cell.channel, cell.campaign_id or None, cell.campaign or None)
                )
            )
            if len(found) > 1 and isinstance(into, CampaignDays):
                into.candidates = found
        into.orders[cell.day] += cell.orders
        into.revenue[cell.day] += cell.revenue
    return AdAccount([*reported.values(), *unmatched.values()], dict(buckets), others)


def _reported(
    cells: list[BudgetCell],
) -> tuple[dict[tuple[str, str, str], CampaignDays], _Directory]:
    """Campaigns with spend reports, each under its newest name (`cells` ascend by day).

    A report without an id stands for the campaign of its name and channel. If the same day is
    reported under that name with an id too, it was restated, and the one without does not count;
    its other days belong to that campaign if only one has the name.
    """
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    restated: set[tuple[str, str, int]] = set()
    for cell in cells:
        if cell.campaign_id:
            ids[cell.channel, label(cell.campaign)].add(cell.campaign_id)
            restated.add((cell.channel, label(cell.campaign), cell.day))
    campaigns: dict[tuple[str, str, str], CampaignDays] = {}
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
            key, CampaignDays(cell.channel, campaign_id or None, None, cell.currency)
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


def names_of(cells: Iterable[BudgetCell]) -> Callable[[str, str, str], CampaignDays | None]:
    """(channel, campaign id, label of a link) -> the one reported campaign that it means."""
    _, directory = _reported([cell for cell in sorted(cells) if cell.reports])

    def find(channel: str, campaign_id: str, campaign: str) -> CampaignDays | None:
        found = directory.find(channel, campaign_id, campaign)
        return found[0] if len(found) == 1 else None

    return find
