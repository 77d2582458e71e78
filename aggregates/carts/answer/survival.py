"""P(an open cart is still ordered), by its age, as a cumulative incidence with constant rates
within age intervals (docs/facts/analytics.md, "Recovery potential"; Kalbfleisch & Prentice 2002,
"The Statistical Analysis of Failure Time Data", 8.2)."""

from dataclasses import dataclass
from math import log
from typing import Final, NamedTuple

import numpy as np

from aggregates.arrays import Floats, Ints

EDGES_H: Final = np.array(
    [0.0, 1 / 6, 0.5, 1.0, 3.0, 6.0, 12.0, 24.0, 48.0, 72.0, 120.0, 168.0, 336.0]
)
INTERVALS: Final = len(EDGES_H) - 1
HORIZON_H: Final = 168.0
POOL_WEIGHT: Final = 200.0
"""Spells that the generic curve's shape counts for, over all strata."""
STRATUM_WEIGHT: Final = 50.0
"""Spells that the pool counts for, in each stratum."""
LEVEL_WEIGHT: Final = 4.0
"""Completions that the generic curve's level counts for: it may be off by half."""
LEVELS: Final = (slice(0, 3), slice(3, 12))
"""The first hour and the time after it are two processes, with a level each."""
BUCKET_H: Final = 1 / 6  # the open histogram's buckets: 10 minutes
OPEN_BUCKETS: Final = 2016  # of them: 14 days

COMPLETE_AFTER_1_H: Final = 0.0336
CONVERSION_24_H_TO_1_H: Final = 1.74 / 6.33
NEVER_COMPLETED: Final = 0.7019
LATE_EXPONENT: Final = 0.18369131462756555
"""e, for which (24^-e - 168^-e) / (1 - 168^-e) is the ratio above: what completes after 24 h over
what completes after 1 h, and as both are unlikely, of hazards. A constant, which a test solves
again, since SciPy's root finder takes 17 MB."""


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
    e, week, total = LATE_EXPONENT, HORIZON_H, -log(1.0 - COMPLETE_AFTER_1_H)
    scale = total / (1.0 - week**-e)  # cumulative hazard from 1 h to t: scale (1 - t^-e)
    first_hour = -log(NEVER_COMPLETED / (1.0 - COMPLETE_AFTER_1_H))
    shape = scale * e / first_hour  # hazard rate at 1 h: first_hour * shape = scale * e
    t = np.maximum(hours, 1.0)
    early: Floats = first_hour * np.minimum(hours, 1.0) ** shape
    late: Floats = first_hour + scale * (1.0 - t**-e)
    return np.where(hours <= 1.0, early, late)


GENERIC_HAZARDS: Final[Floats] = -np.expm1(-np.diff(generic_cumulative_hazard(EDGES_H)))


@dataclass(frozen=True, slots=True)
class Spells:
    """Idle spells by stratum and age interval, [strata, intervals] each.

    Each time a cart was left idle is one spell. It ends with the next touch, with the order, or
    with an order elsewhere; it is completed if the cart was ordered within 7 days of the spell's
    begin.
    """

    completed: Floats
    """Ended in the interval, and completed."""
    not_completed: Floats
    """Ended in the interval, by a visit without an order to follow or by an order elsewhere."""
    at_risk: Floats
    """Reached the interval, and ended in or outlived it; those still in it count by their part."""


@dataclass(frozen=True, slots=True)
class Hazards:
    """Probabilities per interval for those who reach it, [strata, intervals] each."""

    completed: Floats
    not_completed: Floats
    completions: Floats
    """How many completions each hazard rests on, of the stratum and lent by the pool."""
    pool_share: Floats
    """Weight of the pool in each hazard, [strata, intervals]."""
    pool_completions: Floats
    """The same of the pool, [intervals]."""
    level_completions: Floats
    """The same of the level, [intervals]."""
    generic_share: Floats
    """Weight of the generic curve in the pool, [intervals]."""


def spells_with_open(completed: Ints, not_completed: Ints, at_risk: Ints, carts: Ints) -> Spells:
    """Ended spells, and those of the open carts, [strata, buckets of 10 minutes of age].

    A shop's first weeks have closed mostly the carts that were ordered, so open ones must count.
    """
    age_h = (np.arange(carts.shape[1]) + 0.5) * BUCKET_H
    outlived = np.clip((age_h[:, None] - EDGES_H[None, :-1]) / np.diff(EDGES_H)[None, :], 0.0, 1.0)
    exposed: Floats = at_risk + np.einsum("sb,bj->sj", carts, outlived)
    return Spells(completed.astype(np.float64), not_completed.astype(np.float64), exposed)


def hazards(spells: Spells, prior: Floats = GENERIC_HAZARDS) -> Hazards:
    """Three levels of shrinkage: stratum to pool, pool to the generic curve, its level to 1."""
    completed, at_risk = spells.completed.sum(axis=0), spells.at_risk.sum(axis=0)
    level, level_completions = np.empty(INTERVALS), np.empty(INTERVALS)
    for part in LEVELS:
        seen = completed[part].sum() + LEVEL_WEIGHT
        level[part] = seen / ((at_risk[part] * prior[part]).sum() + LEVEL_WEIGHT)
        level_completions[part] = seen
    generic = np.minimum(prior * level, 0.5)
    pool = (completed + POOL_WEIGHT * generic) / (at_risk + POOL_WEIGHT)
    # The generic curve is of all completions, however many visits they take: it has no other ends.
    pool_other = spells.not_completed.sum(axis=0) / (at_risk + POOL_WEIGHT)
    weight = spells.at_risk + STRATUM_WEIGHT
    own: Floats = (spells.completed + STRATUM_WEIGHT * pool) / weight
    other: Floats = (spells.not_completed + STRATUM_WEIGHT * pool_other) / weight
    return Hazards(
        completed=own,
        not_completed=other,
        completions=spells.completed + STRATUM_WEIGHT * pool,
        pool_share=STRATUM_WEIGHT / weight,
        pool_completions=completed + POOL_WEIGHT * generic,
        level_completions=level_completions,
        generic_share=POOL_WEIGHT / (at_risk + POOL_WEIGHT),
    )


