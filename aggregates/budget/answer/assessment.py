"""Assesses each campaign of a shop: today's budget, evidence, advice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aggregates.budget.advice.evidence import Evidence, EvidenceDay, Stakes, evidence, win_rate
from aggregates.budget.advice.saturation import Saturation, saturation
from aggregates.budget.advice.sizing import Advice, Bet, advise
from aggregates.budget.answer.campaigns import AdAccount, CampaignDays, key_of
from aggregates.budget.answer.terms import Terms
from aggregates.budget.answer.unassigned import withheld


@dataclass(frozen=True, slots=True)
class Assessment:
    """One campaign and its assessment.

    Evidence needs a margin, advice a bankroll and today's budget as well.
    """

    campaign: CampaignDays
    judged_days: int = 0
    """Days with spend, in the window of returns, on which spend and orders are known."""
    current: int | None = None
    evidence: Evidence | None = None
    saturation: Saturation | None = None
    withheld: tuple[str, ...] = ()
    """Why nothing is advised although all else is known."""
    advice: Advice | None = None


def current_budget(campaign: CampaignDays, terms: Terms) -> int | None:
    """Today's budget, minor units per day; None before the campaign's first full day.

    It is the spend of the newest known full day. If its channel reports and the campaign is missing
    for longer than the immature days, it is paused: zero.
    """
    if campaign.daily_budget is not None:
        return campaign.daily_budget
    today = terms.recent.last
    days = [day for day in campaign.spend if day < today]
    if not any(campaign.spend[day] > 0 for day in days):
        return None
    newest = terms.coverage.newest_report(campaign.channel, before=today)
    own = max(days)
    late = newest is None or newest - own <= terms.immature_days
    return campaign.spend[own] if late else 0


@dataclass(frozen=True, slots=True)
class Assessed:
    """All campaigns with spend in the shop's currency."""

    campaigns: list[Assessment]
    together: Evidence | None
    """All of them taken as one; None without a margin."""

    def shown(self, account: AdAccount, currency: str) -> list[Assessment]:
        """The campaigns of `account`, which may cover other days, each with its assessment."""
        found = {key_of(each.campaign): each for each in self.campaigns}
        return [
            replace(found[key_of(each)], campaign=each)
            if each.spend_currency == currency and key_of(each) in found
            else Assessment(each)
            for each in account.campaigns
        ]


def assess(account: AdAccount, terms: Terms, past: Sequence[CampaignDays] = ()) -> Assessed:
    """Every campaign assessed that spent in the shop's currency.

    `account` holds the days from `terms.mature` on, `past` the same campaigns on those of
    `terms.remembered`.
    """
    own = [each for each in account.campaigns if each.spend_currency == terms.currency]
    channels = {each.channel for each in own}
    mature = {name: terms.coverage.known(name, terms.mature) for name in channels}
    remembered = {name: terms.coverage.known(name, terms.remembered) for name in channels}
    judged = [series(each, mature[each.channel]) for each in own]
    before = {
        key_of(each): series(each, remembered[each.channel])
        for each in past
        if each.spend_currency == terms.currency and each.channel in remembered
    }
    evidences, saturations = dict[int, Evidence](), dict[int, Saturation]()
    together: Evidence | None = None
    if terms.margin is not None:
        stakes = Stakes(
            terms.margin,
            terms.order_value,
            terms.bankroll,
            win_rate(judged, terms.margin),
            terms.caution,
        )
        for index, (each, days) in enumerate(zip(own, judged, strict=True)):
            evidences[index] = evidence(days, stakes, before.get(key_of(each), ()))
            saturations[index] = saturation(days, terms.margin, terms.caution.cut_probability)
        together = evidence(_together(own, mature), stakes)
    reasons = withheld(account, terms.coverage, terms.mature, terms.currency)
    places = {id(each): index for index, each in enumerate(account.campaigns)}
    kept_back = [tuple(reasons.get(places[id(each)], ())) for each in own]
    currents = [current_budget(each, terms) for each in own]
    bets = {
        index: Bet(evidences[index], saturations[index], current)
        for index, current in enumerate(currents)
        if current is not None and index in evidences and not kept_back[index]
    }
    # A campaign without advice continues to spend from the same bankroll.
    spent = sum(current or 0 for index, current in enumerate(currents) if index not in bets)
    advised: dict[int, Advice] = {}
    if terms.limits is not None:
        advised = dict(zip(bets, advise(list(bets.values()), terms.limits, spent), strict=True))
    assessments = [
        Assessment(
            each,
            len(judged[index]),
            currents[index],
            evidences.get(index),
            saturations.get(index),
            kept_back[index],
            advised.get(index),
        )
        for index, each in enumerate(own)
    ]
    return Assessed(assessments, together)


def series(campaign: CampaignDays, days: Sequence[int]) -> list[EvidenceDay]:
    """Those of the known `days` on which the campaign spent."""
    return [
        EvidenceDay(campaign.spend[day], campaign.revenue[day], campaign.orders[day])
        for day in days
        if campaign.spend[day] > 0
    ]


def _together(
    campaigns: Sequence[CampaignDays], known: Mapping[str, Sequence[int]]
) -> list[EvidenceDay]:
    """The days of several campaigns taken as one; `known` days by channel."""
    sums: dict[int, tuple[int, int, int]] = {}
    for each in campaigns:
        for day in known[each.channel]:
            spend, revenue, orders = sums.get(day, (0, 0, 0))
            sums[day] = (
                spend + each.spend[day],
                revenue + each.revenue[day],
                orders + each.orders[day],
            )
    return [EvidenceDay(*sums[day]) for day in sorted(sums)]
