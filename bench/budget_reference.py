"""Measures how fast the best possible policy finds the one campaign of three that earns, at one
order a day. Run: python -m bench.budget_reference (10 seconds)

The policy knows the ROIs -30, 0 and +20 %, but not which campaign has which, and moves the whole
bankroll each day. `revenue` judges by revenue per spend, `orders and values` by both. `all seen`
also sees what each campaign would have earned: an upper bound for every policy.
"""

import sys
from collections.abc import Sequence
from itertools import permutations
from typing import Final

import numpy as np

from aggregates.arrays import Floats
from bench.budget_policy import DAYS, SPREAD

RETURNS: Final = np.array([-0.3, 0.0, 0.2])
SHOPS: Final = 4_000
SHAPE: Final = 1 / SPREAD**2
HYPOTHESES: Final = RETURNS[np.array(list(permutations(range(3))))]


def growth(rng: np.random.Generator, *, values: bool, sampled: bool, all_seen: bool) -> float:
    """Share of the growth of a policy that knows the truth."""
    belief, total = np.zeros((SHOPS, len(HYPOTHESES))), np.zeros(SHOPS)
    for _ in range(DAYS):
        share = np.exp(belief - belief.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        expected = share @ HYPOTHESES
        if sampled:  # Thompson 1933: by one draw from what is believed.
            drawn = (share.cumsum(axis=1) > rng.random((SHOPS, 1))).argmax(axis=1)
            expected = HYPOTHESES[drawn]
        chosen = expected.argmax(axis=1)
        total += RETURNS[chosen]
        stake = np.ones((SHOPS, 3)) if all_seen else np.eye(3)[chosen]
        orders = rng.poisson(3 * stake)
        earned = rng.gamma(np.maximum(orders, 1) * SHAPE, 1 / SHAPE) * (orders > 0)
        earned = earned * (1 + RETURNS)
        for number, returns in enumerate(HYPOTHESES):
            belief[:, number] += _evidence(
                orders.astype(float), earned, stake, 1 + returns, values=values
            )
    return float(total.mean() / (RETURNS.max() * DAYS))


def _evidence(
    orders: Floats, earned: Floats, stake: Floats, value: Floats, *, values: bool
) -> Floats:
    """Log-likelihood of a day where an order is worth `value` on average."""
    if values:
        found: Floats = (-orders * SHAPE * np.log(value) - earned * SHAPE / value).sum(axis=1)
        return found
    mean, variance = 3 * stake * value, np.maximum(3 * (1 + SPREAD**2) * stake * value**2, 1e-9)
    terms = -0.5 * np.log(variance) - (earned - mean) ** 2 / (2 * variance)
    return np.asarray(np.where(stake > 0, terms, 0.0).sum(axis=1))


def main(_: Sequence[str]) -> int:
    """Print the table."""
    rng = np.random.default_rng(1)
    print(f"{SHOPS} shops, {DAYS} days; growth of the best fixed policy that knows the truth\n")
    print("| evidence | the likeliest | by a draw | all seen |\n|---|---|---|---|")
    for name, values in (("revenue", False), ("orders and values", True)):
        cells = [
            growth(rng, values=values, sampled=sampled, all_seen=all_seen)
            for sampled, all_seen in ((False, False), (True, False), (False, True))
        ]
        print(f"| {name} | {' | '.join(f'{cell:.0%}' for cell in cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
