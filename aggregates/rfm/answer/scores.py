"""RFM scores of a whole shop from its cells, in one pass over the cells and none over the customers
(docs/facts/analytics.md, "Scores", "Why not NTILE")."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from aggregates.arrays import EXACT_BELOW, Floats, Ints, total, totals
from aggregates.rfm.answer.segments import (
    NEW,
    NEW_RECENCY_DAYS,
    RETURNED,
    SEGMENTS,
    Segment,
    fm_score,
    grid_segment,
    is_new,
    segment_of,
)
from aggregates.rfm.fold.customer import MAX_ORDERS

MIN_CUSTOMERS: Final = 5
TOO_FEW: Final = "fewer than 5 customers ordered in the window: no fifths to score by"

_FM: Final = np.array([fm_score(f, m) - 1 for f in range(1, 6) for m in range(1, 6)])
_SEGMENTS: Final = np.array(
    [SEGMENTS.index(grid_segment(r, fm + 1)) for r in range(1, 6) for fm in _FM]
)
"""By `_cube`'s index."""
IntArray = npt.NDArray[np.signedinteger[Any]]

_LEADING_BITS: Final = 46  # of 64: leaves sign, 11 bits of exponent, 6 bits of fraction
_BUCKETS: Final = 64 * 63 + 1  # any 64-bit integer
_BLOCK: Final = 16_384  # 128 KiB of 64-bit numbers
_BELOW_ONE: Final = (int(np.float64(1.0).view(np.int64)) >> _LEADING_BITS) - 1


@dataclass(frozen=True, slots=True)
class ScoreCutoffs:
    """Four ascending values per measure: the last of the lowest, second, third and fourth fifth."""

    recency_days: tuple[int, ...]
    frequency: tuple[int, ...]
    monetary: tuple[int, ...]  # minor units


@dataclass(frozen=True, slots=True)
class GroupTotals:
    """The totals of a group of customers; revenue in minor units."""

    customers: int
    revenue: int


