"""Validates the model of first orders on customers that it was not fitted on: five folds by a hash
of the id, each predicted from the other four, which also chooses the ridge."""

import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from aggregates.arrays import Floats, Ints
from aggregates.rfm.first_orders.regression import Means, deviance, regression

FOLDS: Final = 5
RIDGES: Final = (1.0, 10.0, 100.0, 1_000.0, float("inf"))
"""In customers' worth of noise; infinite is the mean of all for everybody."""
DECILES: Final = 10
CAP: Final = 0.995
"""What single customers bring is capped at this quantile of those who came back, and the level
raised to keep the total: a few large ones would otherwise decide the slopes."""


class Chosen(NamedTuple):
    """A model, and what it said of customers that it had not seen."""

    means: Means
    ridge: float
    unseen: Floats
    """The prediction for each customer by the model of the other folds."""


def folds(ids: Sequence[str]) -> Ints:
    """The fold of each customer."""
    return np.array([zlib.crc32(each.encode()) % FOLDS for each in ids], dtype=np.int64)


def choose(rows: Floats, observed: Floats, fold: Ints) -> Chosen:
    """The model whose ridge predicts unseen customers best."""
    noise = _noise(observed)
    found = [(ridge, _unseen(rows, observed, fold, ridge * noise)) for ridge in reversed(RIDGES)]
    # Equal ones: the more shrunk, which comes first.
    ridge, unseen = min(found, key=lambda each: deviance(observed, each[1]))
    return Chosen(_fitted(rows, observed, ridge * noise), ridge, unseen)


def _noise(observed: Floats) -> float:
    mean = float(observed.mean())
    return float(observed.var()) / mean**2 if mean > 0 else 1.0


def _unseen(rows: Floats, observed: Floats, fold: Ints, ridge: float) -> Floats:
    predicted = np.zeros(len(observed))
    for number in range(FOLDS):
        out = fold == number
        if out.any() and not out.all():
            predicted[out] = _fitted(rows[~out], observed[~out], ridge).predicted(rows[out])
    return predicted


def _fitted(rows: Floats, observed: Floats, ridge: float) -> Means:
    came_back = observed[observed > 0]
    cap = float(np.quantile(came_back, CAP)) if len(came_back) else 0.0
    capped = np.minimum(observed, cap)
    fitted = regression(rows, capped, ridge)
    total = float(capped.sum())
    return Means(
        fitted.level * (float(observed.sum()) / total if total > 0 else 1.0), fitted.slopes
    )


class Decile(NamedTuple):
    """A tenth of the customers, by predicted value; means per customer, minor units."""

    customers: int
    predicted: float
    actual: float
    predicted_later: float
    actual_later: float


def deciles(
    predicted: Floats, actual: Floats, predicted_later: Floats, actual_later: Floats
) -> list[Decile]:
    """Customers by predicted value, the lowest tenth first."""
    parts = np.array_split(np.argsort(predicted, kind="stable"), DECILES)
    return [
        Decile(
            len(part),
            float(predicted[part].mean()),
            float(actual[part].mean()),
            float(predicted_later[part].mean()),
            float(actual_later[part].mean()),
        )
        for part in parts
        if len(part)
    ]


def rank_correlation(predicted: Floats, actual: Floats) -> float | None:
    """Spearman's, of predicted and actual values; None where either is equal for all.

    Not by SciPy's, whose module costs 20 MB.
    """
    if np.ptp(predicted) == 0 or np.ptp(actual) == 0:
        return None
    return float(np.corrcoef(_ranks(predicted), _ranks(actual))[0, 1])


def _ranks(values: Floats) -> Floats:
    """Equal values share their mean rank."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place], dtype=np.float64)
