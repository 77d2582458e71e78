"""Predicted lifetime value of a whole base and of one customer: expected orders (BG/NBD) times expected spend (Gamma-Gamma).

    value = margin x E[Y(t) | x, t_x, T] x E[M | x, z]

The base's total is exact on cells although customers of a cell spent differently: within a cell E[Y] is one number, and
E[M | x, z] = p (v + x z) / (p x + q - 1) is linear in x z, the customer's repeat spend, so a cell needs only the *sum* of it.
Nothing is discounted unless a monthly rate is given; then each month's orders are discounted at that month's end.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from aggregates.arrays import Floats
from aggregates.rfm.value.btyd import (
    DAYS_PER_WEEK,
    BgNbd,
    History,
    dot,
    expected_purchases,
    p_alive,
)
from aggregates.rfm.value.gamma_gamma import GammaGamma, expected_value

DAYS_PER_MONTH: Final = 365.0 / 12


@dataclass(frozen=True, slots=True)
class LifetimeValue:
    """Over the horizon; money in the unit of the spend model."""

    customers: int
    expected_orders: float
    total: float
    per_customer: float


@dataclass(frozen=True, slots=True)
class CustomerValue:
    p_alive: float
    expected_orders: float
    value: float


def lifetime_value(
    purchase: BgNbd,
    spend: GammaGamma,
    cells: History,
    repeat_spend: Floats,
    *,
    horizon_days: float,
    margin: float = 1.0,
    monthly_discount: float = 0.0,
) -> LifetimeValue:
    """Over every customer of `cells`; `repeat_spend[i]` is the sum over cell i's customers of their spend on repeat days."""
    orders = _expected(purchase, cells, horizon_days, 0.0)
    paying = (
        orders
        if monthly_discount == 0.0
        else _expected(purchase, cells, horizon_days, monthly_discount)
    )
    per_order = spend.p * (spend.v * cells.n + repeat_spend) / (spend.p * cells.x + spend.q - 1.0)
    customers = int(cells.n.sum())
    total = margin * dot(paying, per_order)
    return LifetimeValue(
        customers, dot(orders, cells.n), total, total / customers if customers else 0.0
    )


def customer_value(
    purchase: BgNbd,
    spend: GammaGamma,
    *,
    x: int,
    t_x_weeks: float,
    T_weeks: float,
    mean_repeat_spend: float,
    horizon_days: float,
    margin: float = 1.0,
) -> CustomerValue:
    """One customer's; `mean_repeat_spend` is z, 0 where x = 0."""
    xs, t_x, T = np.array([x]), np.array([t_x_weeks]), np.array([T_weeks])
    orders = float(expected_purchases(purchase, horizon_days / DAYS_PER_WEEK, xs, t_x, T)[0])
    per_order = float(expected_value(spend, xs, np.array([mean_repeat_spend]))[0])
    return CustomerValue(
        float(p_alive(purchase, xs, t_x, T)[0]), orders, margin * orders * per_order
    )


def _expected(
    purchase: BgNbd, cells: History, horizon_days: float, monthly_discount: float
) -> Floats:
    """Orders per customer of each cell, each month's divided by (1 + d)^month."""
    if monthly_discount == 0.0:
        return expected_purchases(
            purchase, horizon_days / DAYS_PER_WEEK, cells.x, cells.t_x, cells.T
        )
    ends = np.append(np.arange(DAYS_PER_MONTH, horizon_days, DAYS_PER_MONTH), horizon_days)
    worth, before = np.zeros(len(cells.x)), np.zeros(len(cells.x))
    for end in ends:
        upto = expected_purchases(purchase, end / DAYS_PER_WEEK, cells.x, cells.t_x, cells.T)
        worth += (upto - before) / (1.0 + monthly_discount) ** (end / DAYS_PER_MONTH)
        before = upto
    return worth
