"""The two array types of the query side's maths: whole numbers (days, counts, minor units) and
statistics."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.signedinteger[Any]]
"""32 or 64 bits: sums are made in 64 (NumPy's rule), products of columns want one of them widened
first."""
Floats: TypeAlias = npt.NDArray[np.float64]
