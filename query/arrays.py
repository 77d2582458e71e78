"""The two array types of the query side's maths: whole numbers (days, counts, minor units of money) and statistics."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
