"""The likelihood of BG/NBD over cells of customers, with an analytic gradient."""

import numpy as np
from scipy import special

from aggregates.arrays import Floats, Ints
from aggregates.rfm.value.history import History


class BgNbdLikelihood:
    """Minus the mean of Fader, Hardie & Lee 2005, eq. 6, per customer, and its gradient.

    Arguments are (ln r, ln alpha, ln a, ln b). Gamma functions are taken once per distinct x,
    logarithms of times once per distinct time, and gathered to the cells.
    """

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
            special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha) + special.gammaln(a + b)
            + special.gammaln(b + x) - special.gammaln(b) - special.gammaln(a + b + x)
        )  # fmt: skip
        psi_r = special.digamma(r + x) - special.digamma(r)
        psi_b = special.digamma(b + x) - special.digamma(b)
        psi_ab = special.digamma(a + b) - special.digamma(a + b + x)
        log_leave = np.log(a / (b + later))
        # One-time customers: -r ln(alpha + T).
        log_once = np.log(alpha + self.T_once)
        # Repeaters: ln[(alpha+T)^-(r+x) + a/(b+x-1) (alpha+t_x)^-(r+x)]
        #          = ln(a/(b+x-1)) - (r+x) ln(alpha+t_x) + ln(1 + staying)
        log_T, log_t = np.log(alpha + self.T), np.log(alpha + self.t_x)
        power = r + self.x_again
        gap = log_T[self.T_of] - log_t[self.t_x_of]
        staying = np.exp(-log_leave[self.x_of] - power * gap)
        left = self.n / (1.0 + staying)  # n times the weight of the term in t_x
        stay = self.n - left  # and of the term in T
        kernel = self.n_again_of_x @ log_leave - (r * self.n_of_t + self.n_x_of_t) @ log_t
        kernel += dot(self.n, np.log1p(staying))
        value = n_x @ gammas - r * (self.n_once @ log_once) + kernel
        # d/dr of the kernel = -(ln(alpha+t_x) left + ln(alpha+T) stay); likewise for alpha.
        d_r = n_x @ psi_r + n_x.sum() * np.log(alpha) - self.n_once @ log_once
        d_r -= self.n_of_t @ log_t + dot(stay, gap)
        by_T = np.bincount(self.T_of, stay * power, len(self.T)) / (alpha + self.T)
        by_t = np.bincount(self.t_x_of, left * power, len(self.t_x)) / (alpha + self.t_x)
        d_alpha = n_x.sum() * r / alpha - r * (self.n_once @ (1.0 / (alpha + self.T_once)))
        d_alpha -= by_T.sum() + by_t.sum()
        left_x = np.bincount(self.x_of, left, len(x))
        d_a = n_x @ psi_ab + left_x.sum() / a
        d_b = n_x @ (psi_ab + psi_b) - left_x @ (1.0 / (b + later))
        gradient = np.array([d_r * r, d_alpha * alpha, d_a * a, d_b * b])
        return -float(value) / self.total, -gradient / self.total


def dot(left: Floats | Ints, right: Floats | Ints) -> float:
    """Sum of products, without BLAS: waking its threads for each one costs more than they save."""
    return float(np.einsum("i,i->", left, right))
