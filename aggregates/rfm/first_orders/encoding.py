"""Encodes first orders as columns of numbers: a curve in the logarithm of the value, and frequent
values of names. Columns are centred, so that a model shrunk to nothing predicts the mean."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from aggregates.arrays import Floats
from aggregates.rfm.first_orders.order import FirstOrder

NAMES: Final = ("source", "channel", "country")
MOST_LEVELS: Final = 10
LEVEL_CUSTOMERS: Final = 30
"""A name is a column of its own where so many customers have it; the others are one together."""
TAIL: Final = 0.01
"""The curve goes on flat beyond the lowest and highest percent: few customers say more."""
KNOTS: Final = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """How a first order becomes a row; made from the customers that a model is fitted on."""

    low: float
    high: float
    knots: tuple[float, ...]
    levels: tuple[tuple[str, ...], ...]
    """Frequent values of each of `NAMES`."""
    centre: Floats
    scale: Floats

    def rows(self, orders: Sequence[FirstOrder]) -> Floats:
        """One row per order."""
        found: Floats = (self._raw(orders) - self.centre) / self.scale
        return found

    def _raw(self, orders: Sequence[FirstOrder]) -> Floats:
        value = np.clip(_logs([each.value for each in orders]), self.low, self.high)
        columns = [value, *(np.maximum(value - knot, 0.0) for knot in self.knots)]
        columns.append(_logs([each.items for each in orders]))
        columns.append(np.array([each.discount for each in orders], dtype=np.float64))
        columns.append(np.array([each.coded for each in orders], dtype=np.float64))
        for name, levels in zip(NAMES, self.levels, strict=True):
            named = [getattr(each, name) for each in orders]
            columns += [
                np.array([each == level for each in named], dtype=np.float64) for level in levels
            ]
        return np.column_stack(columns)


def encoding(orders: Sequence[FirstOrder]) -> Encoding:
    """From the first orders of customers; at least one."""
    value = _logs([each.value for each in orders])
    low, high = (float(np.quantile(value, share)) for share in (TAIL, 1 - TAIL))
    knots = {float(np.quantile(value, share)) for share in KNOTS}
    levels = tuple(_levels([getattr(each, name) for each in orders]) for name in NAMES)
    inside = tuple(sorted(knot for knot in knots if low < knot < high))
    curve = 1 + len(inside)
    width = curve + 3 + sum(map(len, levels))
    plain = Encoding(low, high, inside, levels, np.zeros(width), np.ones(width))
    raw = plain.rows(orders)
    scale = np.ones(width)
    # Names keep their scale: a rare one then is shrunk more than a frequent one.
    scale[: curve + 2] = np.maximum(raw[:, : curve + 2].std(axis=0), 1e-9)
    return Encoding(low, high, inside, levels, raw.mean(axis=0), scale)


def _logs(values: Sequence[int]) -> Floats:
    return np.log1p(np.array(values, dtype=np.float64))


def _levels(names: Sequence[str]) -> tuple[str, ...]:
    frequent = Counter(names).most_common()
    kept = sorted(
        (-count, name) for name, count in frequent if LEVEL_CUSTOMERS <= count < len(names)
    )
    return tuple(name for _, name in kept[:MOST_LEVELS])
