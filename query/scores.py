"""RFM scores of a whole shop from its cells, in one pass over the cells and none over the customers.

A cell is (last order day, orders in the window, money) with the number of customers in it. Scores are decided by *values*:
the cut-off c_k is the ceil(k n / 5)-th smallest value (SQL's percentile_disc), and score = 1 + #{k: value > c_k}, so that
equal customers score alike; NTILE would split 14,000 identical one-time buyers over three scores (analytics.md 1.4).
Recency is reversed (6 - score): 5 is always best. With fewer than five customers there are no fifths, hence no scores.

Speed: no sort of the cells. Days and order counts are small integers, so their quantiles come from a bincount. Money is
counted by the leading bits of its floating-point form (sign, exponent and 8 bits of fraction keep the order of numbers and
give about 256 buckets per doubling); only the values of the bucket that holds a cut-off are then sorted.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from query.arrays import Floats, Ints
from query.segments import SEGMENTS, Segment, fm_score, segment_of

ORDERS_CAP: Final = 32  # the fold's cap on `orders` in a cell; a customer is compared under the same cap
MIN_CUSTOMERS: Final = 5
TOO_FEW: Final = "fewer than 5 customers ordered in the window: no fifths to score by"

_DENSE_RANGE: Final = 1 << 16
_LEADING_BITS: Final = 44  # of 64: leaves sign, 11 bits of exponent, 8 bits of fraction
_BELOW_ONE: Final = (int(np.float64(1.0).view(np.int64)) >> _LEADING_BITS) - 1


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Four ascending values per measure: the last values of the lowest, second, third and fourth fifth."""

    recency_days: tuple[int, ...]
    frequency: tuple[int, ...]
    monetary: tuple[int, ...]  # minor units


@dataclass(frozen=True, slots=True)
class Tally:
    """What a group of customers adds up to; revenue in minor units."""

    customers: int
    revenue: int


@dataclass(frozen=True, slots=True)
class Rfm:
    """A shop's RFM. Without cut-offs (`reason` says why) scores and grid are None and only the totals are told.

    `recency`, `frequency`, `monetary` count customers by score 1 to 5; `grid[r - 1][fm - 1]` and `segments` add up to the
    totals.
    """

    customers: int
    orders: int
    revenue: int
    cutoffs: Cutoffs | None
    recency: tuple[int, ...] | None
    frequency: tuple[int, ...] | None
    monetary: tuple[int, ...] | None
    grid: tuple[tuple[Tally, ...], ...] | None
    segments: dict[Segment, Tally] | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Score:
    """One customer's scores, 5 best."""

    r: int
    f: int
    m: int
    fm: int
    segment: Segment


def rfm(
    last_day: Ints, orders: Ints, monetary: Ints, customers: Ints, order_count: Ints, revenue: Ints, asof_day: int
) -> Rfm:
    """RFM of the cells at the end of day `asof_day`.

    Arrays of one length, one entry per cell: key `last_day` (days since 1970-01-01), `orders` (capped at 32), `monetary`
    (minor units: exact, or the upper edge of the money bin); measures `customers`, `order_count` (uncapped), `revenue`
    (minor units). The cells hold only customers with an order in the window: the fold has expired the others.
    """
    n, total_orders, total_revenue = int(customers.sum()), int(order_count.sum()), int(revenue.sum())
    if n < MIN_CUSTOMERS:
        return Rfm(n, total_orders, total_revenue, None, None, None, None, None, None, TOO_FEW)
    weights = customers.astype(np.float64)  # bincount's own type; whole numbers are exact up to 2^53
    recency_days = asof_day - last_day
    days = weighted_fifths(recency_days, weights)
    counts = weighted_fifths(orders, weights)
    money = weighted_fifths(monetary, weights)
    # One index per cell: 25 (R - 1) + 5 (F - 1) + (M - 1), in bytes until it is used. R falls as recency rises.
    cube = np.full(len(last_day), 100, dtype=np.int8)
    step = np.empty_like(cube)
    for k in range(4):
        cube -= np.multiply((recency_days > days[k]).view(np.int8), 25, out=step)
        cube += np.multiply((orders > counts[k]).view(np.int8), 5, out=step)
        cube += (monetary > money[k]).view(np.int8)
    index = cube.astype(np.intp)
    people = _whole(np.bincount(index, weights, 125)).reshape(5, 5, 5)
    taken = _whole(np.bincount(index, revenue.astype(np.float64), 125)).reshape(5, 5, 5)
    grid = tuple(tuple(_tally_fm(people[r], taken[r], fm) for fm in range(1, 6)) for r in range(5))
    return Rfm(
        customers=n,
        orders=total_orders,
        revenue=total_revenue,
        cutoffs=Cutoffs(days, counts, money),
        recency=_tuple(people.sum(axis=(1, 2))),
        frequency=_tuple(people.sum(axis=(0, 2))),
        monetary=_tuple(people.sum(axis=(0, 1))),
        grid=grid,
        segments=_by_segment(grid),
        reason=None,
    )


