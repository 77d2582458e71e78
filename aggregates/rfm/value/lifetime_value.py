"""Predicted lifetime value of a whole customer base: expected orders times the expected worth of an
order."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from aggregates.arrays import Floats
from aggregates.rfm.value.btyd import BgNbd, expected_purchases
from aggregates.rfm.value.btyd_likelihood import dot
from aggregates.rfm.value.history import DAYS_PER_WEEK, History
from aggregates.rfm.value.spend import SpendModel

DAYS_PER_MONTH: Final = 365.0 / 12


@dataclass(frozen=True, slots=True)
class LifetimeValue:
    """Over the horizon; money in the unit of the spend model."""

    customers: int
    expected_orders: float
    total: float
    per_customer: float


def lifetime_value(
    purchase: BgNbd,
    spend: SpendModel,
    cells: History,
    repeat_spend: Floats,
    *,
    horizon_days: float,
    margin: float = 1.0,
    monthly_discount: float = 0.0,
) -> LifetimeValue:
    """Over every customer of `cells`; `repeat_spend[i]` is what cell i spent on repeat days.

        value = margin x E[Y(t) | x, t_x, T] x E[M | x, z]

    It is exact although customers of a cell spent differently: within a cell E[Y] is one number,
    and E[M | x, z] is linear in x z, so a cell needs only the sum of its repeat spend. With a
    monthly discount each month's orders are discounted at that month's end.
    """
    orders = expected_purchases(purchase, horizon_days / DAYS_PER_WEEK, cells.x, cells.t_x, cells.T)
    paying = orders
    if monthly_discount:
        paying = _discounted(purchase, cells, horizon_days, monthly_discount)
    total = margin * dot(paying, spend.per_order(cells.x, repeat_spend, cells.n))
    customers = int(cells.n.sum())
    return LifetimeValue(
        customers, dot(orders, cells.n), total, total / customers if customers else 0.0
    )


def _discounted(
    purchase: BgNbd, cells: History, horizon_days: float, monthly_discount: float
) -> Floats:
    """Orders per customer of each cell, each month's divided by (1 + d)^month."""
    ends = np.append(np.arange(DAYS_PER_MONTH, horizon_days, DAYS_PER_MONTH), horizon_days)
    worth, before = np.zeros(len(cells.x)), np.zeros(len(cells.x))
    for end in ends:
        upto = expected_purchases(purchase, end / DAYS_PER_WEEK, cells.x, cells.t_x, cells.T)
        worth += (upto - before) / (1.0 + monthly_discount) ** (end / DAYS_PER_MONTH)
        before = upto
    return worth
