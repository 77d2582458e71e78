"""The distribution of a sum of money over carts, each of which is ordered or not: a compound
distribution (Klugman, Panjer & Willmot, "Loss Models"), inverted by FFT (Heckman & Meyers 1983).
"""

from typing import Final, NamedTuple

import numpy as np

from aggregates.arrays import Floats

STEPS: Final = 4_096
DEVIATIONS: Final = 12.0
"""The grid ends this many standard deviations above the mean."""


class Interval(NamedTuple):
    """Bounds of 80 %, in the unit of the values."""

    low: float
    high: float


def interval(values: Floats, orders: Floats, factor_variance: float) -> Interval:
    """80 % of the sum: between its 10 % and 90 % points.

    `values` in money, `orders` the expected number of orders at each. If the probability of no
    money at all exceeds 10 %, the lower bound is 0 and the upper one the 80 % point.
    """
    unit = float(values.max(initial=0.0))
    if unit <= 0.0 or float(orders @ values) <= 0.0:
        return Interval(0.0, 0.0)
    values = values / unit
    mean = float(orders @ values)
    deviation = float(np.sqrt(orders @ values**2 + factor_variance * mean**2))
    step = (mean + DEVIATIONS * deviation + 1.0) / STEPS
    cumulative = np.cumsum(_probabilities(values / step, orders, factor_variance))
    cumulative /= cumulative[-1]

    def point(share: float) -> float:
        return float(np.searchsorted(cumulative, share)) * step * unit

    if cumulative[0] > 0.1:
        return Interval(0.0, point(0.8))
    return Interval(point(0.1), point(0.9))


def _probabilities(at: Floats, orders: Floats, factor_variance: float) -> Floats:
    """P(sum = k steps), k from 0; twice as long as the grid, so that the tail does not wrap.

    Numbers of orders are Poisson, their values those of the open carts, and all probabilities share
    one factor, Gamma with mean 1.
    """
    # A value between two steps is split over both, which keeps the mean.
    below = np.floor(at).astype(np.int64)
    above = at - below
    by_step = np.bincount(below, orders * (1.0 - above), 2 * STEPS)
    by_step += np.bincount(below + 1, orders * above, 2 * STEPS)
    # -ln of the Poisson sum's characteristic function; the Gamma factor mixes it to (1 + v z)^-1/v.
    exponent = orders.sum() - np.fft.rfft(by_step)
    if factor_variance > 1e-9:
        characteristic = (1.0 + factor_variance * exponent) ** (-1.0 / factor_variance)
    else:
        characteristic = np.exp(-exponent)
    probabilities: Floats = np.maximum(np.fft.irfft(characteristic, 2 * STEPS), 0.0)
    return probabilities
