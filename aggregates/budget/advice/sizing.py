"""From campaigns' evidence to recommended daily budgets, all campaigns of one account together.

A budget is raised to what a cautious reading of the returns supports, and cut only if the mean
return is below zero with a high probability, or if the bankroll or saturation forces it. Between
the two it stays: few orders are no reason to stop.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import NamedTuple

from aggregates.budget.advice.evidence import Evidence
from aggregates.budget.advice.kelly import Caution
from aggregates.budget.advice.recommendation import (
    Binding,
    Recommendation,
    recommend,
    within_bankroll,
)
from aggregates.budget.advice.saturation import Saturation
from aggregates.budget.advice.sharing import claim, compared, compared_returns, share


class BudgetLimits(NamedTuple):
    """The bounds of all budgets; money in minor units per day."""

    bankroll: int
    seed: int
    """Where a campaign without a budget starts."""
    max_change: float
    caution: Caution


@dataclass(frozen=True, slots=True)
class Advice:
    """The advice on one campaign's budget, minor units per day."""

    recommended: int
    target: int
    """Where the budget heads, if the evidence stays as it is."""
    binding: Binding
    pause: bool = False
    beyond_step: bool = False
    """The bankroll forces a larger step down than `max_change`."""


class Bet(NamedTuple):
    """The basis of a campaign's budget; money in minor units per day."""

    evidence: Evidence
    saturation: Saturation
    current: int


def advise(bets: Sequence[Bet], limits: BudgetLimits, spent: int = 0) -> list[Advice]:
    """Budgets of all campaigns: whole minor units, within the step, together within the bankroll.

    `spent` of the bankroll goes to campaigns without advice.
    """
    if not bets:
        return []
    # Their spend never forces the others to more than the usual step.
    steps = floor(sum(bet.current for bet in bets) * (1.0 - limits.max_change))
    bankroll = max(limits.bankroll - spent, min(limits.bankroll, steps))
    wanted = [_wanted(bet, limits) for bet in bets]
    budgets = _fitted(wanted, bets, bankroll, limits)
    targets = _targets(wanted, bets, bankroll, limits)
    units = [
        _whole(budget, bet.current, limits.max_change)
        for budget, bet in zip(budgets, bets, strict=True)
    ]
    if sum(units) > bankroll:
        units = [floor(budget) for budget in budgets]
    return [
        Advice(
            recommended=unit,
            target=floor(round(target, 6)),
            binding="bankroll" if budget < each.budget - 1e-6 else each.binding,
            pause=each.pause,
            beyond_step=unit < floor(bet.current * (1 - limits.max_change)),
        )
        for unit, budget, target, each, bet in zip(
            units, budgets, targets, wanted, bets, strict=True
        )
    ]


def _wanted(bet: Bet, limits: BudgetLimits) -> Recommendation:
    """The campaign's budget if it had the whole bankroll."""
    fraction, p_positive = bet.evidence.fraction, bet.evidence.p_positive
    cap = bet.saturation.cap
    losing = p_positive is not None and 1.0 - p_positive >= limits.caution.cut_probability
    if fraction is not None:
        # Kelly's cautious fraction is where to raise to, not what to cut to.
        fraction = 0.0 if losing else max(fraction, bet.current / limits.bankroll)
    if cap is not None and cap < bet.current:
        # A budget is lowered only to the cap of the steepest plausible response.
        surely = bet.saturation.upper
        cap = float(bet.current) if surely is None else min(surely, float(bet.current))
    wanted = recommend(
        bet.current,
        limits.bankroll,
        fraction,
        cap,
        max_change=limits.max_change,
        seed=limits.seed,
    )
    if wanted.binding == "zero_edge" and not losing:
        return replace(wanted, binding="kelly", pause=False)
    return wanted


def _movable(wanted: Sequence[Recommendation], bets: Sequence[Bet]) -> list[int]:
    """Campaigns that share the bankroll: neither too young to judge nor being stopped."""
    return [i for i, each in enumerate(wanted) if bets[i].evidence.multiplier and not each.pause]


def _shared(
    bounds: dict[int, tuple[float, float]],
    bets: Sequence[Bet],
    available: float,
    limits: BudgetLimits,
) -> dict[int, float]:
    found = [bets[i].evidence for i in bounds]
    records = [each.record for each in found if each.record is not None]
    means = compared_returns(records) if len(records) == len(found) else None
    if means is None:
        means = compared([each.pooled_mean for each in found], [each.precision for each in found])
    claims = [
        claim(
            *bounds[i],
            mean,
            each.multiplier or 0.0,
            each.day_variance,
            limits.caution.horizon_days,
        )
        for i, mean, each in zip(bounds, means, found, strict=True)
    ]
    return dict(zip(bounds, share(claims, limits.bankroll, available), strict=True))


def _fitted(
    wanted: Sequence[Recommendation], bets: Sequence[Bet], bankroll: int, limits: BudgetLimits
) -> list[float]:
    """Tomorrow's budgets, within the bankroll."""
    budgets = [each.budget for each in wanted]
    movable = _movable(wanted, bets)
    lows = {i: min(budgets[i], bets[i].current * (1.0 - limits.max_change)) for i in movable}
    available = bankroll - sum(each for i, each in enumerate(budgets) if i not in lows)
    if sum(budgets) <= bankroll:
        return budgets
    if not movable or sum(lows.values()) > available:
        lowered = within_bankroll(
            wanted, [bet.current for bet in bets], bankroll, max_change=limits.max_change
        )
        return [each.budget for each in lowered]
    bounds = {i: (lows[i], budgets[i]) for i in movable}
    found = _shared(bounds, bets, available, limits)
    return [found.get(i, budget) for i, budget in enumerate(budgets)]


def _targets(
    wanted: Sequence[Recommendation], bets: Sequence[Bet], bankroll: int, limits: BudgetLimits
) -> list[float]:
    """The goals of all budgets together."""
    targets = [
        bet.current if each.target is None else each.target
        for each, bet in zip(wanted, bets, strict=True)
    ]
    if sum(targets) <= bankroll:
        return targets
    movable = _movable(wanted, bets)
    available = max(bankroll - sum(t for i, t in enumerate(targets) if i not in movable), 0.0)
    if not movable:
        return [each * bankroll / sum(targets) for each in targets]
    bounds = {i: (0.0, targets[i]) for i in movable}
    found = _shared(bounds, bets, available, limits)
    return [found.get(i, target) for i, target in enumerate(targets)]


def _whole(budget: float, current: int, max_change: float) -> int:
    """`budget` in whole minor units, still within the step.

    Six digits absorb what a float adds to 0.7 * 100.
    """
    if current <= 0:
        return floor(round(budget, 6))
    low = ceil(round(current * (1 - max_change), 6))
    high = floor(round(current * (1 + max_change), 6))
    return min(max(floor(round(budget, 6)), low), high)
