"""Where another unit of spend stops paying for itself: margin * R'(s) = 1 (docs/facts/analytics.md,
"Saturation").

R(s) is revenue against daily spend, as a power law c s^beta or a Hill curve V s^alpha / (k^alpha +
s^alpha). The power law is fitted from a campaign's own days, where spend has varied enough to see a
slope.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import optimize

MIN_DAYS: Final = 14
MIN_SPREAD: Final = 0.15  # standard deviation of ln spend: about 15 % of variation from day to day
MAX_STANDARD_ERROR: Final = 0.2  # of beta


@dataclass(frozen=True, slots=True)
class Power:
    """revenue = c * spend^beta, with the standard error of beta and the days it rests on."""

    c: float
    beta: float
    beta_se: float
    days: int


@dataclass(frozen=True, slots=True)
class NoCurve:
    reason: str


def fit_power(spend: Sequence[float], revenue: Sequence[float]) -> Power | NoCurve:
    """Least squares on logarithms over days with spend and revenue; NoCurve where the data do not allow it.

    c is corrected for retransformation by exp(s2 / 2), since the mean of a log-normal is above its median.
    """
    days = [(s, r) for s, r in zip(spend, revenue, strict=True) if s > 0 and r > 0]
    if len(days) < MIN_DAYS:
        return NoCurve(
            f"{len(days)} days with spend and revenue; a response curve needs {MIN_DAYS}"
        )
    log_s, log_r = np.log(np.array(days)).T
    if float(np.std(log_s)) < MIN_SPREAD:
        return NoCurve("daily spend has hardly varied, so the response to it cannot be seen")
    ds = log_s - log_s.mean()
    beta = float((ds * log_r).sum() / (ds**2).sum())
    residual = log_r - log_r.mean() - beta * ds
    variance = float((residual**2).sum()) / (len(days) - 2)
    se = float(np.sqrt(variance / (ds**2).sum()))
    if not 0.0 < beta < 1.0:
        return NoCurve(f"no diminishing return is visible (exponent {beta:.2f})")
    if se > MAX_STANDARD_ERROR:
        return NoCurve(f"the response to spend is too uncertain (exponent {beta:.2f} +- {se:.2f})")
    return Power(
        float(np.exp(log_r.mean() - beta * log_s.mean() + variance / 2)), beta, se, len(days)
    )


def power_cap(c: float, beta: float, margin: float) -> float:
    """s* = (m c beta)^(1 / (1 - beta)), for 0 < beta < 1 (ValueError else)."""
    if not 0.0 < beta < 1.0:
        raise ValueError(f"a power law saturates for 0 < beta < 1, not {beta}")
    return float((margin * c * beta) ** (1.0 / (1.0 - beta)))


def hill_cap(vmax: float, half: float, alpha: float, margin: float) -> float:
    """The profit-maximising spend under a Hill curve; 0 where no spend pays.

    alpha <= 1 is concave: the root of m R'(s) = 1, in closed form sqrt(m V k) - k at alpha = 1. alpha > 1 is S-shaped: the
    later root, beyond the steepest point, if profit there is positive.
    """

    def marginal(s: float) -> float:
        ratio = float((s / half) ** alpha)
        return margin * vmax * alpha * ratio / (s * (1.0 + ratio) ** 2) - 1.0

    if alpha == 1.0:
        return max(float(np.sqrt(margin * vmax * half)) - half, 0.0)
    steepest = (
        half * ((alpha - 1.0) / (alpha + 1.0)) ** (1.0 / alpha) if alpha > 1.0 else half * 1e-12
    )
    if marginal(steepest) <= 0.0:
        return 0.0
    upper = 2.0 * half
    while marginal(upper) > 0.0:
        upper *= 2.0
    root = float(optimize.brentq(marginal, steepest, upper, xtol=1e-10))
    ratio = (root / half) ** alpha
    return root if margin * vmax * ratio / (1.0 + ratio) > root else 0.0
