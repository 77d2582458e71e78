"""`ltv_predicted`: what customers will still bring, by BG/NBD x Gamma-Gamma fitted on cells
(docs/facts/analytics.md, "Gamma-Gamma").

A fit is kept per shop with its totals, and made again at most every `refit_s` where cells or the
day changed. It starts from the previous one and runs in a thread; an answer waits for it only where
there is none yet or it is `OLD` times too old. Money goes through the models in major units, as in
the published parameters.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from aggregates.arrays import Ints
from aggregates.rfm.answer.overview import NOTHING_YET, RfmSettings, RfmView
from aggregates.rfm.value.btyd import (
    DAYS_PER_WEEK,
    BgNbd,
    CannotTell,
    expected_purchases,
    fit_bg_nbd,
    history_from_days,
    p_alive,
)
from aggregates.rfm.value.gamma_gamma import GammaGamma, expected_value, fit_gamma_gamma
from aggregates.rfm.value.lifetime_value import LifetimeValue, lifetime_value
from stream.money import digits, money
from stream.times import instant

Json = dict[str, Any]
OLD: Final = 10
NO_NUMBER: Final = "the models have no number for this customer: they are at the edge of what this shop's orders can tell"


class Basis(NamedTuple):
    """What a fit was made of; equal for equal cells on the same day."""

    day: int
    btyd_version: int
    spend_version: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A shop's models; what could not be told is None, and `reason` says why."""

    basis: Basis
    fitted_ms: int
    purchase: BgNbd | None
    spend: GammaGamma | None
    value: LifetimeValue | None
    reason: str | None


class Purchases(NamedTuple):
    """A customer as the models see them: days since 1970-01-01; `repeat_spend` in minor units, over repeat days."""

    x: int
    first_day: int
    last_day: int
    repeat_spend: int


def basis(view: RfmView, day: int) -> Basis:
    return Basis(day, view.btyd.version, view.spend.version)


def fit(
    view: RfmView, day: int, settings: RfmSettings, now_ms: int, before: Fit | None = None
) -> Fit:
    """Fit both models to the shop's cells as of `day`, starting from the fit `before`."""
    made_of = basis(view, day)
    if not view.currency:
        return Fit(made_of, now_ms, None, None, None, NOTHING_YET)
    unit = 10 ** digits(view.currency)
    x, first_day, last_day, customers, repeat_revenue = _wide(*view.btyd.key, *view.btyd.measures)
    history = history_from_days(x, first_day, last_day, customers, day)
    purchase = fit_bg_nbd(
        history, start=before.purchase if before else None, min_repeaters=settings.min_repeaters
    )
    if isinstance(purchase, CannotTell):
        return Fit(made_of, now_ms, None, None, None, purchase.reason)
    spend_x, _, n, revenue = _wide(*view.spend.key, *view.spend.measures)
    z = revenue / (np.maximum(n * spend_x, 1) * float(unit))
    spend = fit_gamma_gamma(
        spend_x, z, n, start=before.spend if before else None, min_repeaters=settings.min_repeaters
    )
    if isinstance(spend, CannotTell):
        return Fit(made_of, now_ms, purchase, None, None, spend.reason)
    with np.errstate(
        all="ignore"
    ):  # models at the edge of what can be told; whatever is not finite is not told
        value = lifetime_value(
            purchase,
            spend,
            history,
            repeat_revenue / unit,
            horizon_days=settings.horizon_days,
            margin=_margin(settings),
        )
    if not np.isfinite(value.total):
        return Fit(
            made_of,
            now_ms,
            purchase,
            spend,
            None,
            "the predicted value has no bound on these customers",
        )
    return Fit(made_of, now_ms, purchase, spend, value, None)


