"""The expected worth of a customer's order: Gamma-Gamma if it fits, else the mean."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from aggregates.arrays import Floats, Ints
from aggregates.rfm.value.btyd import MIN_REPEATERS, NoPrediction
from aggregates.rfm.value.btyd_likelihood import dot
from aggregates.rfm.value.gamma_gamma import GammaGamma, fit_gamma_gamma

NO_VARIANCE_UP_TO_Q: Final = 2.0
"""For q <= 2 the means of customers have no variance, for q <= 1 no mean: the tail rules them."""
FAR_ABOVE: Final = 1.05
NO_MODEL: Final = "spend is predicted from means instead of the Gamma-Gamma model: {}"
CAPPED: Final = (
    "a few customers spend far more than the others: customers without a repeat order are taken to"
    " spend what repeat customers do on average, which is less than the spend model has"
)


@dataclass(frozen=True, slots=True)
class SpendModel:
    """`mean` is expected of a customer without repeat orders and counts for `orders` of their own.

        E[M | x, z] = (k mean + x z) / (k + x),   k = (q - 1) / p,   mean = p v / (q - 1)

    is Fader & Hardie (2013), eq. 5, as a credibility formula: the mean of all counts for k orders
    beside the customer's own x with mean z; it also works without a finite mean of the model.
    `orders` is infinite if the own orders say nothing. `fitted` is the model, if there is one.
    """

    mean: float
    orders: float
    fitted: GammaGamma | None
    note: str | None

    def per_order(self, x: Ints, repeat_spend: Floats, n: Ints | Floats) -> Floats:
        """Sum over `n` customers with x repeat orders each, who spent `repeat_spend` together."""
        if np.isinf(self.orders):
            return self.mean * n.astype(np.float64)
        known = np.maximum(self.orders + x, 1e-300)
        own: Floats = (self.orders * self.mean * n + repeat_spend) / known
        return np.where(x > 0, own, self.mean * n)


def spend_model(
    x: Ints, z: Floats, n: Ints, *, min_repeaters: int = MIN_REPEATERS
) -> SpendModel | NoPrediction:
    """From cells: repeat purchase days `x`, their mean spend `z`, customers `n`."""
    kept = (x > 0) & (z > 0) & (n > 0)
    x, z, n = x[kept], z[kept], n[kept]
    repeaters = int(n.sum())
    if repeaters < max(min_repeaters, 1):
        return NoPrediction(
            f"{repeaters} customers have spent again; predicting spend needs "
            f"{max(min_repeaters, 1)}"
        )
    weight = n.astype(np.float64)
    observed = dot(weight, z) / repeaters
    fitted = fit_gamma_gamma(x, z, n, min_repeaters=min_repeaters)
    if isinstance(fitted, NoPrediction):
        orders = _credibility_orders(x, z, weight, observed)
        return SpendModel(observed, orders, None, NO_MODEL.format(fitted.reason))
    return model_spend(fitted, observed)


def model_spend(fitted: GammaGamma, observed: float = np.inf) -> SpendModel:
    """The model's expectation, its mean capped by that of repeat customers if the tail
    dominates."""
    mean = fitted.p * fitted.v / (fitted.q - 1.0) if fitted.q > 1.0 else np.inf
    orders = max(fitted.q - 1.0, 0.0) / fitted.p
    if mean > observed and (fitted.q <= NO_VARIANCE_UP_TO_Q or mean > FAR_ABOVE * observed):
        return SpendModel(observed, orders, fitted, CAPPED)
    return SpendModel(mean, orders, fitted, None)


def _credibility_orders(x: Ints, z: Floats, n: Floats, mean: float) -> float:
    """k = within / between variance (Buhlmann & Straub 1970), from Var(z | x) = between + within /
    x.

    Infinite where customers do not differ, or where nobody ordered more often than others: then
    nothing says whether a customer's next order is like the last one.
    """
    share, part = n / n.sum(), 1.0 / x
    squared = (z - mean) ** 2
    mean_part, variance = dot(share, part), dot(share, squared)
    spread = dot(share, (part - mean_part) ** 2)
    if variance <= 1e-12 * mean**2 or spread <= 0.0:
        return np.inf
    within = max(dot(share, (part - mean_part) * squared) / spread, 0.0)
    between = variance - within * mean_part
    return within / between if between > 0.0 else np.inf
