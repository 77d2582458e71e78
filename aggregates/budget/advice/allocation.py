"""Kelly over several campaigns together: correlated returns, one bankroll (docs/facts/analytics.md,
"Kelly fractions")."""

from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np
from scipy import linalg, optimize

from aggregates.arrays import Floats
from aggregates.budget.advice.kelly import VARIANCE_FLOOR

MAX_CAMPAIGNS: Final = 50
MAX_SIMULTANEOUS: Final = 12  # 2^12 outcomes


def shrunk_covariance(returns: Floats) -> Floats:
    """Sample covariance of `returns` [days, campaigns], off-diagonals shrunk towards 0 by Schaefer
    & Strimmer 2005, eq. 10.

    The intensity sum Var(s_ij) / sum s_ij^2 (i != j, within 0..1) is estimated from the same days;
    variances stay as they are, but at least the floor. Needs two days (ValueError below).
    """
    days, _ = returns.shape
    if days < 2:
        raise ValueError(f"a covariance needs two days, not {days}")
    centred = returns - returns.mean(axis=0)
    products = centred[:, :, None] * centred[:, None, :]
    sample = products.sum(axis=0) / (days - 1)
    noise = days / (days - 1) ** 3 * ((products - products.mean(axis=0)) ** 2).sum(axis=0)
    apart = ~np.eye(len(sample), dtype=bool)
    signal = float((sample[apart] ** 2).sum())
    intensity = min(1.0, float(noise[apart].sum()) / signal) if signal > 0 else 1.0
    shrunk: Floats = np.where(apart, (1.0 - intensity) * sample, np.maximum(sample, VARIANCE_FLOOR))
    return shrunk


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


def simultaneous_binary(bets: Sequence[tuple[float, float]]) -> Floats:
    """Fractions of bets (p, b) settled together: max E ln(1 + f'X) over all outcomes, f >= 0, sum f
    <= 1; at most 12 bets."""
    if len(bets) > MAX_SIMULTANEOUS:
        raise ValueError(f"{len(bets)} bets at once; at most {MAX_SIMULTANEOUS}")
    won = np.array(list(product((True, False), repeat=len(bets))))
    p, b = np.array([bet[0] for bet in bets]), np.array([bet[1] for bet in bets])
    chance = np.where(won, p, 1.0 - p).prod(axis=1)
    outcome = np.where(won, b, -1.0)

    def loss(f: Floats) -> tuple[float, Floats]:
        wealth = np.maximum(1.0 + outcome @ f, 1e-12)
        return -float(chance @ np.log(wealth)), -(chance / wealth) @ outcome

    result = optimize.minimize(
        loss,
        np.full(len(bets), 0.5 / len(bets)),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * len(bets),
        constraints=optimize.LinearConstraint(np.ones((1, len(bets))), -np.inf, 1.0 - 1e-9),
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return np.asarray(result.x, dtype=np.float64)
