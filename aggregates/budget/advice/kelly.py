"""Kelly fractions: the share of a bankroll to stake on a bet, by closed formulas. A return is per
unit of spend; None means unknown, never zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

PRIOR_STRENGTH: Final = 10.0  # kappa: days that the account's own win rate counts for
PRIOR_VARIANCE: Final = 0.04  # tau^2 of a campaign's mean daily return
VARIANCE_FLOOR: Final = 1e-4
MIN_DAYS: Final = 7
FULL_EVIDENCE_DAYS: Final = 30
FULL_EVIDENCE_KELLY: Final = 0.5  # lambda
HORIZON_DAYS: Final = 30
CUT_PROBABILITY: Final = 0.75  # three to one


@dataclass(frozen=True, slots=True)
class Caution:
    """How boldly budgets are advised from little evidence. All of it is judgement."""

    kelly: float = FULL_EVIDENCE_KELLY
    """lambda from 30 days on; half of it below."""
    prior_days: float = PRIOR_STRENGTH
    prior_variance: float = PRIOR_VARIANCE
    horizon_days: int = HORIZON_DAYS
    """The bankroll against which risk is measured, in days of `bankroll_per_day`."""
    cut_probability: float = CUT_PROBABILITY
    """P(mean return < 0) from which a budget is cut."""


class Posterior(NamedTuple):
    """A mean after shrinkage, and how uncertain it still is."""

    mean: float
    variance: float


class Binary(NamedTuple):
    """Win probability, net odds and the fraction of the two-outcome bet; `reason` if null."""

    p: float | None
    b: float | None
    fraction: float | None
    reason: str | None = None


def binary(p: float, b: float) -> float:
    """f = clamp(p - (1 - p) / b, 0, 1); 0 if the odds `b` offer no gain. Kelly 1956, "A New
    Interpretation of Information Rate"."""
    return _clamp(p - (1.0 - p) / b) if b > 0 else 0.0


def shrunk_probability(
    wins: float, n: float, prior_p: float, prior_strength: float = PRIOR_STRENGTH
) -> float:
    """(wins + kappa p0) / (n + kappa).

    For a binary bet the posterior mean is growth-optimal (Medo, Pis'mak & Zhang 2008,
    arXiv:0803.1364).
    """
    return (wins + prior_strength * prior_p) / (n + prior_strength)


def continuous(
    mu: float, var: float, fraction: float, cap: float = 1.0, var_floor: float = VARIANCE_FLOOR
) -> float:
    """f = clamp(lambda mu / max(var, floor), 0, cap). Thorp 2006, "The Kelly Criterion in
    Blackjack, Sports Betting and the Stock Market", section 7.

    lambda < 1 is fractional Kelly: less growth, far less risk (MacLean, Thorp & Ziemba 2010, "Good
    and bad properties of the Kelly criterion").
    """
    return _clamp(fraction * mu / max(var, var_floor), cap)


def posterior(
    mean: float, precision: float, prior_precision: float, prior_mean: float = 0.0
) -> Posterior:
    """Normal mean with a normal prior: a mean weighted by precision (1 / variance).

    An estimated mean stakes too much, so it is drawn towards no edge (Baker & McHale 2013,
    "Optimal Betting Under Parameter Uncertainty", Decision Analysis 10(3)).
    """
    total = precision + prior_precision
    return Posterior((precision * mean + prior_precision * prior_mean) / total, 1.0 / total)


def predictive_variance(day_variance: float, posterior_variance: float, days: int = 1) -> float:
    """Variance of the mean return of `days` days to come.

    Days average out, the uncertainty about their common mean does not.
    """
    return day_variance / days + posterior_variance


def multiplier(days: int, kelly: float = FULL_EVIDENCE_KELLY) -> float | None:
    """lambda by days of evidence: None below 7 (no advice), half of `kelly` below 30.

    On 14 days, full Kelly loses what half Kelly gains (docs/facts/analytics.md, "Which Kelly
    multiple").
    """
    if days < MIN_DAYS:
        return None
    return kelly / 2 if days < FULL_EVIDENCE_DAYS else kelly


def daily_returns(
    spend: Sequence[float], revenue: Sequence[float], margin: float
) -> tuple[float, ...]:
    """margin * revenue / spend - 1 for each day with spend; a day without is no bet."""
    return tuple(margin * r / s - 1.0 for s, r in zip(spend, revenue, strict=True) if s > 0)


def binary_of_days(
    returns: Sequence[float],
    account_win_rate: float,
    prior_strength: float = PRIOR_STRENGTH,
    weights: Sequence[float] | None = None,
) -> Binary:
    """p, the shrunk share of winning days, and b = mean gain / mean loss; a baseline.

    `weights` are the days' spend (equal where not given): a day counts by its stake.
    """
    if not returns:
        return Binary(None, None, None, "no day with spend")
    weights = [1.0] * len(returns) if weights is None else weights
    share = len(returns) / sum(weights)
    gains = [(x, w) for x, w in zip(returns, weights, strict=True) if x > 0]
    losses = [(-x, w) for x, w in zip(returns, weights, strict=True) if x < 0]
    wins = share * sum(w for _, w in gains)
    p = shrunk_probability(wins, len(returns), account_win_rate, prior_strength)
    if not losses:
        return Binary(p, None, None, "no losing day yet: the odds are unknown")
    if not gains:
        return Binary(p, None, None, "no winning day yet: the odds are unknown")
    b = _weighted_mean(gains) / _weighted_mean(losses)
    return Binary(p, b, binary(p, b))


def _weighted_mean(values: Sequence[tuple[float, float]]) -> float:
    return sum(x * w for x, w in values) / sum(w for _, w in values)


def _clamp(value: float, cap: float = 1.0) -> float:
    return min(max(value, 0.0), cap)
