"""Purchase histories of customers, counted: the data of both predictive models."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from aggregates.arrays import Floats, Ints

DAYS_PER_WEEK: Final = 7.0
DAY_FRACTIONS: Final = 8
"""A cell's mean days are rounded to an eighth of a day: cells then share times, and logarithms."""
COARSE_STEPS: Final = 13


@dataclass(frozen=True, slots=True)
class History:
    """Customers by purchase history, one entry per distinct one.

    `x` repeat purchase days (orders of one day are one purchase), `t_x` weeks from the first to the
    last, `T` weeks from the first until now (x days <= t_x <= T), `n` customers. Customers with
    equal (x, t_x, T) are interchangeable, so a fit costs what its cells cost.
    """

    x: Ints
    t_x: Floats
    T: Floats
    n: Ints


def history_from_days(
    x: Ints, first_day: Ints | Floats, last_day: Ints | Floats, n: Ints, asof_day: int
) -> History:
    """Cells keyed by absolute days (since 1970-01-01) as they stand at the end of `asof_day`."""
    # x repeat days need at least x days. Without this floor an order of a day that is still to come
    # gives t_x = 0 with x > 0, and the likelihood grows without bound as alpha goes to 0.
    t_x: Floats = np.where(x > 0, np.maximum(last_day - first_day, x), 0) / DAYS_PER_WEEK
    return History(x, t_x, np.maximum((asof_day - first_day) / DAYS_PER_WEEK, t_x), n)


def history_from_cells(
    x: Ints,
    first_day: Ints,
    last_day: Ints,
    n: Ints,
    first_offset: Ints,
    last_offset: Ints,
    asof_day: int,
) -> History:
    """Cells of `BTYD_CELLS`: each stands for its customers' mean days (`fold/day_bins.py`)."""
    return history_from_days(
        x, _mean(first_day, first_offset, n), _mean(last_day, last_offset, n), n, asof_day
    )


def _mean(day: Ints, offset: Ints, n: Ints) -> Floats:
    mean: Floats = day + np.rint(offset * DAY_FRACTIONS / np.maximum(n, 1)) / DAY_FRACTIONS
    return mean


def coarsened(history: History) -> History:
    """The same customers on a grid of 1/13 of the shop's age; a cell has its customers' mean."""
    step = max(float(history.T.max()), 1e-9) / COARSE_STEPS
    T, t_x = (np.rint(times / step).astype(np.int64) for times in (history.T, history.t_x))
    key = (history.x * (COARSE_STEPS + 1) + T) * (COARSE_STEPS + 1) + t_x
    keys, of = np.unique(key, return_inverse=True)
    n = np.bincount(of, history.n)
    mean_t_x, mean_T = (
        np.bincount(of, times * history.n) / n for times in (history.t_x, history.T)
    )
    return History(keys // (COARSE_STEPS + 1) ** 2, mean_t_x, mean_T, n.astype(np.int64))