def ltv_json(fitted: Fit, settings: RfmSettings, currency: str) -> Json:
    """`ltv_predicted` of the shop: `ltv` per customer ever, `total` of all."""
    unit = 10 ** digits(currency) if currency else 1
    purchase, spend, value = fitted.purchase, fitted.spend, fitted.value
    return {
        "horizon_days": settings.horizon_days,
        "margin": _margin(settings),
        "ltv": value and money(value.per_customer * unit, currency),
        "total": value and money(value.total * unit, currency),
        "expected_orders": value and value.expected_orders,
        "bg_nbd": purchase
        and {
            "r": purchase.r,
            "alpha": purchase.alpha,
            "a": purchase.a,
            "b": purchase.b,
            "log_likelihood": purchase.log_likelihood,
        },
        "gamma_gamma": spend
        and {
            "p": spend.p,
            "q": spend.q,
            "v": spend.v,
            "log_likelihood": spend.log_likelihood,
            "correlation": spend.correlation,
        },
        "time_unit": "week",
        "fitted_at": instant(fitted.fitted_ms),
        "reason": fitted.reason,
    }


def customers_json(
    fitted: Fit, settings: RfmSettings, currency: str, day: int, customers: Sequence[Purchases]
) -> list[Json]:
    """`ltv_predicted` of each of some customers."""
    nothing = {"p_alive": None, "expected_orders": None, "value": None, "reason": fitted.reason}
    if fitted.purchase is None or not customers:
        return [nothing for _ in customers]
    unit = 10 ** digits(currency)
    x, first_day, last_day, repeat_spend = (
        np.array(column, dtype=np.int64) for column in zip(*customers, strict=True)
    )
    history = history_from_days(x, first_day, last_day, np.ones_like(x), day)
    with np.errstate(all="ignore"):
        alive = p_alive(fitted.purchase, x, history.t_x, history.T)
        orders = expected_purchases(
            fitted.purchase, settings.horizon_days / DAYS_PER_WEEK, x, history.t_x, history.T
        )
        values = np.full(len(x), np.nan)
        if fitted.spend is not None and fitted.value is not None:
            z = repeat_spend / (np.maximum(x, 1) * float(unit))
            values = _margin(settings) * orders * expected_value(fitted.spend, x, z) * unit
    told = []
    for p, n, value in zip(
        *(map(_finite, column) for column in (alive, orders, values)), strict=True
    ):
        reason = fitted.reason or (NO_NUMBER if None in (p, n, value) else None)
        told.append(
            {
                "p_alive": p,
                "expected_orders": n,
                "value": None if value is None else money(value, currency),
                "reason": reason,
            }
        )
    return told


class Fits:
    """The latest fit of every shop that was asked for."""

    def __init__(self, clock: Callable[[], int], patience_s: float) -> None:
        self._clock, self._patience_s = clock, patience_s
        self._fits: dict[str, Fit] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def current(self, view: RfmView, day: int, settings: RfmSettings) -> Fit:
        """A fit of the shop, the newest that is to be had in time."""
        known, refit_ms = self._fits.get(view.shop), settings.refit_s * 1000
        if known is not None and (
            known.basis == basis(view, day) or self._clock() - known.fitted_ms < refit_ms
        ):
            return known
        running = self._running.get(view.shop)
        if running is None:
            running = self._running[view.shop] = asyncio.create_task(
                self._refit(view, day, settings)
            )
        if known is None or self._clock() - known.fitted_ms >= OLD * refit_ms:
            await asyncio.shield(running)
        else:
            await asyncio.wait([running], timeout=self._patience_s)
        return self._fits[view.shop]

    async def _refit(self, view: RfmView, day: int, settings: RfmSettings) -> None:
        try:
            self._fits[view.shop] = await asyncio.to_thread(
                fit, view, day, settings, self._clock(), self._fits.get(view.shop)
            )
        finally:
            del self._running[view.shop]


def _wide(*columns: Ints) -> Iterator[Ints]:
    """In 64 bits: the models multiply numbers of customers, of purchases and of weeks with one another."""
    return (column.astype(np.int64) for column in columns)


def _finite(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None


def _margin(settings: RfmSettings) -> float:
    return 1.0 if settings.margin is None else settings.margin
