"""Maximum of a smooth likelihood in a few positive parameters, to machine precision, by Newton's
method. The result depends on the data and the fixed start only.

`scipy.optimize` comes near the optimum only, and takes 17 MB of the process that loads it.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np

from aggregates.arrays import Floats

USUAL: Final = float(np.log(1e3))
"""Parameters beyond 1/1000 .. 1000 cost log-likelihood: (ln p - ln 1000)^2 / 2 for each of them.

A likelihood that is flat there (customers who hardly differ) has its optimum a little beyond; one
that goes on rising by 4.6 for each e-fold runs into the bound, and has none.
"""
BOUND: Final = float(np.log(1e5))
FLAT: Final = 1e-11
"""Gradient per customer at which Newton's method stops."""
FLAT_ENOUGH: Final = 1e-7
STEPS: Final = 100
"""A dozen are usual; where customers hardly differ, parameters drift to `USUAL` in turn."""
LONGEST_STEP: Final = 2.0


class Objective(Protocol):
    """Minus the mean log-likelihood of `total` customers, and its gradient, by log parameters."""

    total: float

    def __call__(self, logs: Floats) -> tuple[float, Floats]: ...


class Optimum(NamedTuple):
    """Log parameters, the log-likelihood of all customers there, and whether a bound stopped it."""

    at: Floats
    value: float
    at_bound: bool


def maximum(
    likelihood: Objective, start: Floats, coarse: Objective | None = None
) -> Optimum | None:
    """The maximum near `start`; None without convergence.

    `coarse` is the likelihood of the same customers in fewer cells. Its optimum is the start, and
    its curvature there saves that of the full likelihood, which is nearly the same.
    """
    at: Floats = start
    curvature: Floats | None = None
    if coarse is not None:
        rough = _Penalised(coarse)
        at, _ = _newton(rough, at, None)
        curvature = _curvature(rough, at, rough(at)[1])
    at, slope = _newton(_Penalised(likelihood), at, curvature)
    at_bound = bool(np.abs(at).max() >= BOUND - 1e-6)
    if not np.all(np.isfinite(at)) or not (slope < FLAT_ENOUGH or at_bound):
        return None
    return Optimum(at, -likelihood(at)[0] * likelihood.total, at_bound)


class _Penalised:
    """An objective with the price of unusual parameters, see `USUAL`."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective

    def __call__(self, logs: Floats) -> tuple[float, Floats]:
        value, gradient = self._objective(logs)
        beyond = np.sign(logs) * np.maximum(np.abs(logs) - USUAL, 0.0) / self._objective.total
        return value + 0.5 * self._objective.total * float(np.sum(beyond**2)), gradient + beyond


def _newton(objective: _Penalised, at: Floats, curvature: Floats | None) -> tuple[Floats, float]:
    """Where the gradient is zero or a bound is met, and the largest slope there.

    A curvature serves as long as each step makes the gradient ten times smaller.
    """
    value, gradient = objective(at)
    for _ in range(STEPS):
        slope = float(np.abs(gradient).max())
        if slope < FLAT:
            break
        fresh = curvature is None
        curvature = _curvature(objective, at, gradient) if curvature is None else curvature
        step = _step(curvature, gradient)
        new = np.clip(at - step, -BOUND, BOUND)
        new_value, new_gradient = objective(new)
        while fresh and not _better(new_value, new_gradient, value, slope):
            step = step / 4
            if float(np.abs(step).max()) < 1e-12:
                return at, slope
            new = np.clip(at - step, -BOUND, BOUND)
            new_value, new_gradient = objective(new)
        new_slope = float(np.abs(new_gradient).max())
        if not fresh and not _better(new_value, new_gradient, value, slope):
            curvature = None
            continue
        if np.array_equal(new, at):
            break
        at, value, gradient = new, new_value, new_gradient
        if new_slope > slope / 10:
            curvature = None
    return at, float(np.abs(gradient).max())


def _better(new_value: float, new_gradient: Floats, value: float, slope: float) -> bool:
    """Near the optimum values agree to their last digit, and only the gradient still differs."""
    if not np.isfinite(new_value):
        return False
    tie = 1e-13 * max(abs(value), 1.0)
    lower_slope = float(np.abs(new_gradient).max()) < slope
    return new_value < value - tie or (new_value <= value + tie and lower_slope)


def _curvature(objective: _Penalised, at: Floats, gradient: Floats) -> Floats:
    """The Hessian by differences of the gradient."""
    width = 1e-5
    rows = [(objective(at + side)[1] - gradient) / width for side in np.eye(len(at)) * width]
    hessian: Floats = np.array(rows)
    return (hessian + hessian.T) / 2


def _step(curvature: Floats, gradient: Floats) -> Floats:
    """Newton's step, downhill also where the curvature is negative, and not longer than 2."""
    bends, directions = np.linalg.eigh(curvature)
    bends = np.maximum(np.abs(bends), 1e-9 * np.abs(bends).max())
    step: Floats = directions @ ((directions.T @ gradient) / bends)
    longest = float(np.abs(step).max())
    return step * min(1.0, LONGEST_STEP / longest) if longest > 0 else step