def score_customer(cutoffs: Cutoffs, recency_days: int, orders: int, cents: int) -> Score:
    """Scores of one customer under a shop's cut-offs; `cents` is the value its cell carries (or exact, if cells are)."""
    r = 5 - sum(recency_days > c for c in cutoffs.recency_days)
    f = 1 + sum(min(orders, ORDERS_CAP) > c for c in cutoffs.frequency)
    m = 1 + sum(cents > c for c in cutoffs.monetary)
    fm = fm_score(f, m)
    return Score(r, f, m, fm, segment_of(r, fm))


def weighted_fifths(values: Ints, weights: Floats) -> tuple[int, int, int, int]:
    """The ceil(k n / 5)-th smallest of `values`, k = 1..4, each value standing for `weights` customers (whole numbers)."""
    lowest, highest = int(values.min()), int(values.max())
    shifted = values - lowest
    n = int(weights.sum())
    ranks = [-(-k * n // 5) for k in range(1, 5)]
    if highest - lowest < _DENSE_RANGE:
        reached = np.cumsum(np.bincount(shifted, weights))
        first, second, third, fourth = (lowest + int(np.searchsorted(reached, rank)) for rank in ranks)
        return first, second, third, fourth
    # Shifted values are 0 (bucket 0) or at least 1 (buckets from 1, 256 per doubling).
    buckets = shifted.astype(np.float64).view(np.int64)
    buckets >>= _LEADING_BITS
    buckets -= _BELOW_ONE
    np.maximum(buckets, 0, out=buckets)
    reached = np.cumsum(np.bincount(buckets, weights))
    first, second, third, fourth = (lowest + _within_bucket(shifted, weights, buckets, reached, rank) for rank in ranks)
    return first, second, third, fourth


def _within_bucket(values: Ints, weights: Floats, buckets: Ints, reached: Floats, rank: int) -> int:
    bucket = int(np.searchsorted(reached, rank))
    before = reached[bucket - 1] if bucket else 0.0
    inside = np.flatnonzero(buckets == bucket)
    order = inside[np.argsort(values[inside])]
    return int(values[order[np.searchsorted(before + np.cumsum(weights[order]), rank)]])


def _tally_fm(people: Ints, taken: Ints, fm: int) -> Tally:
    pairs = [(f, m) for f in range(1, 6) for m in range(1, 6) if fm_score(f, m) == fm]
    return Tally(
        sum(int(people[f - 1, m - 1]) for f, m in pairs),
        sum(int(taken[f - 1, m - 1]) for f, m in pairs),
    )


def _by_segment(grid: tuple[tuple[Tally, ...], ...]) -> dict[Segment, Tally]:
    customers, revenue = dict.fromkeys(SEGMENTS, 0), dict.fromkeys(SEGMENTS, 0)
    for r, row in enumerate(grid, 1):
        for fm, tally in enumerate(row, 1):
            customers[segment_of(r, fm)] += tally.customers
            revenue[segment_of(r, fm)] += tally.revenue
    return {segment: Tally(customers[segment], revenue[segment]) for segment in SEGMENTS}


def _whole(sums: Floats) -> Ints:
    return np.rint(sums).astype(np.int64)


def _tuple(counts: Ints) -> tuple[int, ...]:
    return tuple(int(count) for count in counts)
