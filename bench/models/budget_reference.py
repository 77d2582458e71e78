"""Measures how fast the best possible policy finds the one campaign of three that earns, at one
order a day each. Run: python -m bench.models.budget_reference (20 seconds)
"""

import sys
from collections.abc import Sequence
from itertools import permutations
from typing import Final, Literal

import numpy as np
from scipy import special

from aggregates.arrays import Floats
from bench.models.budget_policy import DAYS, SPREAD

RETURNS: Final = np.array([-0.3, 0.0, 0.2])
SHOPS: Final = 4_000
SHAPE: Final = 1 / SPREAD**2
HYPOTHESES: Final = RETURNS[np.array(list(permutations(range(3))))]
ORDERS: Final = 3.0
"""A day, of the whole bankroll at break-even."""
PLAUSIBLE: Final = 0.25
LATE_DAYS: Final = 3
FIRST_DAY: Final = 10
CUT_PROBABILITY: Final = 0.75
PRIOR_SD: Final = 0.3
"""Of the campaigns' true means around the account's, where nobody knows them."""
NO_EDGE_SD: Final = 0.2
"""The same around no edge, by which a campaign is cut, as the advice cuts it."""

Policy = Literal["likeliest", "drawn", "plausible", "all seen"]
"""Most know that the ROIs are -30, 0 and +20 %, but not which campaign has which; they move the
whole bankroll each day. `plausible` spends equally on every campaign that is the best one with a
probability of 25 % and more. `all seen` also sees what each campaign would have earned: an upper
bound for every policy."""
POLICIES: Final[tuple[Policy, ...]] = ("likeliest", "drawn", "plausible", "all seen")


def growth(rng: np.random.Generator, policy: Policy, *, values: bool) -> float:
    """Share of the growth of a policy that knows the truth."""
    belief, total = np.zeros((SHOPS, len(HYPOTHESES))), np.zeros(SHOPS)
    for _ in range(DAYS):
        share = np.exp(belief - belief.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        spent = _shares(rng, share, policy)
        total += spent @ RETURNS
        stake = np.ones((SHOPS, 3)) if policy == "all seen" else spent
        orders, earned = _earned(rng, stake)
        for number, returns in enumerate(HYPOTHESES):
            belief[:, number] += _evidence(orders, earned, stake, 1 + returns, values=values)
    return float(total.mean() / (RETURNS.max() * DAYS))


def _shares(rng: np.random.Generator, share: Floats, policy: Policy) -> Floats:
    """Of the bankroll, by campaign; `share` is what is believed of the hypotheses."""
    if policy == "plausible":
        best = RETURNS.max() == HYPOTHESES
        return _equally(share @ best >= PLAUSIBLE)
    expected: Floats = share @ HYPOTHESES
    if policy == "drawn":  # Thompson 1933: by one draw from what is believed.
        drawn = (share.cumsum(axis=1) > rng.random((SHOPS, 1))).argmax(axis=1)
        expected = HYPOTHESES[drawn]
    found: Floats = np.eye(3)[expected.argmax(axis=1)]
    return found


def _equally(kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    return np.asarray(kept / np.maximum(kept.sum(axis=1, keepdims=True), 1))


def _earned(rng: np.random.Generator, stake: Floats) -> tuple[Floats, Floats]:
    """Orders and their margin, by campaign, of a day."""
    orders = rng.poisson(ORDERS * stake).astype(np.float64)
    values = rng.gamma(np.maximum(orders, 1) * SHAPE, 1 / SHAPE) * (orders > 0)
    earned: Floats = values * (1 + RETURNS)
    return orders, earned


def _evidence(
    orders: Floats, earned: Floats, stake: Floats, value: Floats, *, values: bool
) -> Floats:
    """Log-likelihood of a day where an order is worth `value` on average."""
    if values:
        found: Floats = (-orders * SHAPE * np.log(value) - earned * SHAPE / value).sum(axis=1)
        return found
    mean = ORDERS * stake * value
    variance = np.maximum(ORDERS * (1 + SPREAD**2) * stake * value**2, 1e-9)
    terms = -0.5 * np.log(variance) - (earned - mean) ** 2 / (2 * variance)
    return np.asarray(np.where(stake > 0, terms, 0.0).sum(axis=1))


def unknowing(rng: np.random.Generator, chance: float) -> float:
    """Growth of the policy that knows no ROI, and keeps campaigns that are better than the best one
    seen with a probability of `chance` and more."""
    total, margin, spend = np.zeros(SHOPS), np.zeros((SHOPS, 3)), np.zeros((SHOPS, 3))
    stake, late = np.full((SHOPS, 3), 1 / 3), list[tuple[Floats, Floats]]()
    for day in range(DAYS):
        if day >= FIRST_DAY:
            stake = _equally(_kept(margin, spend, chance))
        total += stake @ RETURNS
        late.append((_earned(rng, stake)[1] / ORDERS, stake))
        if len(late) > LATE_DAYS:
            earned, spent = late.pop(0)
            margin, spend = margin + earned, spend + spent
    return float(total.mean() / (RETURNS.max() * DAYS))


def _kept(
    margin: Floats, spend: Floats, chance: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which campaigns are neither surely losing nor surely worse than the best one."""
    mean = margin / np.maximum(spend, 1e-9) - 1
    variance = (1 + SPREAD**2) * np.maximum(mean + 1, 0.3) / np.maximum(ORDERS * spend, 1e-9)
    weight = 1 / (PRIOR_SD**2 + variance)
    centre = (weight * mean).sum(axis=1, keepdims=True) / weight.sum(axis=1, keepdims=True)
    drawn = PRIOR_SD**2 / (PRIOR_SD**2 + variance)
    shrunk, left = centre + drawn * (mean - centre), drawn * variance
    best = shrunk.argmax(axis=1)[:, None]
    gap = shrunk - np.take_along_axis(shrunk, best, 1)
    better = special.ndtr(gap / np.sqrt(left + np.take_along_axis(left, best, 1)))
    own = NO_EDGE_SD**2 / (NO_EDGE_SD**2 + variance)
    losing = special.ndtr(-own * mean / np.sqrt(own * variance)) >= CUT_PROBABILITY
    return np.asarray(((better >= chance) | (np.arange(3) == best)) & ~losing)


def main(_: Sequence[str]) -> int:
    """Print the tables."""
    rng = np.random.default_rng(1)
    print(f"{SHOPS} shops, {DAYS} days; growth of the best fixed policy that knows the truth\n")
    print(f"| evidence | {' | '.join(POLICIES)} |\n|---|---|---|---|---|")
    for name, values in (("revenue", False), ("orders and values", True)):
        cells = [growth(rng, policy, values=values) for policy in POLICIES]
        print(f"| {name} | {' | '.join(f'{cell:.0%}' for cell in cells)} |")
    chances = (0.1, 0.2, 0.3, 0.4)
    print(f"\n| kept from | {' | '.join(f'{chance:.0%}' for chance in chances)} |")
    print("|---|---|---|---|---|")
    cells = [unknowing(rng, chance) for chance in chances]
    print(f"| no ROI known | {' | '.join(f'{cell:.0%}' for cell in cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