class Ahead(NamedTuple):
    """The future of carts of some ages; `stratum` and age give one entry each."""

    interval: Ints
    by_its_end: Floats
    """P(the spell is over by the end of the interval that the age lies in, and completed)."""
    beyond: Floats
    """P(the cart is idle still at that end)."""


def ahead(hazard: Hazards, stratum: Ints, age_h: Floats) -> Ahead:
    """For each cart of `stratum` that is idle at `age_h` (hours)."""
    interval = np.clip(np.searchsorted(EDGES_H, age_h, side="right") - 1, 0, INTERVALS - 1)
    until = np.minimum(EDGES_H[interval + 1], HORIZON_H)
    share = np.clip(until - age_h, 0.0, None) / np.diff(EDGES_H)[interval]
    ending = _rates(hazard)[stratum, interval] * share
    completed = -np.expm1(-ending) * _completed_part(hazard)[stratum, interval]
    return Ahead(interval, completed, np.exp(-ending))


def completion_probability(hazard: Hazards, age_h: Floats) -> Floats:
    """P(a), [strata, ages]: is ordered within 168 h of the last touch, given idle at `age_h`."""
    strata = len(hazard.completed)
    stratum = np.repeat(np.arange(strata), len(age_h))
    found = ahead(hazard, stratum, np.tile(age_h, strata))
    later = _from_edges(hazard)[stratum, found.interval + 1]
    probability: Floats = np.minimum(found.by_its_end + found.beyond * later, 1.0)
    return probability.reshape(strata, len(age_h))


class RecoveryPoint(NamedTuple):
    """A point of the recovery curve."""

    hours: float
    """Since the carts were abandoned."""
    share: float
    """Of them, those that were ordered by then."""


def recovery_curve(hazard: Hazards, after_h: float) -> list[RecoveryPoint]:
    """Of carts idle for `after_h`, the share ordered by and by until 7 days after the last touch.

    It is one curve of one group, so it never falls. Strata count by their spells that reach
    `after_h`.
    """
    first = int(np.searchsorted(EDGES_H, after_h, side="right")) - 1
    reached = STRATUM_WEIGHT / hazard.pool_share[:, first] - STRATUM_WEIGHT
    weight = reached if reached.sum() > 0 else np.ones(len(reached))
    weight = weight / weight.sum()
    rates, part = _rates(hazard), _completed_part(hazard)
    idle, ordered = np.ones(len(reached)), np.zeros(len(reached))
    points = [RecoveryPoint(0.0, 0.0)]
    for j in range(first, INTERVALS):
        begin, end = max(float(EDGES_H[j]), after_h), min(float(EDGES_H[j + 1]), HORIZON_H)
        if end <= begin:
            continue
        ending = rates[:, j] * (end - begin) / float(EDGES_H[j + 1] - EDGES_H[j])
        ordered += idle * -np.expm1(-ending) * part[:, j]
        idle *= np.exp(-ending)
        points.append(RecoveryPoint(end - after_h, min(float(weight @ ordered), 1.0)))
    return points


def worth_by_interval(hazard: Hazards, stratum: Ints, age_h: Floats, paid: Floats) -> Floats:
    """[strata, intervals]: of carts worth `paid`, the expectation of spells that end there."""
    strata = len(hazard.completed)
    found = ahead(hazard, stratum, age_h)
    cell = stratum * INTERVALS + found.interval
    worth, beyond = (
        np.bincount(cell, paid * each, strata * INTERVALS)
        .astype(np.float64)  # without any cell it would be whole numbers
        .reshape(strata, INTERVALS)
        for each in (found.by_its_end, found.beyond)
    )
    ending = _rates(hazard) * _WHOLE
    completed = -np.expm1(-ending) * _completed_part(hazard)
    reaching = np.zeros(strata)
    for j in range(INTERVALS):
        worth[:, j] += reaching * completed[:, j]
        reaching = reaching * np.exp(-ending[:, j]) + beyond[:, j]
    return worth


def _from_edges(hazard: Hazards) -> Floats:
    """P at each edge, [strata, edges]."""
    ending = _rates(hazard) * _WHOLE
    completed = -np.expm1(-ending) * _completed_part(hazard)
    found = np.zeros((len(ending), INTERVALS + 1))
    for j in reversed(range(INTERVALS)):
        found[:, j] = completed[:, j] + np.exp(-ending[:, j]) * found[:, j + 1]
    return found


_WHOLE: Final[Floats] = np.clip(
    (np.minimum(EDGES_H[1:], HORIZON_H) - EDGES_H[:-1]) / np.diff(EDGES_H), 0.0, None
)
"""The part of each interval that lies before the horizon."""


def _rates(hazard: Hazards) -> Floats:
    """Cumulative rate of both ends over each interval."""
    total = np.minimum(hazard.completed + hazard.not_completed, 1.0 - 1e-12)
    rates: Floats = -np.log1p(-total)
    return rates


def _completed_part(hazard: Hazards) -> Floats:
    """Of spells that end in an interval, the part that is completed."""
    part: Floats = hazard.completed / np.maximum(hazard.completed + hazard.not_completed, 1e-300)
    return part
