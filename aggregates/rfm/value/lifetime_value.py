"""Predicted lifetime value of a whole customer base: expected orders times the expected worth of an
order."""

from dataclasses import dataclass

from aggregates.arrays import Floats
from aggregates.rfm.value.btyd import BgNbd, expected_purchases
from aggregates.rfm.value.btyd_likelihood import dot
from aggregates.rfm.value.history import DAYS_PER_WEEK, History
from aggregates.rfm.value.spend_model import SpendModel


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
) -> LifetimeValue:
    """Over every customer of `cells`; `repeat_spend[i]` is what cell i spent on repeat days.

        value = margin x E[Y(t) | x, t_x, T] x E[M | x, z]

    It is exact although customers of a cell spent differently: within a cell E[Y] is one number,
    and E[M | x, z] is linear in x z, so a cell needs only the sum of its repeat spend.
    """
    orders = expected_purchases(purchase, horizon_days / DAYS_PER_WEEK, cells.x, cells.t_x, cells.T)
    total = margin * dot(orders, spend.per_order(cells.x, repeat_spend, cells.n))
    customers = int(cells.n.sum())
    return LifetimeValue(
        customers, dot(orders, cells.n), total, total / customers if customers else 0.0
    )
