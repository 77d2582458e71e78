"""Kelly over several campaigns together: correlated returns, one bankroll (docs/facts/analytics.md,
"Kelly fractions")."""

from typing import Final

import numpy as np

from aggregates.arrays import Bools, Floats

MAX_CAMPAIGNS: Final = 50
NEARLY: Final = 1e-12
"""Rounding, as a share of the numbers compared."""
PRICES: Final = 100
"""Tried at most; a handful are."""
PATIENCE: Final = 3


def several(mu: Floats, cov: Floats, cap: float = 1.0) -> Floats:
    """Fractions of the bankroll, one per campaign; `cov` positive definite (LinAlgError else).

    max f'mu - f'S f / 2 subject to f >= 0 and sum f <= cap. With nu the price of the bankroll,
    f(nu) solves the same problem for mu - nu without the cap. sum f(nu) falls in straight pieces as
    nu rises, so Newton's steps, kept between bounds, find the price at which it meets the cap.

    SciPy has `nnls` and `brentq` for it, and takes 17 MB of the process that loads them.
    """
    if len(mu) > MAX_CAMPAIGNS:
        raise ValueError(
            f"{len(mu)} campaigns at once; the joint optimum is for at most {MAX_CAMPAIGNS}"
        )
    if len(mu) == 0 or float(np.max(mu)) <= 0.0:
        return np.zeros(len(mu))
    np.linalg.cholesky(cov)
    low, price, high = 0.0, 0.0, float(np.max(mu))
    for _ in range(PRICES):
        fractions, chosen = _uncapped(mu - price, cov)
        over = float(fractions.sum()) - cap
        if abs(over) <= NEARLY * cap or (over < 0.0 and price == 0.0):
            break
        low, high = (price, high) if over > 0.0 else (low, price)
        fall = np.linalg.solve(cov[np.ix_(chosen, chosen)], np.ones(int(chosen.sum()))).sum()
        price += over / float(fall) if chosen.any() else -price
        if not low < price < high:
            price = (low + high) / 2
    return fractions * min(1.0, cap / max(float(fractions.sum()), cap))


def _uncapped(mu: Floats, cov: Floats) -> tuple[Floats, Bools]:
    """f >= 0 that maximises f'mu - f'S f / 2, and which campaigns it chooses.

    Block principal pivoting (Kim & Park 2011, doi:10.1137/110821172): whatever is on the wrong side
    changes it together, and one at a time once that has stopped helping, which ends for sure.
    """
    chosen, fewest, patience = mu > 0.0, len(mu) + 1, PATIENCE
    rounding = NEARLY * float(np.abs(mu).max())
    while True:
        fractions = np.zeros(len(mu))
        fractions[chosen] = np.linalg.solve(cov[np.ix_(chosen, chosen)], mu[chosen])
        wrong = np.where(chosen, fractions < 0.0, mu - cov @ fractions > rounding)
        count = int(wrong.sum())
        if count == 0:
            return fractions, chosen
        patience = PATIENCE if count < fewest else patience - 1
        fewest = min(count, fewest)
        if patience > 0:
            chosen = chosen ^ wrong
        else:
            chosen = chosen.copy()
            chosen[np.flatnonzero(wrong)[-1]] ^= True
