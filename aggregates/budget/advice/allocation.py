"""Kelly over several campaigns together: correlated returns, one bankroll (docs/facts/analytics.md,
"Kelly fractions")."""

from typing import Final

import numpy as np
from scipy import linalg, optimize

from aggregates.arrays import Floats

MAX_CAMPAIGNS: Final = 50


def several(mu: Floats, cov: Floats, cap: float = 1.0) -> Floats:
    """Fractions of the bankroll, one per campaign; `cov` positive definite (LinAlgError else).

    max f'mu - f'S f / 2 subject to f >= 0 and sum f <= cap. With nu the price of the bankroll,
    f(nu) solves the same problem for mu - nu without the cap: non-negative least squares, S = L L',
    min |L'f - L^-1 (mu - nu)|. sum f(nu) falls as nu rises, so the price at which it meets the cap
    is found by bracketing.
    """
    if len(mu) > MAX_CAMPAIGNS:
        raise ValueError(
            f"{len(mu)} campaigns at once; the joint optimum is for at most {MAX_CAMPAIGNS}"
        )
    if len(mu) == 0 or float(np.max(mu)) <= 0.0:
        return np.zeros(len(mu))
    lower = np.linalg.cholesky(cov)

    def fractions(price: float) -> Floats:
        target = linalg.solve_triangular(lower, mu - price, lower=True)
        found: Floats = optimize.nnls(lower.T, target)[0]
        return found

    free = fractions(0.0)
    if free.sum() <= cap:
        return free
    price = optimize.brentq(
        lambda nu: float(fractions(nu).sum()) - cap, 0.0, float(np.max(mu)), xtol=1e-15
    )
    bound = fractions(float(price))
    return bound * min(1.0, cap / float(bound.sum()))
