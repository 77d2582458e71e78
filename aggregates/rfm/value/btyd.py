"""BG/NBD ("buy till you die"): when customers will order again, and who has left
(docs/facts/analytics.md, "BG/NBD", "Guards").

A customer is x = distinct purchase days - 1, t_x = last - first and T = now - first, in weeks.
Customers with equal (x, t_x, T) are interchangeable, so everything works on cells of them with a
count `n` ("Grouping customers").

The fit is fast because the gradient is analytic, gamma functions are taken once per distinct x,
logarithms once per distinct time, and it starts from the previous fit, or from a fit on a coarse
grid of times. Parameters are optimised as logarithms, so they stay positive.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import optimize, special

from aggregates.arrays import Floats, Ints

DAYS_PER_WEEK: Final = 7.0
MIN_REPEATERS: Final = 500
COARSE_WEEKS: Final = 8.0
_COARSE_FROM_CELLS: Final = 5_000


@dataclass(frozen=True, slots=True)
class CannotTell:
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


@dataclass(frozen=True, slots=True)
class History:
    """Cells of customers: repeat purchase days `x`, `t_x` and `T` in weeks (0 <= t_x <= T), customers `n`."""

    x: Ints
    t_x: Floats
    T: Floats
    n: Ints


def history_from_days(x: Ints, first_day: Ints, last_day: Ints, n: Ints, asof_day: int) -> History:
    """Cells keyed by absolute days (since 1970-01-01) as they stand at the end of `asof_day`."""
    T: Floats = np.maximum(asof_day - first_day, 0) / DAYS_PER_WEEK
    return History(x, np.clip((last_day - first_day) / DAYS_PER_WEEK, 0.0, T), T, n)


def history_from_weeks(
    x: Ints, first_week: Ints, last_week: Ints, n: Ints, asof_day: int
) -> History:
    """Cells keyed by absolute weeks (day // 7): a week stands for its middle day, or `asof_day` if that comes before."""
    first_day = np.minimum(first_week * 7 + 3, asof_day)
    return history_from_days(x, first_day, np.minimum(last_week * 7 + 3, asof_day), n, asof_day)


def fit_bg_nbd(
    history: History, *, start: BgNbd | None = None, min_repeaters: int = MIN_REPEATERS
) -> BgNbd | CannotTell:
    """Maximum likelihood over the cells; `start` is a previous fit of nearly the same customers."""
    repeaters = int(history.n[history.x > 0].sum())
    if repeaters < min_repeaters or repeaters == 0:
        return CannotTell(
            f"{repeaters} customers have ordered again; predicting needs {max(min_repeaters, 1)}"
        )
    guess = np.log([start.r, start.alpha, start.a, start.b]) if start else _first_guess(history)
    found, objective, converged = _minimise(_Likelihood(history), guess)
    r, alpha, a, b = (float(value) for value in np.exp(found))
    if not converged or not np.all(np.isfinite(found)) or max(r, alpha, a, b) > 1e6:
        return CannotTell("the purchase model did not converge on these customers")
    return BgNbd(r, alpha, a, b, -objective * float(history.n.sum()))


def log_likelihood(model: BgNbd, history: History) -> float:
    """Of all customers of `history` under `model`."""
    value, _ = _Likelihood(history)(np.log([model.r, model.alpha, model.a, model.b]))
    return -value * float(history.n.sum())


def p_alive(model: BgNbd, x: Ints, t_x: Floats, T: Floats) -> Floats:
    """P(still a customer), one per entry; 1 where x = 0, since one leaves only after a repeat order."""
    return 1.0 / (1.0 + _departed_odds(model, x, t_x, T))


def expected_purchases(model: BgNbd, weeks: float, x: Ints, t_x: Floats, T: Floats) -> Floats:
    """E[Y(t) | x, t_x, T]: orders in the next `weeks`, one per entry.

    With Euler's transformation, ((alpha+T)/(alpha+T+t))^(r+x) 2F1(r+x, b+x; a+b+x-1; z) = (1-z)^(a-1) 2F1(a+b-1-r, a-1;
    a+b+x-1; z) where z = t/(alpha+T+t): parameters stay small, so a large x neither overflows nor cancels. Where a is large instead
    (nearly everybody leaves after a repeat order) the right side is 0 times infinity, and the left one is taken as it stands.
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


def expected_purchases_new(model: BgNbd, weeks: float) -> float:
    """E[X(t)]: repeat orders of a new customer within `weeks` of the first order."""
    zero = np.zeros(1)
    return float(expected_purchases(model, weeks, np.zeros(1, dtype=np.int64), zero, zero)[0])


def _hypergeometric(a: float, b: float, c: Floats, z: Floats) -> Floats:
    """2F1 once per distinct (c, z): cells share ages, and many share both."""
    pairs, inverse = np.unique(c + 1j * z, return_inverse=True)
    values = np.asarray(special.hyp2f1(a, b, pairs.real, pairs.imag))
    for i in np.flatnonzero(~np.isfinite(values)):
        values[i] = _series(a, b, float(pairs[i].real), float(pairs[i].imag))
    return values[inverse]


def _series(a: float, b: float, c: float, z: float) -> float:
    """2F1 by its power series, for the whole numbers a, b and large c at which SciPy's own overflows; there it is short."""
    term, total, k = 1.0, 1.0, 0
    while abs(term) > 1e-16 * abs(total) and k < 100_000:
        term *= (a + k) * (b + k) / ((c + k) * (k + 1)) * z
        total += term
        k += 1
    return total


def _departed_odds(model: BgNbd, x: Ints, t_x: Floats, T: Floats) -> Floats:
    repeat = np.maximum(x, 1)
    log_odds = np.log(model.a / (model.b + repeat - 1.0)) + (model.r + x) * np.log(
        (model.alpha + T) / (model.alpha + t_x)
    )
    return np.where(x > 0, np.exp(np.minimum(log_odds, 700.0)), 0.0)


class _Likelihood:
    """Minus the mean log-likelihood per customer and its gradient, in (ln r, ln alpha, ln a, ln b)."""

    def __init__(self, history: History) -> None:
        self.total = float(history.n.sum())
        self.x, x_of = np.unique(history.x, return_inverse=True)
        self.n_of_x = np.bincount(x_of, history.n)
        # x = 0: only ln(alpha + T) matters; the others keep one entry per cell.
        once = history.x == 0
        self.T_once, at = np.unique(history.T[once], return_inverse=True)
        self.n_once = np.bincount(at, history.n[once], len(self.T_once))
        again = ~once
        self.n = history.n[again].astype(np.float64)
        self.x_of, self.x_again = x_of[again], history.x[again].astype(np.float64)
        self.T, self.T_of = np.unique(history.T[again], return_inverse=True)
        self.t_x, self.t_x_of = np.unique(history.t_x[again], return_inverse=True)
        self.n_again_of_x = np.bincount(self.x_of, self.n, len(self.x))
        # Sums of n and of n x by distinct t_x, for the terms linear in ln(alpha + t_x).
        self.n_of_t = np.bincount(self.t_x_of, self.n, len(self.t_x))
        self.n_x_of_t = np.bincount(self.t_x_of, self.n * self.x_again, len(self.t_x))

    def __call__(self, logs: Floats) -> tuple[float, Floats]:
        r, alpha, a, b = np.exp(logs)
        # Per distinct x: the gamma functions, and ln of a/(b + x - 1).
        x, n_x = self.x, self.n_of_x
        later = np.maximum(x, 1) - 1.0
        gammas = (
            special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha)
            + special.gammaln(a + b) + special.gammaln(b + x) - special.gammaln(b) - special.gammaln(a + b + x)
        )  # fmt: skip
        psi_r, psi_b = (
            special.digamma(r + x) - special.digamma(r),
            special.digamma(b + x) - special.digamma(b),
        )
        psi_ab = special.digamma(a + b) - special.digamma(a + b + x)
        log_leave = np.log(a / (b + later))
        # One-time customers: -r ln(alpha + T).
        log_once = np.log(alpha + self.T_once)
        # Repeaters: ln[(alpha+T)^-(r+x) + a/(b+x-1) (alpha+t_x)^-(r+x)] = -(r+x) ln(alpha+t_x) + ln(a/(b+x-1)) + ln(1 + 1/odds)
        log_T, log_t = np.log(alpha + self.T), np.log(alpha + self.t_x)
        power = r + self.x_again
        gap = log_T[self.T_of] - log_t[self.t_x_of]
        staying = np.exp(-log_leave[self.x_of] - power * gap)
        left = self.n / (
            1.0 + staying
        )  # n times the weight of the term in t_x, n - left that of the term in T
        stay = self.n - left
        kernel = self.n_again_of_x @ log_leave - (r * self.n_of_t + self.n_x_of_t) @ log_t
        kernel += dot(self.n, np.log1p(staying))
        value = n_x @ gammas - r * (self.n_once @ log_once) + kernel
        # d/dr of the kernel = -(ln(alpha+t_x) left + ln(alpha+T) stay); likewise for alpha.
        d_r = (
            n_x @ psi_r
            + n_x.sum() * np.log(alpha)
            - self.n_once @ log_once
            - self.n_of_t @ log_t
            - dot(stay, gap)
        )
        by_T = np.bincount(self.T_of, stay * power, len(self.T)) / (alpha + self.T)
        by_t = np.bincount(self.t_x_of, left * power, len(self.t_x)) / (alpha + self.t_x)
        d_alpha = (
            n_x.sum() * r / alpha
            - r * (self.n_once @ (1.0 / (alpha + self.T_once)))
            - by_T.sum()
            - by_t.sum()
        )
        left_x = np.bincount(self.x_of, left, len(x))
        d_a = n_x @ psi_ab + left_x.sum() / a
        d_b = n_x @ (psi_ab + psi_b) - left_x @ (1.0 / (b + later))
        gradient = np.array([d_r * r, d_alpha * alpha, d_a * a, d_b * b])
        return -float(value) / self.total, -gradient / self.total


