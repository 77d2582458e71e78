"""BG/NBD ("buy till you die"): how often customers order while they stay, and when they leave
(Fader, Hardie & Lee 2005; docs/facts/analytics.md, "BG/NBD", "Guards")."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import special

from aggregates.arrays import Floats, Ints
from aggregates.rfm.value.btyd_likelihood import BgNbdLikelihood
from aggregates.rfm.value.history import History, coarsened
from aggregates.rfm.value.optimum import maximum

MIN_REPEATERS: Final = 500
SHORTEST_ALPHA_WEEKS: Final = 0.01
"""Below two hours alpha measures the time of day of orders, and days are all that is known."""
COARSE_FROM_CELLS: Final = 5_000


@dataclass(frozen=True, slots=True)
class NoPrediction:
    """Why there are no numbers, in words for the merchant."""

    reason: str


@dataclass(frozen=True, slots=True)
class BgNbd:
    """Fitted parameters; alpha in weeks, the others without unit."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float


def fit_bg_nbd(history: History, *, min_repeaters: int = MIN_REPEATERS) -> BgNbd | NoPrediction:
    """Maximum likelihood: a function of `history` only, so that it is the same after a restart."""
    repeaters = int(history.n[history.x > 0].sum())
    if repeaters < min_repeaters or repeaters == 0:
        needed = max(min_repeaters, 1)
        return NoPrediction(f"{repeaters} customers have ordered again; predicting needs {needed}")
    coarse = None
    if len(history.x) >= COARSE_FROM_CELLS:
        coarse = BgNbdLikelihood(coarsened(history))
    guess = np.log([0.5, max(float(np.median(history.T)) / 4, 1e-3), 0.8, 2.5])
    found = maximum(BgNbdLikelihood(history), guess, coarse)
    if found is None:
        return NoPrediction("the purchase model did not converge on these customers")
    r, alpha, a, b = (float(value) for value in np.exp(found.at))
    if found.at_bound or alpha < SHORTEST_ALPHA_WEEKS:
        return NoPrediction(
            "the purchase model has no optimum on these customers: they are too alike, or order in"
            " bursts that days are too coarse for"
        )
    return BgNbd(r, alpha, a, b, found.value)


def log_likelihood(model: BgNbd, history: History) -> float:
    """Of all customers of `history` under `model`."""
    value, _ = BgNbdLikelihood(history)(np.log([model.r, model.alpha, model.a, model.b]))
    return -value * float(history.n.sum())


def p_alive(model: BgNbd, x: Ints, t_x: Floats, T: Floats) -> Floats:
    """P(still a customer), one per entry (Fader, Hardie & Lee 2008, brucehardie.com/notes/021).

    1 where x = 0: in this model nobody leaves before the first repeat order.
    """
    return 1.0 / (1.0 + _departed_odds(model, x, t_x, T))


def expected_purchases(model: BgNbd, weeks: float, x: Ints, t_x: Floats, T: Floats) -> Floats:
    """E[Y(t) | x, t_x, T]: orders in the next `weeks`, one per entry (eq. 10).

    By Euler's transformation, with z = t / (alpha + T + t),

        ((alpha+T)/(alpha+T+t))^(r+x) 2F1(r+x, b+x; a+b+x-1; z)
            = (1-z)^(a-1) 2F1(a+b-1-r, a-1; a+b+x-1; z)

    The right side keeps parameters small, so that a large x neither overflows nor cancels. If a is
    large it is 0 times infinity, and the left side is used.
    """
    a = model.a if abs(model.a - 1.0) > 1e-7 else 1.0 + 1e-7  # removable pole
    c = x.astype(np.float64) + (a + model.b - 1.0)
    c[np.abs(c) < 1e-9] = 1e-9
    z = np.divide(weeks, model.alpha + T + weeks, dtype=np.float64)
    with np.errstate(all="ignore"):
        left = (1.0 - z) ** (a - 1.0) * _hypergeometric(a + model.b - 1.0 - model.r, a - 1.0, c, z)
        if (beyond := ~np.isfinite(left)).any():
            power, more, z = model.r + x[beyond], model.b + x[beyond], z[beyond]
            left[beyond] = (1.0 - z) ** power * special.hyp2f1(power, more, c[beyond], z)
    unconditional = c / (a - 1.0) * (1.0 - left)
    return unconditional * p_alive(model, x, t_x, T)


def _hypergeometric(a: float, b: float, c: Floats, z: Floats) -> Floats:
    """2F1 once per distinct (c, z): cells share ages, and many share both."""
    pairs, inverse = np.unique(c + 1j * z, return_inverse=True)
    values = np.asarray(special.hyp2f1(a, b, pairs.real, pairs.imag))
    for i in np.flatnonzero(~np.isfinite(values)):
        values[i] = _series(a, b, float(pairs[i].real), float(pairs[i].imag))
    return values[inverse]


def _series(a: float, b: float, c: float, z: float) -> float:
    """2F1 by its power series, where SciPy's overflows: integer a and b, large c; few terms."""
    term, total, k = 1.0, 1.0, 0
    while abs(term) > 1e-16 * abs(total) and k < 100_000:
        term *= (a + k) * (b + k) / ((c + k) * (k + 1)) * z
        total += term
        k += 1
    return total


def _departed_odds(model: BgNbd, x: Ints, t_x: Floats, T: Floats) -> Floats:
    repeat = np.maximum(x, 1)
    since = np.log((model.alpha + T) / (model.alpha + t_x))
    log_odds = np.log(model.a / (model.b + repeat - 1.0)) + (model.r + x) * since
    return np.where(x > 0, np.exp(np.minimum(log_odds, 700.0)), 0.0)
