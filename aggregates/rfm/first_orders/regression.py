"""Regression of a non-negative mean on columns, by Poisson pseudo-likelihood."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from aggregates.arrays import Floats

MOST_STEPS: Final = 50
MOST_LOG: Final = 30.0


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """A fitted regression."""

    level: float
    """The mean where all columns are at theirs; 0 where nothing was observed."""
    slopes: Floats

    def predicted(self, rows: Floats) -> Floats:
        """The mean at each row."""
        return self.level * np.exp(np.clip(rows @ self.slopes, -MOST_LOG, MOST_LOG))


def regression(rows: Floats, observed: Floats, ridge: float) -> Means:
    """Fitted by Newton's method with halved steps; an infinite `ridge` leaves only the mean.

    E[y | x] = exp(b0 + x'b). The estimate is consistent for any distribution with that mean, many
    zeros and heavy tails included (Gourieroux, Monfort & Trognon 1984, Econometrica 52(3)). A ridge
    on b shrinks towards the mean of all; b0 is free, so fitted values add up to what was observed.
    `observed` is in units of its mean, so that the ridge means the same in every shop.
    """
    mean, width = float(observed.mean()), rows.shape[1]
    if mean <= 0.0 or not np.isfinite(ridge):
        return Means(max(mean, 0.0), np.zeros(width))
    y = observed / mean
    columns = np.column_stack([np.ones(len(y)), rows])
    penalty = np.full(width + 1, ridge)
    penalty[0] = 0.0
    at = np.zeros(width + 1)
    loss, mu = _loss(columns, y, penalty, at)
    for _ in range(MOST_STEPS):
        slope = columns.T @ (mu - y) + penalty * at
        curvature = (columns.T * mu) @ columns + np.diag(penalty + 1e-9)
        step = np.linalg.solve(curvature, slope)
        size = 1.0
        while size > 1e-6:
            tried = at - size * step
            tried_loss, tried_mu = _loss(columns, y, penalty, tried)
            if tried_loss <= loss:
                break
            size /= 2
        else:
            break
        gained = loss - tried_loss
        at, loss, mu = tried, tried_loss, tried_mu
        if gained < 1e-7 * len(y):
            break
    return Means(mean * float(np.exp(at[0])), at[1:])


def _loss(columns: Floats, y: Floats, penalty: Floats, at: Floats) -> tuple[float, Floats]:
    logs = np.clip(columns @ at, -MOST_LOG, MOST_LOG)
    mu: Floats = np.exp(logs)
    return float((mu - y * logs).sum() + 0.5 * (penalty * at * at).sum()), mu


def deviance(observed: Floats, predicted: Floats) -> float:
    """Poisson deviance without the terms that predictions do not change; the lower the better."""
    mu = np.maximum(predicted, 1e-12)
    return float((mu - observed * np.log(mu)).sum())
