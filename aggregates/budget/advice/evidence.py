"""From a campaign's judged days to its mean return and a share of the bankroll."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final, NamedTuple

from scipy import special

from aggregates.budget.advice.kelly import (
    MIN_DAYS,
    VARIANCE_FLOOR,
    Binary,
    Caution,
    binary_of_days,
    continuous,
    daily_returns,
    multiplier,
    posterior,
    predictive_variance,
)

CAUTION: Final = Caution()
PRIOR_ORDERS: Final = 10.0
"""Orders for which the shop's average order value counts in a campaign's."""
LEAST_VALUE_VARIANCE: Final = 0.05
"""Of an order's value by its mean squared: a shop of one price has little, and none is known to
have none."""
MEMORY_ORDERS: Final = 100.0
"""Up to so many break-even orders, days before the judged ones are remembered."""


class EvidenceDay(NamedTuple):
    """One campaign-day; money in minor units. The bet is its return x = margin * revenue / spend -
    1."""

    spend: float
    revenue: float
    orders: int


class TrackRecord(NamedTuple):
    """What a campaign did, so far as it counts; money in minor units."""

    spend: float
    orders: float
    earned: float
    """Margin of the revenue."""
    value_variance: float
    """Of an order's value, by its mean squared."""


class Stakes(NamedTuple):
    """The basis on which every campaign of the account is judged; money in minor units."""

    margin: float
    order_value: float
    """The shop's average order value, 0 where it had no order."""
    bankroll: int | None
    """Per day."""
    win_rate: float = 0.5
    """Share of the account's campaign-days that gained."""
    caution: Caution = CAUTION


@dataclass(frozen=True, slots=True)
class Evidence:
    """The judged days of one campaign, weighted by spend. Below 2 days there is no spread, below 7
    no advice."""

    n: int
    mean: float | None
    """margin * revenue / spend - 1 of all judged days together: each day weighs by its spend."""
    sd: float | None
    """Of a day's return at the mean daily spend."""
    precision: float
    """Orders that the judged and the remembered spend needed to break even: 1 / variance of
    `pooled_mean`."""
    pooled_mean: float
    """Mean return of the judged and the remembered days."""
    shrunk_mean: float | None
    horizon_variance: float | None
    """Of the mean return over the horizon, at the bankroll's spend."""
    day_variance: float
    """Of a day's return at the bankroll's spend."""
    p_positive: float | None
    """P(mean return > 0)."""
    binary: Binary
    multiplier: float | None
    """lambda; None below 7 days."""
    fraction: float | None
    """lambda * shrunk_mean / horizon_variance, within 0 and 1: of the bankroll."""
    record: TrackRecord | None = None
    """Of the judged and the remembered days; None below 2 days."""


def money_variance(days: Sequence[EvidenceDay], margin: float, order_value: float) -> float:
    """psi: variance of a day's margin per unit of margin expected, in minor units.

    Orders come as a Poisson count, so the variance of a day's margin grows with its spend:
    Var(margin * revenue) = psi * expected margin, with psi the margin of one order for orders of
    one value, and more for mixed ones (compound Poisson). psi is estimated as in quasi-likelihood
    (McCullagh & Nelder 1989, 4.5.2) with residuals in money, not in returns, as in the variance of
    a ratio (Cochran 1977, 6.4): a day of hardly any spend has a wild return but ordinary money.
    It is at least the margin of one order: few orders are never certainty.
    """
    spend, earned = sum(day.spend for day in days), margin * sum(day.revenue for day in days)
    orders, n = sum(day.orders for day in days), len(days)
    per_unit = earned / spend
    residual = sum((margin * day.revenue - per_unit * day.spend) ** 2 for day in days)
    observed = n / (n - 1) * residual / earned if n > 1 and earned > 0 else 0.0
    prior = PRIOR_ORDERS if order_value > 0 else 0.0
    counted = orders + prior
    one_order = (earned + prior * margin * order_value) / counted if counted > 0 else 0.0
    return max(observed, one_order, VARIANCE_FLOOR * spend / n)


