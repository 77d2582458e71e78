"""Predicts what a customer will be worth from the first order, or says why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from aggregates.arrays import Floats
from aggregates.rfm.first_orders.encoding import Encoding, encoding
from aggregates.rfm.first_orders.order import FirstOrder
from aggregates.rfm.first_orders.regression import Means
from aggregates.rfm.first_orders.sample import MOST_ORDERS, SampledCustomer, customers, first_orders
from aggregates.rfm.first_orders.validation import (
    Decile,
    choose,
    deciles,
    folds,
    rank_correlation,
)
from stream.store.contract import Reading

HORIZONS: Final = (365, 180, 90, 60, 30)
"""Days; the longest for which the shop's history is long enough."""
LEAST_CUSTOMERS: Final = 300
LEAST_AGAIN: Final = 50
"""Customers who came back: fewer say nothing about who will."""
NEWEST: Final = 500
"""First orders whose values are compared with what Meta asks for."""
LEAST_DISTINCT: Final = 5
LEAST_RATIO: Final = 3
"""docs/facts/meta.md, "Predicted lifetime value"."""


class Spread(NamedTuple):
    """The values of the newest first orders, minor units."""

    first_orders: int
    distinct: int
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What a first order is worth, and how well that estimate was."""

    encoding: Encoding
    means: Means
    kept: float
    """Share of first orders that was not given back."""
    margin: float
    shrunk_to_mean: bool
    """Unseen customers were predicted best without looking at their first order."""
    deciles: list[Decile]
    rank_correlation: float | None

    def worth(self, order: FirstOrder) -> int:
        """Minor units within the horizon, the first order included."""
        return int(self.worths([order])[0])

    def worths(self, orders: list[FirstOrder]) -> Floats:
        """Of several, whole minor units."""
        value = np.array([each.value for each in orders], dtype=np.float64)
        later = self.means.predicted(self.encoding.rows(orders))
        worths: Floats = np.rint(self.margin * (self.kept * value + later))
        return worths


@dataclass(frozen=True, slots=True, eq=False)
class FirstOrders:
    """A shop's model, on the orders before `day`; `reason` where no value may be sent."""

    day: int
    currency: str
    horizon_days: int | None = None
    customers: int = 0
    """Whose first order is at least the horizon old."""
    again: int = 0
    """Those of them who ordered again within it."""
    model: Model | None = None
    spread: Spread | None = None
    reason: str | None = None

    def worth(self, order: FirstOrder) -> int | None:
        """Minor units; None where no value may be sent."""
        if self.model is None or self.reason is not None:
            return None
        return self.model.worth(order)


NO_ORDERS: Final = "no order that counts was folded for this shop yet"


def fit_first_orders(
    reading: Reading,
    shop: str,
    currency: str,
    day: int,
    *,
    horizon_days: int,
    margin: float,
    most_orders: int = MOST_ORDERS,
) -> FirstOrders:
    """The shop's model as of the beginning of `day`, from all orders of a sample of customers. It
    depends on the store and the day only, so a restart gives the same numbers.

    worth = what is kept of the first order + what later orders bring within the horizon. The second
    part is a regression on the first order, fitted on customers whose first order is older than the
    horizon.
    """
    if not currency:
        return FirstOrders(day, currency, reason=NO_ORDERS)
    sampled = customers(reading, shop, currency, day, most_orders)

    def placed(some: Sequence[SampledCustomer]) -> list[FirstOrder]:
        return first_orders(reading, shop, some)

    return fit_customers(sampled, placed, currency, day, horizon_days=horizon_days, margin=margin)


def fit_customers(
    sampled: Sequence[SampledCustomer],
    placed: Callable[[Sequence[SampledCustomer]], list[FirstOrder]],
    currency: str,
    day: int,
    *,
    horizon_days: int,
    margin: float,
) -> FirstOrders:
    """The same from customers by the time of their first order; `placed` gives first orders."""
    horizon, matured = _matured(sampled, day, horizon_days)
    again = sum(each.later(horizon) > 0 for each in matured)
    if len(matured) < LEAST_CUSTOMERS or again < LEAST_AGAIN:
        reason = _too_few(horizon, matured, again)
        return FirstOrders(day, currency, horizon, len(matured), again, reason=reason)
    model = _model(matured, placed(matured), horizon, margin)
    spread = _spread(model.worths(placed(sampled[-NEWEST:])))
    return FirstOrders(
        day, currency, horizon, len(matured), again, model, spread, _too_alike(spread)
    )


def _matured(
    sampled: Sequence[SampledCustomer], day: int, horizon_days: int
) -> tuple[int, list[SampledCustomer]]:
    horizons = sorted({horizon_days, *HORIZONS}, reverse=True)
    horizon, matured = horizons[-1], list[SampledCustomer]()
    for horizon in (each for each in horizons if each <= horizon_days):
        matured = [each for each in sampled if each.first.day + horizon < day]
        if len(matured) >= LEAST_CUSTOMERS:
            break
    return horizon, matured


def _model(
    matured: list[SampledCustomer], placed: list[FirstOrder], horizon: int, margin: float
) -> Model:
    made = encoding(placed)
    rows = made.rows(placed)
    later = np.array([each.later(horizon) for each in matured], dtype=np.float64)
    first = np.array([each.first.net for each in matured], dtype=np.float64)
    value = np.array([each.value for each in placed], dtype=np.float64)
    kept = min(float(first.sum() / value.sum()), 1.0) if value.sum() > 0 else 1.0
    chosen = choose(rows, later, folds([each.id for each in matured]))
    predicted = margin * (kept * value + chosen.unseen)
    actual = margin * (first + later)
    return Model(
        made,
        chosen.means,
        kept,
        margin,
        shrunk_to_mean=not np.isfinite(chosen.ridge),
        deciles=deciles(predicted, actual, margin * chosen.unseen, margin * later),
        rank_correlation=rank_correlation(chosen.unseen, later),
    )


def _spread(worths: Floats) -> Spread:
    positive = worths[worths > 0]
    if not len(positive):
        return Spread(len(worths), 0, 0, 0)
    distinct = len(np.unique(positive))
    return Spread(len(worths), distinct, int(positive.min()), int(positive.max()))


def _too_few(horizon: int, matured: list[SampledCustomer], again: int) -> str:
    if len(matured) < LEAST_CUSTOMERS:
        return (
            f"{len(matured)} customers placed their first order at least {horizon} days ago; a"
            f" model needs {LEAST_CUSTOMERS}"
        )
    return (
        f"{again} of {len(matured)} customers ordered again within {horizon} days; a model of later"
        f" orders needs {LEAST_AGAIN}, and the order's value is sent anyway"
    )


def _too_alike(spread: Spread) -> str | None:
    if spread.distinct < LEAST_DISTINCT:
        return (
            f"the newest {spread.first_orders} first orders have {spread.distinct} different"
            f" predicted values; Meta asks for at least {LEAST_DISTINCT}"
        )
    if spread.highest < LEAST_RATIO * spread.lowest:
        return (
            f"the highest predicted value is {spread.highest / spread.lowest:.1f} times the lowest;"
            f" Meta asks for at least {LEAST_RATIO}"
        )
    return None
