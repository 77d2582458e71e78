"""Recovery potential: the revenue that open carts are expected to bring without reminders, with
bounds of 80 % (docs/facts/analytics.md, "Recovery potential").

    potential = sum over open carts of value x P(ordered within 7 days | idle at its age) x rho
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from aggregates.arrays import Bools, Floats, Ints, total
from aggregates.carts.answer.histogram import STRATA, Open
from aggregates.carts.answer.survival import (
    BUCKET_H,
    LEVELS,
    OPEN_BUCKETS,
    Hazards,
    completion_probability,
    worth_by_interval,
)
from aggregates.carts.answer.total_distribution import Interval, interval

PRIOR_DRIVEN_ABOVE: Final = 0.2
"""Fewer than 800 spells have been observed at the ages where the money is."""
RHO_WEIGHT: Final = 20.0
"""Completed carts that the level above counts for."""


@dataclass(frozen=True, slots=True)
class Potential:
    """Money in (fractional) minor units; `strata_*` has one entry per stratum.

    `prior_weight` is the generic curve's share in the estimate. A stratum's probability is None
    without open carts.
    """

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
    strata_bounds: tuple[Interval, ...]
    """80 % of each stratum's sum."""
    strata_probability: tuple[float | None, ...]


def realised_share(carted: Ints, realised: Ints, completions: Ints) -> Floats:
    """rho per stratum, 0..1: value paid over value carted of completed carts (minor units), shrunk
    to the shop's and that to 1."""
    count = int(completions.sum())
    mean = float(total(carted)) / count if count else 1.0
    pseudo = RHO_WEIGHT * max(mean, 1e-9)
    pooled = (float(total(realised)) + pseudo) / (float(total(carted)) + pseudo)
    return np.clip((realised + pseudo * pooled) / (carted + pseudo), 0.0, 1.0)


def recovery_potential(
    hazard: Hazards,
    open_carts: Open,
    rho: Floats,
    common_variance: float,
    only: Bools | None = None,
) -> Potential:
    """Potential of the open carts, or of those `only`; `rho` [strata].

    `common_variance` is that of the factor common to all carts (`common_factor.py`).
    """
    chosen = open_carts.carts > 0 if only is None else only & (open_carts.carts > 0)
    stratum, age = open_carts.stratum[chosen], open_carts.age[chosen]
    carts, value = open_carts.carts[chosen], open_carts.value[chosen].astype(np.float64)
    # Carts of a bucket count at its middle age.
    age_h = (np.arange(OPEN_BUCKETS, dtype=np.float64) + 0.5) * BUCKET_H
    chance = completion_probability(hazard, age_h)[stratum, age]
    paid = value * rho[stratum]
    strata_expected = np.bincount(stratum, paid * chance, STRATA)
    expected = float(strata_expected.sum())
    worth = worth_by_interval(hazard, stratum, age_h[age], paid)

    def bounds_of(some: Bools, its_expected: float, its_worth: Floats) -> Interval:
        """80 % of the sum over some carts, the expectation of which `its_worth` distributes."""
        variance = common_variance
        if its_expected > 0.0:
            variance += _ignorance(its_worth / its_expected, hazard)
        each = (paid / np.maximum(carts, 1))[some]
        bounds = interval(each, (carts * chance)[some], variance)
        most = float(value[some].sum())
        return Interval(min(bounds.low, its_expected), min(max(bounds.high, its_expected), most))

    bounds = bounds_of(np.ones(len(stratum), dtype=bool), expected, worth)
    strata = np.arange(STRATA)
    prior_weight = float(hazard.generic_share.max())
    if expected > 0.0:
        prior_weight = float(worth.sum(axis=0) @ hazard.generic_share) / expected
    strata_carts = np.bincount(stratum, carts, STRATA)
    mean_chance = np.bincount(stratum, carts * chance, STRATA) / np.maximum(strata_carts, 1)
    return Potential(
        open_carts=int(carts.sum()),
        open_value=int(value.sum()),
        expected=expected,
        low=bounds.low,
        high=bounds.high,
        prior_weight=prior_weight,
        prior_driven=prior_weight > PRIOR_DRIVEN_ABOVE,
        strata_carts=tuple(int(n) for n in strata_carts),
        strata_value=tuple(int(v) for v in np.bincount(stratum, value, STRATA)),
        strata_expected=tuple(float(each) for each in strata_expected),
        strata_bounds=tuple(
            bounds_of(stratum == s, float(strata_expected[s]), worth * (strata == s)[:, None])
            for s in strata
        ),
        strata_probability=tuple(
            float(p) if n else None for p, n in zip(mean_chance, strata_carts, strict=True)
        ),
    )


def _ignorance(worth: Floats, hazard: Hazards) -> float:
    """Relative variance of the expectation due to estimated hazards.

    `worth` [strata, intervals]: the part of the expectation that comes in there.

    A hazard that rests on n completions has a relative variance of 1 / n (Gamma posterior). The
    error of what strata borrow from the pool, and the pool from the level, is common to all of
    them.
    """
    own = (worth**2 / np.maximum(hazard.completions, 1e-9)).sum()
    borrowed = (worth * hazard.pool_share).sum(axis=0)
    pooled = (borrowed**2 / np.maximum(hazard.pool_completions, 1e-9)).sum()
    generic = borrowed * hazard.generic_share
    level = sum(
        float(generic[part].sum()) ** 2 / float(hazard.level_completions[part][0])
        for part in LEVELS
    )
    return float(own + pooled) + level
