"""P(an open cart is still completed), by its age: discrete hazards with two levels of shrinkage
(docs/facts/analytics.md, "Recovery potential").

Per stratum (value band x new/returning) and age interval, completions are counted of the carts at
risk: open at its start, and followed to its end or to completion. Within an interval the hazard
rate is constant; P(a) = 1 - S(168 h) / S(a), and 0 from 168 h on.
"""

from math import log
from typing import Final

import numpy as np
from scipy import optimize

from aggregates.arrays import Floats, Ints

EDGES_H: Final = np.array(
    [0.0, 1 / 6, 0.5, 1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 72.0, 120.0, 168.0, 336.0]
)
INTERVALS: Final = len(EDGES_H) - 1
HORIZON_H: Final = 168.0
POOL_WEIGHT: Final = 200.0  # carts that the generic curve counts for, over all strata
STRATUM_WEIGHT: Final = 50.0  # carts that the pool counts for, in each stratum
BUCKET_H: Final = 1 / 6  # the open histogram's buckets: 10 minutes
OPEN_BUCKETS: Final = 2016  # of them: 14 days

COMPLETE_AFTER_1_H: Final = 0.0336
CONVERSION_24_H_TO_1_H: Final = 1.74 / 6.33
NEVER_COMPLETED: Final = 0.7019


def generic_cumulative_hazard(hours: Floats) -> Floats:
    """-ln S(t) of the generic curve h0, a judgement on "Published cart figures" of
    docs/facts/analytics.md.

    - After 1 h the hazard rate falls as a power of age, k t^-(1+e). Two figures fix it: 3.36 % of
      carts open at 1 h complete within 7 days, and a cart reached at 24 h converts 1.74 / 6.33 as
      often as one reached at 1 h.
    - 70.19 % of carts are never completed, so S(1 h) = .7019 / (1 - .0336) = .7263.
    - Within the first hour a Weibull curve leads to that point and meets the later one at the same
      hazard rate, so there is no jump at 1 h.
    """
    week, total = HORIZON_H, -log(1.0 - COMPLETE_AFTER_1_H)

    def ratio_at(e: float) -> float:
        """-ln of completing after 24 h over that after 1 h; both chances are small, so their ratio is the hazards'."""
        return float((24.0**-e - week**-e) / (1.0 - week**-e)) - CONVERSION_24_H_TO_1_H

    e = float(optimize.brentq(ratio_at, 1e-3, 2.0))
    scale = total / (1.0 - week**-e)  # cumulative hazard from 1 h to t: scale (1 - t^-e)
    first_hour = -log(NEVER_COMPLETED / (1.0 - COMPLETE_AFTER_1_H))
    shape = scale * e / first_hour  # hazard rate at 1 h: first_hour * shape = scale * e
    t = np.maximum(hours, 1.0)
    early: Floats = first_hour * np.minimum(hours, 1.0) ** shape
    late: Floats = first_hour + scale * (1.0 - t**-e)
    return np.where(hours <= 1.0, early, late)


GENERIC_HAZARDS: Final[Floats] = -np.expm1(-np.diff(generic_cumulative_hazard(EDGES_H)))


def pooled_hazards(completions: Ints, at_risk: Ints, prior: Floats = GENERIC_HAZARDS) -> Floats:
    """h_j, [intervals], from completions and at risk of shape [strata, intervals]."""
    pooled: Floats = (completions.sum(axis=0) + POOL_WEIGHT * prior) / (
        at_risk.sum(axis=0) + POOL_WEIGHT
    )
    return pooled


def hazards(completions: Ints, at_risk: Ints, prior: Floats = GENERIC_HAZARDS) -> Floats:
    """h_sj, [strata, intervals]; every value within 0..1 as long as completions do not exceed those at risk."""
    pooled = pooled_hazards(completions, at_risk, prior)
    return (completions + STRATUM_WEIGHT * pooled) / (at_risk + STRATUM_WEIGHT)


def with_open_carts(at_risk: Ints, open_carts: Ints) -> Ints:
    """`at_risk` of closed carts plus the intervals that carts still open have outlived.

    A shop's first weeks have closed mostly the carts that completed; without the open ones its
    hazards would be too high.

    `open_carts` [strata, buckets of 10 minutes of age]: a bucket has outlived an interval that ends
    by the bucket's start.
    """
    start = np.arange(open_carts.shape[1]) * BUCKET_H
    outlived = (start[:, None] + 1e-9 >= EDGES_H[None, 1:]).astype(np.int64)
    added: Ints = np.einsum("sb,bj->sj", open_carts, outlived)
    return at_risk + added


def interval_share(age_h: Floats) -> Floats:
    """[ages, intervals]: the share of each interval that lies between an age and the horizon."""
    low, high = EDGES_H[:-1], np.minimum(EDGES_H[1:], HORIZON_H)
    ahead = np.clip(high[None, :] - np.maximum(low[None, :], age_h[:, None]), 0.0, None)
    share: Floats = ahead / (EDGES_H[1:] - low)
    return share


def completion_probability(hazard: Floats, age_h: Floats) -> Floats:
    """P(a), [strata, ages]: completes by 168 h of age, given still open at `age_h` (hours); `hazard` [strata, intervals]."""
    rates = -np.log1p(-np.minimum(hazard, 1.0 - 1e-12))
    cumulative: Floats = np.einsum("sj,aj->sa", rates, interval_share(age_h))
    return -np.expm1(-cumulative)
