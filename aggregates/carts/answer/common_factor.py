"""Estimates from the shop's past how much the completions of all open carts vary together from day
to day."""

from typing import Final

import numpy as np

from aggregates.arrays import Ints

FEWEST_DAYS: Final = 4
ASSUMED: Final = 0.03
"""Relative variance where nothing is known: a standard deviation of 17 %. Judgement."""
ASSUMED_SD: Final = 0.2
OVERLAP: Final = 2.5
"""A cart is open at several midnights; so many of them are worth one independent observation."""


def common_variance(carts: Ints, completed: Ints) -> float:
    """Relative variance of the factor that all probabilities share, at least 0.

    Payday, weather, a sale or a slow site move every cart's probability at the same time, which a
    sum over independent carts misses. For each past midnight the numbers of open carts by age and
    of their completions are known; their variance beyond chance is the factor's. `carts`,
    `completed` [midnights, ages]: idle then, and ordered within 7 days of the last touch.
    """
    if len(carts) < FEWEST_DAYS or not completed.sum():
        return ASSUMED
    chance = completed.sum(axis=0) / np.maximum(carts.sum(axis=0), 1)
    expected, found = (carts * chance).sum(axis=1), completed.sum(axis=1)
    by_chance = (carts * chance * (1.0 - chance)).sum(axis=1)
    days = len(carts)
    excess = float(((found - expected) ** 2 * days / (days - 1) - by_chance).sum())
    variance = excess / float((expected**2).sum())
    # The variance of a sample variance, of numbers that vary by chance and by the factor.
    spread = 1.0 / float(expected.mean()) + max(variance, 0.0)
    precision = days / OVERLAP / 2.0 / spread**2
    assumed = 1.0 / ASSUMED_SD**2
    return max((ASSUMED * assumed + variance * precision) / (assumed + precision), 0.0)
