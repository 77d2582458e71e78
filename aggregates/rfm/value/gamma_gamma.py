"""Gamma-Gamma: what a customer spends per order, apart from how often (docs/facts/analytics.md,
"Gamma-Gamma", "Guards").

z is the mean spend of the x *repeat* purchase days. Fitted on cells with a count, like the purchase
model. Money enters in any unit, and `v` comes back in the same one; inside it is scaled to mean 1.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import optimize, special

from aggregates.arrays import Floats, Ints
from aggregates.rfm.value.btyd import MIN_REPEATERS, CannotTell, dot

BIN_RATIO: Final = 1.02


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """Fitted p, q and v (gamma in the papers; in the unit of the spend), and corr(x, z) over the customers fitted."""

    p: float
    q: float
    v: float
    log_likelihood: float
    correlation: float


def money_cells(x: Ints, z: Floats, ratio: float = BIN_RATIO) -> tuple[Ints, Floats, Ints]:
    """Cells (x, mean z of the bin, n) of single customers, bins of z growing by `ratio`; z <= 0 left out."""
    kept = (x > 0) & (z > 0)
    x, z = x[kept], z[kept]
    bins = np.floor(np.log(z) / np.log(ratio)).astype(np.int64)
    width = int(bins.max() - bins.min()) + 1 if len(bins) else 1
    keys, of = np.unique(
        x * width + (bins - bins.min() if len(bins) else bins), return_inverse=True
    )
    n = np.bincount(of).astype(np.int64)
    return keys // width, np.bincount(of, z) / n, n


def fit_gamma_gamma(
    x: Ints,
    z: Floats,
    n: Ints,
    *,
    start: GammaGamma | None = None,
    min_repeaters: int = MIN_REPEATERS,
) -> GammaGamma | CannotTell:
    """Maximum likelihood over cells: repeat purchase days `x`, mean spend of them `z`, customers `n`."""
    kept = (x > 0) & (z > 0) & (n > 0)
    x, z, weight = x[kept], z[kept], n[kept].astype(np.float64)
    repeaters = int(weight.sum())
    if repeaters < min_repeaters or repeaters == 0:
        return CannotTell(
            f"{repeaters} customers have spent again; predicting spend needs {max(min_repeaters, 1)}"
        )
    scale = dot(weight, z) / repeaters
    guess = np.log([start.p, start.q, start.v / scale] if start else [4.0, 3.0, 0.75])
    result = optimize.minimize(
        _Likelihood(x, z / scale, weight), guess, jac=True, method="L-BFGS-B", bounds=[(-14.0, 14.0)] * 3,
        options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 300},
    )  # fmt: skip
    p, q, v = (float(value) for value in np.exp(result.x))
    flat = bool(result.success) or float(np.max(np.abs(result.jac))) < 1e-5
    if not flat or max(p, q, v) > 1e6 or not np.all(np.isfinite(result.x)):
        return CannotTell("the spend model did not converge on these customers")
    if q <= 1.0:
        return CannotTell(
            "the spend model has no finite mean here (q <= 1): a few customers spend without bound"
        )
    log_likelihood = -float(result.fun) * repeaters - repeaters * float(np.log(scale))
    return GammaGamma(p, q, v * scale, log_likelihood, frequency_spend_correlation(x, z, weight))


def expected_value(model: GammaGamma, x: Ints, z: Floats) -> Floats:
    """E[M | x, z] = p (v + x z) / (p x + q - 1): mean spend per order, in the unit of `v`; at x = 0 that of the base."""
    return model.p * (model.v + x * z) / (model.p * x + model.q - 1.0)


def frequency_spend_correlation(x: Ints, z: Floats, weight: Floats) -> float:
    """Pearson's, weighted by customers; 0 where either does not vary."""
    total = weight.sum()
    dx, dz = x - dot(weight, x) / total, z - dot(weight, z) / total
    spread = float(np.sqrt(dot(weight, dx**2) * dot(weight, dz**2)))
    return dot(weight, dx * dz) / spread if spread > 0 else 0.0


class _Likelihood:
    """Minus the mean log-likelihood per customer and its gradient, in (ln p, ln q, ln v)."""

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
