"""The array types of the query side's maths: whole numbers (days, counts, minor units),
statistics, and masks."""

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.signedinteger[Any]]
"""32 or 64 bits: sums are made in 64 (NumPy's rule), products of columns want one of them widened
first."""
Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

_LOW_BITS: Final = (1 << 32) - 1
EXACT_BELOW: Final = 1 << 53
"""Whole numbers below are exact as floats."""


def total(values: Ints) -> int:
    """The exact sum: each cell's number fits 64 bits, all of a shop's together may not."""
    wide = values.astype(np.int64, copy=False)
    return (int((wide >> 32).sum()) << 32) + int((wide & _LOW_BITS).sum())


def totals(cell: Ints, values: Ints, size: int) -> list[int]:
    """The exact sums of `values` by cell number, of up to 2 million cells."""
    wide = values.astype(np.int64, copy=False)
    high, low = (np.bincount(cell, part, size) for part in (wide >> 32, wide & _LOW_BITS))
    return [(int(upper) << 32) + int(rest) for upper, rest in zip(high, low, strict=True)]
