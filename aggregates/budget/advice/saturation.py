"""Finds the spend beyond which another unit does not pay for itself: margin * R'(s) = 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from aggregates.budget.advice.evidence import EvidenceDay

MIN_DAYS: Final = 14
MIN_SPREAD: Final = 0.15  # standard deviation of ln spend: about 15 % of variation from day to day
MIN_EFFECTIVE_DAYS: Final = 5  # that the slope rests on
MAX_STANDARD_ERROR: Final = 0.2  # of beta
MAX_DRY_SHARE: Final = 0.2
"""Days with spend and no revenue have no logarithm; leaving out more than these would lie."""
REACH: Final = 10
"""A cap beyond this many times the largest spend seen is outside what the data can say."""


@dataclass(frozen=True, slots=True)
class Power:
    """revenue = c * spend^beta, with the standard error of beta and the days it rests on."""

    c: float
    beta: float
    beta_se: float
    days: int
    centre: float = 0.0
    """Mean of ln spend: there the fitted curve is the same for every beta."""

    def steeper(self, standard_errors: float) -> "Power":
        """The curve through the same centre with beta larger by so many standard errors."""
        beta = self.beta + standard_errors * self.beta_se
        c = float(self.c * np.exp((self.beta - beta) * self.centre))
        return Power(c, beta, self.beta_se, self.days, self.centre)


@dataclass(frozen=True, slots=True)
class NoCurve:
    """Why the data allow no curve."""

    reason: str


@dataclass(frozen=True, slots=True)
class Saturation:
    """Minor units per day, or why there is none."""

    cap: float | None
    """Where the next unit of spend just pays, by the fitted curve."""
    reason: str | None
    upper: float | None = None
    """The same by a curve as steep as it may well be; None where that one never saturates."""


def saturation(days: Sequence[EvidenceDay], margin: float, surely: float) -> Saturation:
    """The daily spend beyond which the next unit loses money, if the days allow an estimate.

    `surely` is the probability with which the true cap is below `upper`.
    """
    dry = sum(day.revenue <= 0 for day in days)
    if dry > MAX_DRY_SHARE * len(days):
        return Saturation(
            None,
            f"{dry} of {len(days)} days with spend have no revenue, so the response to spend "
            "cannot be seen",
        )
    curve = fit_power([day.spend for day in days], [day.revenue for day in days])
    if isinstance(curve, NoCurve):
        return Saturation(None, curve.reason)
    largest = REACH * max(day.spend for day in days)
    cap = _cap(curve, margin)
    if cap is None or cap > largest:
        return Saturation(
            None,
            "the next unit of spend pays for itself far beyond what was ever spent "
            f"(more than {REACH} times)",
        )
    return Saturation(cap, None, _cap(curve.steeper(float(special.ndtri(surely))), margin))


def _cap(curve: Power, margin: float) -> float | None:
    try:
        return power_cap(curve.c, curve.beta, margin) if curve.beta < 1.0 else None
    except OverflowError:
        return None


def fit_power(spend: Sequence[float], revenue: Sequence[float]) -> Power | NoCurve:
    """Fits revenue against daily spend as a power law c s^beta: least squares on logarithms over
    days with spend and revenue, each weighted by its spend.

    Orders are counts, so the variance of ln revenue falls with spend: that is the right weight.
    NoCurve if spend varied too little to see a slope. c is corrected for retransformation by exp(s2
    / 2), since the mean of a log-normal is above its median.
    """
    days = [(s, r) for s, r in zip(spend, revenue, strict=True) if s > 0 and r > 0]
    if len(days) < MIN_DAYS:
        return NoCurve(
            f"{len(days)} days with spend and revenue; a response curve needs {MIN_DAYS}"
        )
    pairs = np.array(days)
    weight = pairs[:, 0] / pairs[:, 0].mean()
    log_s, log_r = np.log(pairs).T
    centre, level = float(np.mean(weight * log_s)), float(np.mean(weight * log_r))
    ds = log_s - centre
    leverage = weight * ds**2
    spread = float(leverage.sum())
    if spread < MIN_SPREAD**2 * len(days):
        return NoCurve("daily spend has hardly varied, so the response to it cannot be seen")
    # Kish's effective number: a single day unlike all others draws no curve.
    if spread**2 / float((leverage**2).sum()) < MIN_EFFECTIVE_DAYS:
        return NoCurve("spend has varied on too few days, so the response to it cannot be seen")
    beta = float((weight * ds * log_r).sum() / spread)
    residual = log_r - level - beta * ds
    variance = float((weight * residual**2).sum()) / (len(days) - 2)
    se = float(np.sqrt(variance / spread))
    if not 0.0 < beta < 1.0:
        return NoCurve(f"no diminishing return is visible (exponent {beta:.2f})")
    if se > MAX_STANDARD_ERROR:
        return NoCurve(f"the response to spend is too uncertain (exponent {beta:.2f} +- {se:.2f})")
    c = float(np.exp(level - beta * centre + variance / 2))
    return Power(c, beta, se, len(days), centre)


def power_cap(c: float, beta: float, margin: float) -> float:
    """s* = (m c beta)^(1 / (1 - beta)), for 0 < beta < 1 (ValueError else)."""
    if not 0.0 < beta < 1.0:
        raise ValueError(f"a power law saturates for 0 < beta < 1, not {beta}")
    return float((margin * c * beta) ** (1.0 / (1.0 - beta)))