def evidence(
    days: Sequence[EvidenceDay], stakes: Stakes, older: Sequence[EvidenceDay] = ()
) -> Evidence:
    """Returns and fractions from the judged `days`; `older` are judged days before those.

    The prior has no edge, with the caution's variance. `older` days count in it as far as the
    judged ones hold few orders (a power prior: Ibrahim & Chen 2000, Statistical Science 15(1)), so
    a campaign of one order a day is not judged anew every month.
    """
    days = [day for day in days if day.spend > 0]
    n, caution = len(days), stakes.caution
    spend, earned = sum(d.spend for d in days), stakes.margin * sum(d.revenue for d in days)
    returns = daily_returns([d.spend for d in days], [d.revenue for d in days], stakes.margin)
    binary = binary_of_days(
        returns, stakes.win_rate, caution.prior_days, [day.spend for day in days]
    )
    lam = multiplier(n, caution.kelly)
    if n < 2:
        mean = earned / spend - 1.0 if n else None
        return Evidence(
            n, mean, None, 0.0, 0.0, None, None, 0.0, None, binary, lam, None
        )  # fmt: skip
    mean = earned / spend - 1.0
    psi = money_variance(days, stakes.margin, stakes.order_value)
    precision = spend / psi
    before = sum(day.spend for day in older)
    remembered = min(before / psi, max(0.0, MEMORY_ORDERS - precision))
    pooled = mean
    if remembered > 0:
        earlier = stakes.margin * sum(day.revenue for day in older) / before - 1.0
        pooled = (precision * mean + remembered * earlier) / (precision + remembered)
    precision += remembered
    kept = remembered * psi / before if before > 0 else 0.0
    shrunk = posterior(pooled, precision, 1.0 / caution.prior_variance)
    day_variance = psi / (stakes.bankroll or spend / n)
    variance = predictive_variance(day_variance, shrunk.variance, caution.horizon_days)
    residual = sum((stakes.margin * d.revenue - (1.0 + mean) * d.spend) ** 2 for d in days)
    return Evidence(
        n=n,
        mean=mean,
        sd=sqrt(residual / (n - 1)) / (spend / n),
        precision=precision,
        pooled_mean=pooled,
        shrunk_mean=shrunk.mean,
        horizon_variance=variance,
        day_variance=day_variance,
        p_positive=_p_positive(shrunk.mean, shrunk.variance, n),
        binary=binary,
        multiplier=lam,
        fraction=None if lam is None else continuous(shrunk.mean, variance, lam),
        record=_record(days, older, kept, psi, stakes.margin),
    )


def _record(
    days: Sequence[EvidenceDay],
    older: Sequence[EvidenceDay],
    kept: float,
    psi: float,
    margin: float,
) -> TrackRecord:
    """The judged days whole, and of the older ones the part that is remembered."""
    orders = sum(day.orders for day in days) + kept * sum(day.orders for day in older)
    earned = sum(day.revenue for day in days) + kept * sum(day.revenue for day in older)
    earned *= margin
    # Compound Poisson: psi is the margin of one order times (1 + the variance of its value).
    beyond = psi * orders / earned - 1.0 if earned > 0 else 0.0
    return TrackRecord(
        sum(day.spend for day in days) + kept * sum(day.spend for day in older),
        orders,
        earned,
        max(beyond, LEAST_VALUE_VARIANCE),
    )


def _p_positive(mean: float, variance: float, n: int) -> float | None:
    """Student's t with n - 1 degrees of freedom: the variance is estimated from the same days."""
    return float(special.stdtr(n - 1, mean / sqrt(variance))) if n >= MIN_DAYS else None


def win_rate(series: Sequence[Sequence[EvidenceDay]], margin: float) -> float:
    """Share of the account's spend on days that gained; a half if there are none."""
    days = [day for each in series for day in each if day.spend > 0]
    spend = sum(day.spend for day in days)
    won = sum(day.spend for day in days if margin * day.revenue > day.spend)
    return won / spend if spend else 0.5