@dataclass(frozen=True, slots=True)
class RfmScores:
    """A shop's scores: by value, so that equal customers score alike, 5 is best. Without cut-offs
    (`reason` says why) scores and grid are None.

    `recency`, `frequency`, `monetary` count customers by score 1 to 5; `grid[r - 1][fm - 1]` and
    `segments` add up to the totals.
    """

    customers: int
    orders: int
    revenue: int
    cutoffs: ScoreCutoffs | None
    recency: tuple[int, ...] | None
    frequency: tuple[int, ...] | None
    monetary: tuple[int, ...] | None
    grid: tuple[tuple[GroupTotals, ...], ...] | None
    segments: dict[Segment, GroupTotals] | None
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
    last_day: Ints,
    orders: Ints,
    newcomer: Ints,
    monetary: Ints,
    customers: Ints,
    order_count: Ints,
    revenue: Ints,
    *,
    asof_day: int,
) -> RfmScores:
    """RFM of the cells at the end of day `asof_day`.

    Arrays of one length, one entry per cell: key `last_day` (days since 1970-01-01), `orders`
    (capped at 32), `newcomer` (0 or 1), `monetary` (minor units: exact, or the upper edge of the
    money bin); measures `customers`, `order_count` (uncapped), `revenue` (minor units). The cells
    hold only customers with an order in the window: the fold has expired the others.
    """
    n, total_orders, total_revenue = (
        int(customers.sum()),
        int(order_count.sum()),
        total(revenue),
    )
    if n < MIN_CUSTOMERS:
        return RfmScores(
            n, total_orders, total_revenue, None, None, None, None, None, None, TOO_FEW
        )
    ranks = [-(-k * n // 5) for k in range(1, 5)]
    by_day, by_orders = _marginals(last_day, orders, customers)
    # The k-th smallest recency belongs to the k-th largest last day.
    first_day = int(last_day.min())
    reached = np.cumsum(by_day)
    days = tuple(
        asof_day - first_day - int(np.searchsorted(reached, n - rank + 1)) for rank in ranks
    )
    reached = np.cumsum(by_orders)
    counts = tuple(int(np.searchsorted(reached, rank)) for rank in ranks)
    money = tuple(values_at(monetary, customers, ranks))
    cutoffs = ScoreCutoffs(days, counts, money)
    cube = _cube(cutoffs, last_day, orders, monetary, asof_day=asof_day)
    people = _whole(_counted(lambda block: cube[block], customers, 125)).reshape(5, 5, 5)
    if total_revenue < EXACT_BELOW:
        taken = [int(each) for each in _whole(_counted(lambda block: cube[block], revenue, 125))]
    else:
        taken = totals(cube, revenue, 125)
    grid = tuple(tuple(_by_fm(people[r], taken[25 * r : 25 * r + 25])) for r in range(5))
    new = _new(cube, last_day, newcomer, asof_day=asof_day)
    who_are_new = GroupTotals(int(customers[new].sum()), total(revenue[new]))
    return RfmScores(
        customers=n,
        orders=total_orders,
        revenue=total_revenue,
        cutoffs=cutoffs,
        recency=_tuple(people.sum(axis=(1, 2))),
        frequency=_tuple(people.sum(axis=(0, 2))),
        monetary=_tuple(people.sum(axis=(0, 1))),
        grid=grid,
        segments=_by_segment(grid, who_are_new),
        reason=None,
    )


def segments_of(
    cutoffs: ScoreCutoffs,
    last_day: Ints,
    orders: Ints,
    newcomer: Ints,
    monetary: Ints,
    *,
    asof_day: int,
) -> Ints:
    """The segments of cells under a shop's cut-offs, as places in SEGMENTS; arrays as of `rfm`."""
    cube = _cube(cutoffs, last_day, orders, monetary, asof_day=asof_day)
    segments: Ints = _SEGMENTS[cube]
    returned = segments == SEGMENTS.index(NEW)
    returned &= ~_new(cube, last_day, newcomer, asof_day=asof_day)
    segments[returned] = SEGMENTS.index(RETURNED)
    return segments


def score_customer(
    cutoffs: ScoreCutoffs, recency_days: int, orders: int, cents: int, *, newcomer: bool
) -> Score:
    """Scores of one customer under a shop's cut-offs; `cents` exact, or as its cell has it."""
    r = 5 - sum(recency_days > c for c in cutoffs.recency_days)
    f = 1 + sum(min(orders, MAX_ORDERS) > c for c in cutoffs.frequency)
    m = 1 + sum(cents > c for c in cutoffs.monetary)
    fm = fm_score(f, m)
    return Score(r, f, m, fm, segment_of(r, fm, new=is_new(newcomer, recency_days)))


def _cube(
    cutoffs: ScoreCutoffs, last_day: Ints, orders: Ints, monetary: Ints, *, asof_day: int
) -> IntArray:
    """One index per cell: 25 (R - 1) + 5 (F - 1) + (M - 1), in bytes until it is used."""
    cube = np.full(len(last_day), 100, dtype=np.int8)  # R falls as recency rises.
    step = np.empty_like(cube)
    for days, count, money in zip(
        cutoffs.recency_days, cutoffs.frequency, cutoffs.monetary, strict=True
    ):
        cube -= np.multiply((last_day < asof_day - days).view(np.int8), 25, out=step)
        cube += np.multiply((orders > count).view(np.int8), 5, out=step)
        cube += (monetary > money).view(np.int8)
    return cube


def _new(cube: IntArray, last_day: Ints, newcomer: Ints, *, asof_day: int) -> npt.NDArray[np.bool_]:
    """Cells of new customers. The day of the first order matters only for R 5 with F and M 1."""
    new: npt.NDArray[np.bool_] = cube == 100
    new &= newcomer == 1
    new &= last_day >= asof_day - NEW_RECENCY_DAYS
    return new


def _marginals(last_day: Ints, orders: Ints, customers: Ints) -> tuple[Floats, Floats]:
    """Customers by day from the first one on, and by number of orders from zero on."""
    first_day, width = int(last_day.min()), int(orders.max()) + 1
    offset, height = first_day * width, int(last_day.max()) - first_day + 1
    joint = _counted(
        lambda block: last_day[block] * width + (orders[block] - offset), customers, height * width
    )
    square = joint.reshape(height, width)
    return square.sum(axis=1), square.sum(axis=0)


def values_at(values: Ints, weights: Ints, ranks: Sequence[int]) -> list[int]:
    """The `rank`-th smallest value for each rank (from 1); a value counts `weights` times.

    Cells are not sorted: money is counted by the leading bits of its floating-point form (sign,
    exponent and 6 bits of fraction keep the order of numbers and give 64 buckets per doubling), and
    only the bucket of a cut-off is sorted.
    """
    lowest = int(values.min())
    reached = np.cumsum(_counted(lambda block: _buckets(values[block] - lowest), weights, _BUCKETS))
    found = []
    for rank in ranks:
        bucket = int(np.searchsorted(reached, rank))
        inside = np.flatnonzero(
            (values >= lowest + _edge(bucket)) & (values < lowest + _edge(bucket + 1))
        )
        inside = inside[np.argsort(values[inside])]
        within = np.searchsorted(
            np.cumsum(weights[inside]), rank - (reached[bucket - 1] if bucket else 0)
        )
        found.append(int(values[inside[within]]))
    return found


def _buckets(values: Ints) -> Ints:
    """Bucket 0 for zero, then 64 buckets per doubling, ordered as the values (none negative)."""
    bits = values.astype(np.float64).view(np.int64)
    bits >>= _LEADING_BITS
    bits -= _BELOW_ONE
    return np.maximum(bits, 0, out=bits)


def _edge(bucket: int) -> int:
    """The smallest whole number that falls in the bucket or above it."""
    return (
        ceil(float(np.int64((bucket + _BELOW_ONE) << _LEADING_BITS).view(np.float64)))
        if bucket
        else 0
    )


def _counted(indices: Callable[[slice], IntArray], weights: Ints, size: int) -> Floats:
    """bincount block by block: temporaries stay in cache, since fresh pages cost more."""
    total = np.zeros(size)
    for start in range(0, len(weights), _BLOCK):
        block = slice(start, start + _BLOCK)
        total += np.bincount(indices(block), weights[block], size)
    return total


def _by_fm(people: Ints, taken: Sequence[int]) -> list[GroupTotals]:
    customers, revenue = np.bincount(_FM, people.ravel(), 5), [0] * 5
    for fm, money in zip(_FM, taken, strict=True):
        revenue[fm] += money
    return [GroupTotals(int(n), money) for n, money in zip(customers, revenue, strict=True)]


def _by_segment(
    grid: tuple[tuple[GroupTotals, ...], ...], new: GroupTotals
) -> dict[Segment, GroupTotals]:
    customers, revenue = dict.fromkeys(SEGMENTS, 0), dict.fromkeys(SEGMENTS, 0)
    for r, row in enumerate(grid, 1):
        for fm, tally in enumerate(row, 1):
            customers[grid_segment(r, fm)] += tally.customers
            revenue[grid_segment(r, fm)] += tally.revenue
    customers[RETURNED] += customers[NEW] - new.customers
    revenue[RETURNED] += revenue[NEW] - new.revenue
    customers[NEW], revenue[NEW] = new.customers, new.revenue
    return {segment: GroupTotals(customers[segment], revenue[segment]) for segment in SEGMENTS}


def _whole(sums: Floats) -> Ints:
    return np.rint(sums).astype(np.int64)


def _tuple(counts: Ints) -> tuple[int, ...]:
    return tuple(int(count) for count in counts)
