"""`ltv_predicted` in answers: of a shop, and of single customers."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from aggregates.rfm.answer import schema
from aggregates.rfm.answer.overview import RfmSettings
from aggregates.rfm.value.btyd import BgNbd, expected_purchases, p_alive
from aggregates.rfm.value.fit import Fit, margin
from aggregates.rfm.value.history import DAYS_PER_WEEK, history_from_days
from aggregates.rfm.value.spend_model import SpendModel
from stream.money import digits, money
from stream.times import instant

NO_NUMBER: Final = (
    "the models have no number for this customer: they are at the edge of what this shop's orders"
    " can show"
)
ONE_ORDER: Final = (
    "p_alive is 1 for everyone with a single purchase day: BG/NBD has nobody leave before a second"
    " one, so it says nothing about this customer; expected_orders does"
)


class Purchases(NamedTuple):
    """A customer's data for the models: days since 1970-01-01, money in minor units."""

    x: int
    first_day: int
    last_day: int
    repeat_spend: int
    """On repeat days."""


def predicted_ltv(fitted: Fit, settings: RfmSettings, currency: str) -> schema.PredictedLtv:
    """`ltv_predicted` of the shop: `ltv` per customer ever, `total` of all."""
    unit = 10 ** digits(currency) if currency else 1
    value = fitted.value
    return schema.PredictedLtv(
        horizon_days=settings.horizon_days,
        margin=margin(settings),
        ltv=None if value is None else money(value.per_customer * unit, currency),
        total=None if value is None else money(value.total * unit, currency),
        expected_orders=None if value is None else value.expected_orders,
        bg_nbd=_bg_nbd(fitted.purchase),
        gamma_gamma=_gamma_gamma(fitted.spend),
        spend_per_order=_spend_per_order(fitted.spend, unit, currency),
        time_unit="week",
        fitted_at=instant(fitted.fitted_ms),
        reason=fitted.reason,
    )


def _bg_nbd(purchase: BgNbd | None) -> schema.BgNbdFit | None:
    if purchase is None:
        return None
    return schema.BgNbdFit(
        r=purchase.r,
        alpha=purchase.alpha,
        a=purchase.a,
        b=purchase.b,
        log_likelihood=purchase.log_likelihood,
    )


def _gamma_gamma(spend: SpendModel | None) -> schema.GammaGammaFit | None:
    if spend is None or spend.fitted is None:
        return None
    fitted = spend.fitted
    return schema.GammaGammaFit(
        p=fitted.p,
        q=fitted.q,
        v=fitted.v,
        log_likelihood=fitted.log_likelihood,
        correlation=_finite(fitted.correlation),
    )


def _spend_per_order(
    spend: SpendModel | None, unit: int, currency: str
) -> schema.SpendPerOrder | None:
    """What a customer without repeat orders spends per order."""
    if spend is None:
        return None
    return schema.SpendPerOrder(
        mean=money(spend.mean * unit, currency),
        counts_for_orders=_finite(spend.orders),
        note=spend.note,
    )


def customers_ltv(
    fitted: Fit, settings: RfmSettings, currency: str, day: int, customers: Sequence[Purchases]
) -> list[schema.CustomerLtv]:
    """`ltv_predicted` of each of some customers."""
    if fitted.purchase is None or not customers:
        nothing = schema.CustomerLtv(
            p_alive=None, expected_orders=None, value=None, note=None, reason=fitted.reason
        )
        return [nothing for _ in customers]
    unit = 10 ** digits(currency)
    x, first_day, last_day, repeat_spend = (
        np.array(column, dtype=np.int64) for column in zip(*customers, strict=True)
    )
    one = np.ones_like(x)
    history = history_from_days(x, first_day, last_day, one, day)
    with np.errstate(all="ignore"):
        alive = p_alive(fitted.purchase, x, history.t_x, history.T)
        orders = expected_purchases(
            fitted.purchase, settings.horizon_days / DAYS_PER_WEEK, x, history.t_x, history.T
        )
        values = np.full(len(x), np.nan)
        if fitted.spend is not None and fitted.value is not None:
            per_order = fitted.spend.per_order(x, repeat_spend / unit, one)
            values = margin(settings) * orders * per_order * unit
    found = []
    for customer, p, n, value in zip(
        customers, *(map(_finite, column) for column in (alive, orders, values)), strict=True
    ):
        reason = fitted.reason or (NO_NUMBER if None in (p, n, value) else None)
        found.append(
            schema.CustomerLtv(
                p_alive=p,
                expected_orders=n,
                value=None if value is None else money(value, currency),
                note=None if customer.x else ONE_ORDER,
                reason=reason,
            )
        )
    return found


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
