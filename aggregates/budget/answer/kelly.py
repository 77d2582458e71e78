"""Kelly fractions of an ad bankroll, one campaign at a time (docs/facts/analytics.md, "Kelly
fractions").

The bet is a campaign-day: x = margin * revenue / spend - 1, for days with spend. The default is the
continuous form on a shrunk mean,

    mu = (n mean / s2 + m0 / tau2) / (n / s2 + 1 / tau2)
    v = s2 + 1 / (n / s2 + 1 / tau2),   f = clamp(lambda mu / v, 0, 1)

with lambda by the days of evidence ("Which Kelly multiple"). The binary form f = p - (1 - p) / b is
a baseline beside it. Fractions are of the bankroll, returns per unit of spend; None means "not
known", never zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
from scipy import special

PRIOR_STRENGTH: Final = 10.0  # kappa: days that the account's own win rate counts for
PRIOR_VARIANCE: Final = 0.04  # tau^2 of a campaign's mean daily return
VARIANCE_FLOOR: Final = 1e-4
MIN_DAYS: Final = 7
FULL_EVIDENCE_DAYS: Final = 30
FULL_EVIDENCE_KELLY: Final = 0.5  # lambda


@dataclass(frozen=True, slots=True)
class Caution:
    """How boldly fractions are drawn from how little."""

    kelly: float = FULL_EVIDENCE_KELLY
    """lambda from 30 days on; half of it below."""
    prior_days: float = PRIOR_STRENGTH
    prior_variance: float = PRIOR_VARIANCE


@dataclass(frozen=True, slots=True)
class DailyReturns:
    """Returns of the days with spend, and what follows from them; `reason` where the fraction is None.

    `mean`, `var` (sample, n - 1) None below 2 days; `mu` is the shrunk mean, `v` the predictive variance of a day,
    `p_positive` = P(mean return > 0) under the posterior.
    """

    n: int
    returns: tuple[float, ...]
    mean: float | None
    var: float | None
    mu: float | None
    v: float | None
    p_positive: float | None
    fraction: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Binary:
    """Win probability, net odds and the fraction of the two-outcome bet; `reason` where it cannot be told."""

    p: float | None
    b: float | None
    fraction: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Click:
    """The click as a bet, for display only: `b` = margin * aov / cpc - 1, expected value per unit of spend."""

    p: float
    b: float | None
    fraction: float | None
    ev_per_dollar: float | None


def binary(p: float, b: float) -> float:
    """f = clamp(p - (1 - p) / b, 0, 1); 0 where the odds `b` offer no gain."""
    return _clamp(p - (1.0 - p) / b) if b > 0 else 0.0


def partial_loss_uncapped(p: float, gain: float, loss: float) -> float:
    """f = p / loss - (1 - p) / gain: win `gain` or lose `loss` per unit staked, both > 0 (ValueError else)."""
    if gain <= 0 or loss <= 0:
        raise ValueError(f"gain and loss per unit must be positive, not {gain} and {loss}")
    return p / loss - (1.0 - p) / gain


def partial_loss(p: float, gain: float, loss: float) -> float:
    """`partial_loss_uncapped`, clamped to 0..1."""
    return _clamp(partial_loss_uncapped(p, gain, loss))


def shrunk_probability(
    wins: float, n: float, prior_p: float, prior_strength: float = PRIOR_STRENGTH
) -> float:
    """(wins + kappa p0) / (n + kappa): for a binary bet the posterior mean is growth-optimal (Medo et al., 0803.1364)."""
    return (wins + prior_strength * prior_p) / (n + prior_strength)


def continuous(
    mu: float, var: float, fraction: float, cap: float = 1.0, var_floor: float = VARIANCE_FLOOR
) -> float:
    """f = clamp(lambda mu / max(var, floor), 0, cap)."""
    return _clamp(fraction * mu / max(var, var_floor), cap)


def multiplier(days: int, kelly: float = FULL_EVIDENCE_KELLY) -> float | None:
    """lambda by days of evidence: None below 7 (no advice), half of `kelly` below 30, else `kelly`."""
    if days < MIN_DAYS:
        return None
    return kelly / 2 if days < FULL_EVIDENCE_DAYS else kelly


def daily_returns(
    spend: Sequence[float], revenue: Sequence[float], margin: float
) -> tuple[float, ...]:
    """margin * revenue / spend - 1 for each day with spend; a day without is no bet."""
    return tuple(margin * r / s - 1.0 for s, r in zip(spend, revenue, strict=True) if s > 0)


def daily_kelly(
    returns: Sequence[float],
    fraction: float | None,
    *,
    prior_mean: float = 0.0,
    prior_var: float = PRIOR_VARIANCE,
    min_days: int = MIN_DAYS,
    cap: float = 1.0,
) -> DailyReturns:
    """The continuous fraction of a campaign from its daily returns; `fraction` is lambda (None: no advice yet).

    A variance below the floor counts as the floor, in the shrinkage too, so that a few equal days do not pass for certainty.
    """
    n, kept = len(returns), tuple(returns)
    if n < 2:
        mean = kept[0] if kept else None
        return DailyReturns(n, kept, mean, None, None, None, None, None, "insufficient_data")
    mean, var = float(np.mean(kept)), float(np.var(kept, ddof=1))
    evidence = n / max(var, VARIANCE_FLOOR)
    precision = evidence + 1.0 / prior_var
    mu = (evidence * mean + prior_mean / prior_var) / precision
    v = var + 1.0 / precision
    p_positive = float(special.ndtr(mu * sqrt(precision)))
    if n < min_days or fraction is None:
        return DailyReturns(n, kept, mean, var, mu, v, p_positive, None, "insufficient_data")
    return DailyReturns(
        n, kept, mean, var, mu, v, p_positive, continuous(mu, v, fraction, cap), None
    )


def binary_of_days(
    returns: Sequence[float], account_win_rate: float, prior_strength: float = PRIOR_STRENGTH
) -> Binary:
    """The specification's p and b from days: p the shrunk share of winning days, b = mean gain / mean loss.

    The fraction is that of the binary form in which a losing day loses one unit and a winning one gains b.
    """
    gains, losses = [x for x in returns if x > 0], [-x for x in returns if x < 0]
    if not returns:
        return Binary(None, None, None, "no day with spend")
    p = shrunk_probability(len(gains), len(returns), account_win_rate, prior_strength)
    if not losses:
        return Binary(p, None, None, "no losing day yet: the odds are unknown")
    if not gains:
        return Binary(p, None, None, "no winning day yet: the odds are unknown")
    b = (sum(gains) / len(gains)) / (sum(losses) / len(losses))
    return Binary(p, b, binary(p, b))


def click(
    clicks: int,
    orders: int,
    aov: float,
    margin: float | None,
    cpc: float,
    prior_p: float,
    prior_strength: float,
) -> Click:
    """The click-level bet; odds, fraction and expected value None where a click cost nothing, there was none, or the margin is unknown."""
    p = shrunk_probability(orders, clicks, prior_p, prior_strength)
    if cpc <= 0 or margin is None:
        return Click(p, None, None, None)
    b = margin * aov / cpc - 1.0
    return Click(p, b, binary(p, b) if b > 0 else None, p * (b + 1.0) - 1.0)


def _clamp(value: float, cap: float = 1.0) -> float:
    return min(max(value, 0.0), cap)