def dot(left: Floats | Ints, right: Floats | Ints) -> float:
    """Over cells, without BLAS: its threads, woken for every product, cost more than they save and stall beside other work."""
    return float(np.einsum("i,i->", left, right))


def _minimise(objective: "_Likelihood", guess: Floats) -> tuple[Floats, float, bool]:
    result = optimize.minimize(
        objective, guess, jac=True, method="L-BFGS-B", bounds=[(-14.0, 14.0)] * 4,
        options={"ftol": 1e-13, "gtol": 1e-7, "maxiter": 300},
    )  # fmt: skip
    # At the end of double precision the line search may give up ("abnormal") on a gradient that is already flat.
    return (
        result.x,
        float(result.fun),
        bool(result.success) or float(np.max(np.abs(result.jac))) < 1e-5,
    )


def _first_guess(history: History) -> Floats:
    """From a fit on a coarse grid of times when there are many cells; a fixed point of ordinary shops otherwise."""
    ordinary = np.log([0.5, max(float(np.median(history.T)) / 4, 1e-3), 0.8, 2.5])
    if len(history.x) < _COARSE_FROM_CELLS:
        return ordinary
    T, t_x = (np.rint(times / COARSE_WEEKS).astype(np.int64) for times in (history.T, history.t_x))
    size_T = int(T.max()) + 1
    key = (history.x * size_T + T) * size_T + t_x
    keys, of = np.unique(key, return_inverse=True)
    coarse = History(
        keys // size_T**2,
        (keys % size_T) * COARSE_WEEKS,
        (keys // size_T % size_T) * COARSE_WEEKS,
        np.bincount(of, history.n).astype(np.int64),
    )
    return _minimise(_Likelihood(coarse), ordinary)[0]
