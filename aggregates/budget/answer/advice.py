"""Campaigns' days -> Kelly fractions and recommended daily budgets, all campaigns of an account
together. Pure.

Per campaign a shrunken, fractional Kelly (docs/facts/analytics.md, "Kelly fractions"); where the
fractions add up to more than the bankroll, the joint optimum with a diagonal covariance. Then the
saturation cap, the step from today's budget, and the bankroll ("Recommendation").

Today's budget is the mean spend of the seven days up to the newest that the channel reported:
yesterday at most, and not more than the immature days back. Platforms pace a daily budget over a
week, so single days say little. A day without spend counts as zero, except before the campaign's
first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final, NamedTuple

import numpy as np

from aggregates.budget.answer.allocation import MAX_CAMPAIGNS, several
from aggregates.budget.answer.campaigns import Campaign
from aggregates.budget.answer.kelly import (
    VARIANCE_FLOOR,
    Binary,
    Caution,
    DailyReturns,
    binary_of_days,
    daily_kelly,
    daily_returns,
    multiplier,
)
from aggregates.budget.answer.recommendation import (
    Binding,
    Recommendation,
    recommend,
    within_bankroll,
)
from aggregates.budget.answer.saturation import NoCurve, fit_power, power_cap

CAUTION: Final = Caution()
CURRENT_DAYS: Final = 7
MAX_DRY_SHARE: Final = 0.2
"""Days with spend and no revenue have no logarithm; where more than these are left out, the response curve would lie."""
REACH: Final = 10
"""A saturation cap beyond this many times the largest spend seen is outside what the data can say."""


@dataclass(frozen=True, slots=True)
class Window:
    """Days since 1970-01-01, both ends included."""

    first: int
    last: int

    def days(self) -> range:
        return range(self.first, self.last + 1)


@dataclass(frozen=True, slots=True)
class Terms:
    """On what the account is judged. Money in minor units of `currency`, the shop's; None where the merchant did not say."""

    currency: str
    bankroll: int | None
    margin: float | None
    seed: int
    max_change: float
    immature_days: int
    recent: Window
    mature: Window
    caution: Caution = CAUTION


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a series of campaign-days says. `multiplier` is lambda, None below 7 days."""

    returns: DailyReturns
    binary: Binary
    multiplier: float | None


@dataclass(frozen=True, slots=True)
class Saturation:
    """`cap`, minor units per day, or why there is none."""

    cap: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do with one campaign's budget, minor units per day; `fraction` is its share of the bankroll beside the others."""

    recommended: int
    binding: Binding
    fraction: float | None
    pause: bool = False
    beyond_step: bool = False
    """The bankroll forces a larger step down than `max_change`."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """One campaign with all that can be told of it. Evidence needs a margin, advice a bankroll and today's budget as well."""

    campaign: Campaign
    current: int | None = None
    evidence: Evidence | None = None
    saturation: Saturation | None = None
    advice: Advice | None = None


def evidence(
    spend: Sequence[float],
    revenue: Sequence[float],
    margin: float,
    account_win_rate: float,
    caution: Caution = CAUTION,
) -> Evidence:
    """Returns and Kelly fractions of one series of days."""
    returns = daily_returns(spend, revenue, margin)
    lam = multiplier(len(returns), caution.kelly)
    return Evidence(
        daily_kelly(returns, lam, prior_var=caution.prior_variance),
        binary_of_days(returns, account_win_rate, caution.prior_days),
        lam,
    )


def win_rate(series: Sequence[Sequence[float]]) -> float:
    """Share of all campaign-days of the account that gained; a half where there are none."""
    n = sum(len(returns) for returns in series)
    return sum(x > 0 for returns in series for x in returns) / n if n else 0.5


def saturation(spend: Sequence[float], revenue: Sequence[float], margin: float) -> Saturation:
    """The daily spend beyond which the next unit loses money, where the days allow to tell."""
    active = [(s, r) for s, r in zip(spend, revenue, strict=True) if s > 0]
    dry = sum(r <= 0 for _, r in active)
    if dry > MAX_DRY_SHARE * len(active):
        return Saturation(
            None,
            f"{dry} of {len(active)} days with spend have no revenue, so the response to spend cannot be seen",
        )
    curve = fit_power(spend, revenue)
    if isinstance(curve, NoCurve):
        return Saturation(None, curve.reason)
    try:
        cap = power_cap(curve.c, curve.beta, margin)
    except OverflowError:
        cap = float("inf")
    if cap > REACH * max(s for s, _ in active):
        return Saturation(
            None,
            f"the next unit of spend pays for itself far beyond what was ever spent (more than {REACH} times)",
        )
    return Saturation(cap, None)


def current_budget(
    campaign: Campaign, newest_report: int, today: int, immature_days: int
) -> int | None:
    """Today's budget, minor units per day (module docstring); None before the campaign's first full day."""
    last = max(min(newest_report, today - 1), today - 1 - immature_days)
    first = min((day for day, spent in campaign.spend.items() if spent > 0), default=today)
    if first > last:
        return None
    days = range(max(first, last - CURRENT_DAYS + 1), last + 1)
    return round(sum(campaign.spend[day] for day in days) / len(days))


