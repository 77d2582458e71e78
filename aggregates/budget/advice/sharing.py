"""Shares one bankroll among campaigns that together want more: empirical-Bayes means, then the
joint optimum within each campaign's bounds."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from aggregates.budget.advice.evidence import TrackRecord
from aggregates.budget.advice.kelly import VARIANCE_FLOOR, Posterior, posterior, predictive_variance

LEAST_SPREAD: Final = 1e-6
"""Of the campaigns' true means: a variance above zero keeps the formulas finite."""
LEAST_PRECISION: Final = 1e-6
"""Of the value of an order that never came."""
LEAST_RATIO: Final = 0.1
"""Of a campaign's rate or value by the account's, where its uncertainty is taken relative to it."""


class BankrollClaim(NamedTuple):
    """Bounds and return of one campaign's share of the bankroll; budgets per day in minor units."""

    low: float
    high: float
    edge: float
    """lambda times the mean return."""
    variance: float
    """Of the mean return over the horizon."""


def account_prior(means: Sequence[float], precisions: Sequence[float]) -> Posterior:
    """Mean and variance of the campaigns' true means, estimated from the campaigns themselves.

    Method of moments (DerSimonian & Laird 1986, "Meta-analysis in clinical trials", eq. 8): the
    scatter of the means beyond what their own uncertainty explains. Campaigns that differ by
    chance only are then the same, and the bankroll does not run after the luckiest.
    """
    total = sum(precisions)
    mean = sum(w * x for w, x in zip(precisions, means, strict=True)) / total
    scatter = sum(w * (x - mean) ** 2 for w, x in zip(precisions, means, strict=True))
    unit = total - sum(w * w for w in precisions) / total
    spread = (scatter - (len(means) - 1)) / unit if unit > 0 else 0.0
    spread = max(spread, LEAST_SPREAD)
    weights = [1.0 / (spread + 1.0 / w) for w in precisions]
    centre = sum(w * x for w, x in zip(weights, means, strict=True)) / sum(weights)
    return Posterior(centre, spread)


def compared_returns(records: Sequence[TrackRecord]) -> list[Posterior] | None:
    """Mean returns, from orders per spend and the value of an order, each compared by itself.

    Counts of orders are noisier than their values. Where campaigns hardly differ in one of the two,
    shrinkage takes that one's noise out of the comparison. None before the first order.
    """
    spend, orders = sum(each.spend for each in records), sum(each.orders for each in records)
    earned = sum(each.earned for each in records)
    if orders <= 0 or earned <= 0 or any(each.spend <= 0 for each in records):
        return None
    rate, value = orders / spend, earned / orders
    spread = sum(each.orders * each.value_variance for each in records) / orders
    # Both by the account's own, so that the relative variance of a count is 1 / its expectation.
    counts = [each.spend * rate for each in records]
    rates = compared([each.orders / n for each, n in zip(records, counts, strict=True)], counts)
    values = compared(
        [each.earned / each.orders / value if each.orders > 0 else 1.0 for each in records],
        [max(each.orders / spread, LEAST_PRECISION) for each in records],
    )
    found = []
    for its_rate, its_value in zip(rates, values, strict=True):
        gross = rate * value * its_rate.mean * its_value.mean
        relative = sum(
            each.variance / max(each.mean, LEAST_RATIO) ** 2 for each in (its_rate, its_value)
        )
        found.append(Posterior(gross - 1.0, gross * gross * relative))
    return found


def compared(means: Sequence[float], precisions: Sequence[float]) -> list[Posterior]:
    """Each campaign's mean, shrunk towards the account's (Efron & Morris 1975, JASA 70)."""
    prior = account_prior(means, precisions)
    return [
        posterior(x, w, 1.0 / prior.variance, prior.mean)
        for x, w in zip(means, precisions, strict=True)
    ]


def claim(
    low: float,
    high: float,
    mean: Posterior,
    fraction: float,
    day_variance: float,
    horizon_days: int,
) -> BankrollClaim:
    """A campaign's claim; `fraction` is lambda."""
    variance = predictive_variance(day_variance, mean.variance, horizon_days)
    return BankrollClaim(low, high, fraction * mean.mean, max(variance, VARIANCE_FLOOR))


def share(claims: Sequence[BankrollClaim], bankroll: float, available: float) -> list[float]:
    """Budgets within the claims' bounds that sum to `available`, or less if all are at their
    maximum.

    max f'm - f'V f / 2 with a diagonal V, where f are fractions of `bankroll`, within bounds and
    with sum f = available / bankroll (Thorp 2006, section 8; V diagonal since campaigns seldom
    share enough days for their correlations to be more than noise). At the price nu of a unit of
    bankroll every budget is clamp((m - nu) / v * bankroll, low, high), which falls with nu. If even
    the lower bounds do not fit, they are scaled.
    """
    if sum(each.high for each in claims) <= available:
        return [each.high for each in claims]
    lows = sum(each.low for each in claims)
    if lows >= available:
        return [each.low * available / lows if lows else 0.0 for each in claims]
    # The sum is piecewise linear in the price, with a corner where a budget meets a bound.
    corners = sorted(
        {
            each.edge - bound * each.variance / bankroll
            for each in claims
            for bound in (each.low, each.high)
        }
    )

    def budgets(price: float) -> list[float]:
        return [
            min(max((each.edge - price) / each.variance * bankroll, each.low), each.high)
            for each in claims
        ]

    cheap, dear = 0, len(corners) - 1
    while dear - cheap > 1:
        middle = (cheap + dear) // 2
        if sum(budgets(corners[middle])) > available:
            cheap = middle
        else:
            dear = middle
    # At the outer corners all are at a bound; set exactly, since a float may miss it by rounding.
    more = [each.high for each in claims] if cheap == 0 else budgets(corners[cheap])
    less = [each.low for each in claims] if dear == len(corners) - 1 else budgets(corners[dear])
    part = (available - sum(less)) / (sum(more) - sum(less))
    return [low + (high - low) * part for low, high in zip(less, more, strict=True)]
