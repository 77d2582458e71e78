"""Recovery potential: what the open carts are expected still to bring in, with bounds of 80 %
(docs/facts/analytics.md, "Recovery potential").

    potential = sum over open carts of value * P(completes by 7 days | still open at this age) * rho_s

rho_s, realised over carted value of completed carts, is shrunk to the shop's and that to 1, and at
most 1, so the potential never exceeds the open value.

Bounds of 80 %. The variance has two parts, both in closed form, so the same data always give the
same bounds:
- chance: each cart completes or not, v^2 rho^2 P (1 - P), carts being independent given the
  hazards;
- ignorance: the posterior variance of every hazard (Beta: h (1 - h) / (weight + 1)), carried
  through P by its derivative; the pooled hazards' part is common to all strata and added before
  squaring, a stratum's own part is not. The bounds are the 10 % and 90 % points of a distribution
  with that mean and variance made of two pieces: nothing comes in at all, with the chance that no
  cart completes (a Poisson number of completions whose rate is as uncertain as the hazards:
  negative binomial), and a Gamma for the sum where something does. A small shop's open carts are
  few payments' worth, so a normal's lower bound would fall below zero, and a plain Gamma's above
  it, where nothing is likely. They are widened to contain the mean.

`prior_driven`: the share of the generic curve in the estimate, 200 / (200 + carts at risk),
averaged with the weight each age interval has in the potential, is above 20 %; in other words fewer
than 800 carts have been seen at the ages where the money is.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from aggregates.arrays import Floats, Ints
from aggregates.carts.answer.survival import (
    BUCKET_H,
    GENERIC_HAZARDS,
    POOL_WEIGHT,
    STRATUM_WEIGHT,
    completion_probability,
    hazards,
    interval_share,
    pooled_hazards,
)

PRIOR_DRIVEN_ABOVE: Final = 0.2
RHO_WEIGHT: Final = 20.0  # completed carts that the level above counts for


@dataclass(frozen=True, slots=True)
class Potential:
    """Money in (fractional) minor units; `strata_*` one entry per stratum, probability None where it has no open cart."""

    open_carts: int
    open_value: int
    expected: float
    low: float
    high: float
    prior_weight: float
    prior_driven: bool
    strata_carts: tuple[int, ...]
    strata_value: tuple[int, ...]
    strata_expected: tuple[float, ...]
    strata_probability: tuple[float | None, ...]


def realised_share(carted: Ints, realised: Ints, completions: Ints) -> Floats:
    """rho per stratum, 0..1: value paid over value carted of completed carts (minor units), [strata] each."""
    count = int(completions.sum())
    mean = float(carted.sum()) / count if count else 1.0
    pseudo = RHO_WEIGHT * max(mean, 1e-9)
    pooled = (float(realised.sum()) + pseudo) / (float(carted.sum()) + pseudo)
    return np.clip((realised + pseudo * pooled) / (carted + pseudo), 0.0, 1.0)


def recovery_potential(
    completions: Ints,
    at_risk: Ints,
    open_carts: Ints,
    open_value: Ints,
    rho: Floats,
    *,
    open_value_squared: Floats | None = None,
    prior: Floats = GENERIC_HAZARDS,
    first_bucket: int = 0,
) -> Potential:
    """Potential of the open carts in buckets of 10 minutes of age, from `first_bucket` on (6: abandoned after an hour).

    `completions`, `at_risk` [strata, intervals] as in `aggregates.carts.answer.survival`; `open_carts`, `open_value` (minor units) [strata,
    buckets]; `rho` [strata]. A bucket's carts count at its middle age. `open_value_squared`, the sum of squared values, makes
    the chance part exact; without it a bucket's carts are taken to be worth the same.
    """
    carts, value = open_carts[:, first_bucket:], open_value[:, first_bucket:].astype(np.float64)
    squared = (
        value**2 / np.maximum(carts, 1)
        if open_value_squared is None
        else open_value_squared[:, first_bucket:]
    )
    age_h = (np.arange(first_bucket, first_bucket + carts.shape[1]) + 0.5) * BUCKET_H
    hazard = hazards(completions, at_risk, prior)
    chance = completion_probability(hazard, age_h)
    strata_expected = rho * (value * chance).sum(axis=1)
    expected = float(strata_expected.sum())
    by_luck = float((rho**2 * (squared * chance * (1.0 - chance)).sum(axis=1)).sum())
    # dP_s(a) / dh_sj = (1 - P) share_j(a) / (1 - h_sj); slope_sj sums it over open value.
    slope = (
        np.einsum("sa,aj->sj", value * (1.0 - chance), interval_share(age_h))
        * rho[:, None]
        / (1.0 - hazard)
    )
    by_ignorance = _ignorance(slope, hazard, completions, at_risk, prior)
    completing = float((carts * chance).sum())
    low, high = _bounds(expected, by_luck, by_ignorance, completing, float(value.sum()))
    weight = (slope * hazard).sum(axis=0)
    prior_share = POOL_WEIGHT / (POOL_WEIGHT + at_risk.sum(axis=0))
    prior_weight = (
        float(weight @ prior_share) / float(weight.sum())
        if weight.sum() > 0
        else float(prior_share.max())
    )
    strata_carts = carts.sum(axis=1)
    mean_chance = (carts * chance).sum(axis=1) / np.maximum(strata_carts, 1)
    return Potential(
        open_carts=int(carts.sum()),
        open_value=int(value.sum()),
        expected=expected,
        low=low,
        high=high,
        prior_weight=prior_weight,
        prior_driven=prior_weight > PRIOR_DRIVEN_ABOVE,
        strata_carts=tuple(int(n) for n in strata_carts),
        strata_value=tuple(int(v) for v in value.sum(axis=1)),
        strata_expected=tuple(float(e) for e in strata_expected),
        strata_probability=tuple(
            float(p) if n else None for p, n in zip(mean_chance, strata_carts, strict=True)
        ),
    )


def _ignorance(
    slope: Floats, hazard: Floats, completions: Ints, at_risk: Ints, prior: Floats
) -> float:
    pooled = pooled_hazards(completions, at_risk, prior)
    own = (slope**2 * hazard * (1.0 - hazard) / (at_risk + STRATUM_WEIGHT + 1.0)).sum()
    common = (slope * STRATUM_WEIGHT / (at_risk + STRATUM_WEIGHT)).sum(axis=0)
    shared = (common**2 * pooled * (1.0 - pooled) / (at_risk.sum(axis=0) + POOL_WEIGHT + 1.0)).sum()
    return float(own + shared)


def _bounds(
    mean: float, by_luck: float, by_ignorance: float, completing: float, most: float
) -> tuple[float, float]:
    """10 % and 90 % points around the mean and within 0..`most`; `completing` is the expected number of completions."""
    if mean <= 0.0 or by_luck <= 0.0:
        return mean, mean
    spread = by_ignorance / mean**2  # relative variance of the rate
    nothing = (
        float((1.0 + completing * spread) ** (-1.0 / spread))
        if spread > 1e-9
        else float(np.exp(-completing))
    )
    something = 1.0 - nothing
    centre = mean / something
    variance = max((by_luck + by_ignorance + mean**2) / something - centre**2, 1e-6 * centre**2)
    shape, scale = centre**2 / variance, variance / centre

    def point(q: float) -> float:
        return (
            float(special.gammaincinv(shape, (q - nothing) / something)) * scale
            if q > nothing
            else 0.0
        )

    return min(point(0.1), mean), min(max(point(0.9), mean), most)