class Bet(NamedTuple):
    """What a campaign's budget is decided on; money in minor units per day."""

    evidence: Evidence
    cap: float | None
    current: int


def shared_fractions(evidences: Sequence[Evidence]) -> list[float | None]:
    """Each campaign's fraction where all share one bankroll: their own while those add up to at most 1, else the joint optimum."""
    alone = [each.returns.fraction for each in evidences]
    if sum(f for f in alone if f is not None) <= 1.0:
        return alone
    edges = [(each.multiplier or 0.0) * (each.returns.mu or 0.0) for each in evidences]
    # The joint optimum pays a price per unit of bankroll, which the smallest means are the first not to earn.
    chosen = sorted((i for i, f in enumerate(alone) if f), key=lambda i: -edges[i])[:MAX_CAMPAIGNS]
    variances = np.array([max(evidences[i].returns.v or 0.0, VARIANCE_FLOOR) for i in chosen])
    together = several(np.array([edges[i] for i in chosen]), np.diag(variances))
    found = dict(zip(chosen, together.tolist(), strict=True))
    return [None if f is None else found.get(i, 0.0) for i, f in enumerate(alone)]


def assess(campaigns: Sequence[Campaign], terms: Terms) -> tuple[list[Assessment], Evidence | None]:
    """Every campaign assessed, and the evidence of all those with spend in the shop's currency taken as one (None without a margin)."""
    days = terms.mature.days()
    own = [each for each in campaigns if each.spend_currency == terms.currency]
    series = [
        ([each.spend[day] for day in days], [each.revenue[day] for day in days]) for each in own
    ]
    together: Evidence | None = None
    evidences, saturations = dict[int, Evidence](), dict[int, Saturation]()
    if (margin := terms.margin) is not None:
        rate = win_rate([daily_returns(spend, revenue, margin) for spend, revenue in series])
        for index, (spend, revenue) in enumerate(series):
            evidences[index] = evidence(spend, revenue, margin, rate, terms.caution)
            saturations[index] = saturation(spend, revenue, margin)
        together = evidence(
            [sum(each.spend[day] for each in own) for day in days],
            [sum(each.revenue[day] for each in own) for day in days],
            margin,
            rate,
            terms.caution,
        )
    newest: dict[str, int] = {}
    for each in campaigns:
        newest[each.channel] = max(newest.get(each.channel, 0), max(each.spend, default=0))
    currents = [
        current_budget(each, newest[each.channel], terms.recent.last, terms.immature_days)
        for each in own
    ]
    bets = {
        index: Bet(evidences[index], saturations[index].cap, current)
        for index, current in enumerate(currents)
        if current is not None and index in evidences
    }
    advice = (
        dict(
            zip(
                bets,
                advise(list(bets.values()), terms.bankroll, terms.max_change, terms.seed),
                strict=True,
            )
        )
        if terms.bankroll
        else {}
    )
    assessed = [
        Assessment(
            each, currents[index], evidences.get(index), saturations.get(index), advice.get(index)
        )
        for index, each in enumerate(own)
    ]
    return assessed + [
        Assessment(each) for each in campaigns if each.spend_currency != terms.currency
    ], together


def advise(bets: Sequence[Bet], bankroll: int, max_change: float, seed: int) -> list[Advice]:
    """Recommended budgets of all campaigns: whole minor units, within the step, together at most `bankroll`."""
    shared = shared_fractions([bet.evidence for bet in bets])
    wanted = []
    for bet, f in zip(bets, shared, strict=True):
        told, own = (
            recommend(bet.current, bankroll, f, bet.cap, max_change=max_change, seed=seed),
            bet.evidence.returns.fraction,
        )
        if own is not None and f is not None and f < own and told.binding in ("kelly", "zero_edge"):
            told = Recommendation(told.target, told.budget, "bankroll", told.reason)
        wanted.append(told)
    fitted = within_bankroll(wanted, [bet.current for bet in bets], bankroll, max_change=max_change)
    units = [
        _whole(each.budget, bet.current, max_change) for each, bet in zip(fitted, bets, strict=True)
    ]
    if sum(units) > bankroll:
        units = [floor(each.budget) for each in fitted]
    return [
        Advice(
            unit,
            each.binding,
            f,
            each.pause,
            beyond_step=unit < floor(bet.current * (1 - max_change)),
        )
        for unit, each, f, bet in zip(units, fitted, shared, bets, strict=True)
    ]


def _whole(budget: float, current: int, max_change: float) -> int:
    """`budget` in whole minor units, still within the step (six digits absorb what a float adds to 0.7 * 100)."""
    if current <= 0:
        return floor(round(budget, 6))
    low, high = (
        ceil(round(current * (1 - max_change), 6)),
        floor(round(current * (1 + max_change), 6)),
    )
    return min(max(floor(round(budget, 6)), low), high)
