"""Gamma-Gamma: what a customer spends per order, apart from how often (Fader & Hardie 2013;
docs/facts/analytics.md, "Gamma-Gamma"). `v` is in the unit of the spend."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from aggregates.arrays import Floats, Ints
from aggregates.rfm.value.btyd import MIN_REPEATERS, NoPrediction
from aggregates.rfm.value.btyd_likelihood import dot
from aggregates.rfm.value.optimum import maximum

MAX_P: Final = 1e3
"""From here on a customer's orders differ by 3 % and less (coefficient of variation p ** -0.5)."""


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """Fitted p, q, v (`v` in the unit of the spend), and corr(x, z) over the customers fitted.

    The model assumes that frequency x and mean spend z are unrelated, hence the correlation.
    """

    p: float
    q: float
    v: float
    log_likelihood: float
    correlation: float


def fit_gamma_gamma(
    x: Ints, z: Floats, n: Ints, *, min_repeaters: int = MIN_REPEATERS
) -> GammaGamma | NoPrediction:
    """Maximum likelihood over cells: repeat purchase days `x`, their mean spend `z`, customers `n`.

    Customers without repeat spend are left out: the logarithm of a free order does not exist.
    """
    kept = (x > 0) & (z > 0) & (n > 0)
    x, z, weight = x[kept], z[kept], n[kept].astype(np.float64)
    repeaters = int(weight.sum())
    if repeaters < min_repeaters or repeaters == 0:
        needed = max(min_repeaters, 1)
        return NoPrediction(
            f"{repeaters} customers have spent again; predicting spend needs {needed}"
        )
    scale = dot(weight, z) / repeaters
    found = maximum(GammaGammaLikelihood(x, z / scale, weight), np.log([4.0, 3.0, 0.75]))
    p, q, v = np.exp(found.at).tolist() if found is not None else (np.inf, np.inf, np.inf)
    if found is None or found.at_bound or p > MAX_P:
        return NoPrediction("repeat orders differ too little from one another")
    log_likelihood = found.value - repeaters * float(np.log(scale))
    return GammaGamma(p, q, v * scale, log_likelihood, frequency_spend_correlation(x, z, weight))


def frequency_spend_correlation(x: Ints, z: Floats, weight: Floats) -> float:
    """Pearson's, weighted by customers; 0 where either does not vary."""
    total = weight.sum()
    dx, dz = x - dot(weight, x) / total, z - dot(weight, z) / total
    spread = float(np.sqrt(dot(weight, dx**2) * dot(weight, dz**2)))
    return dot(weight, dx * dz) / spread if spread > 0 else 0.0


class GammaGammaLikelihood:
    """Minus the mean of Fader & Hardie 2013, eq. 1a, per customer, and its gradient.

    Arguments are (ln p, ln q, ln v).
    """

    def __init__(self, x: Ints, z: Floats, weight: Floats) -> None:
        self.x, of = np.unique(x, return_inverse=True)
        self.n_of_x = np.bincount(of, weight, len(self.x))
        self.of, self.weight, self.total = of, weight, float(weight.sum())
        self.spent = x * z
        # Sums that no parameter changes: ln z, and x (ln z + ln x).
        self.log_z = dot(weight, np.log(z))
        self.x_log_spent = dot(weight, x * np.log(self.spent))

    def __call__(self, logs: Floats) -> tuple[float, Floats]:
        p, q, v = np.exp(logs)
        px, n_x = p * self.x, self.n_of_x
        gammas = special.gammaln(px + q) - special.gammaln(px) - special.gammaln(q) + q * np.log(v)
        psi = special.digamma(px + q)
        log_total = np.log(self.spent + v)
        by_x = np.bincount(self.of, self.weight * log_total, len(self.x))
        share = self.weight / (self.spent + v)
        value = n_x @ gammas + p * self.x_log_spent - self.log_z - (px + q) @ by_x
        d_p = (n_x * self.x) @ (psi - special.digamma(px)) + self.x_log_spent - self.x @ by_x
        d_q = n_x @ (psi - special.digamma(q) + np.log(v)) - by_x.sum()
        d_v = n_x.sum() * q / v - (px + q) @ np.bincount(self.of, share, len(self.x))
        return -float(value) / self.total, -np.array([d_p * p, d_q * q, d_v * v]) / self.total
