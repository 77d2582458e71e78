"""Fits both predictive models to a shop's cells, and keeps the latest fit of every shop. A fit
depends on the cells and the day only, so a restart gives the same numbers."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np

from aggregates.arrays import Ints
from aggregates.rfm.answer.overview import NOTHING_YET, RfmSettings, RfmView
from aggregates.rfm.value.btyd import BgNbd, NoPrediction, fit_bg_nbd
from aggregates.rfm.value.history import history_from_cells
from aggregates.rfm.value.lifetime_value import LifetimeValue, lifetime_value
from aggregates.rfm.value.spend_model import SpendModel, spend_model
from stream.money import digits

OLD: Final = 10
"""A fit this many intervals old is not used: its successor is waited for."""
IDLE: Final = 200
"""A fit is repeated after this many times its own duration: 0.5 % of a core for fitting."""
SMALL: Final = 500
"""Cells up to which they are counted on the event loop."""
NO_BOUND: Final = "the predicted value has no bound on these customers"


class Basis(NamedTuple):
    """The inputs of a fit; equal for equal cells on the same day."""

    day: int
    btyd_version: int
    spend_version: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A shop's models; unpredictable values are None, and `reason` says why."""

    basis: Basis
    fitted_ms: int
    purchase: BgNbd | None
    spend: SpendModel | None
    value: LifetimeValue | None
    reason: str | None
    took_ms: float = 0.0


def basis(view: RfmView, day: int) -> Basis:
    """The basis that a fit of `view` has."""
    return Basis(day, view.btyd.version, view.spend.version)


def is_too_small(view: RfmView, settings: RfmSettings) -> bool:
    """Whether there is nothing to fit, and finding that out takes less than a thread does."""
    x, (customers, *_) = view.btyd.key[0], view.btyd.measures
    return len(x) <= SMALL and int(customers[x > 0].sum()) < settings.min_repeaters


def margin(settings: RfmSettings) -> float:
    """The contribution margin; 1 if none is set."""
    return 1.0 if settings.margin is None else settings.margin


def fit(view: RfmView, day: int, settings: RfmSettings, now_ms: int) -> Fit:
    """Fit both models to the shop's cells as of `day`."""
    began = perf_counter()
    purchase, spend, value, reason = _fitted(view, day, settings)
    took_ms = 1000 * (perf_counter() - began)
    return Fit(basis(view, day), now_ms, purchase, spend, value, reason, took_ms)


def _fitted(
    view: RfmView, day: int, settings: RfmSettings
) -> tuple[BgNbd | None, SpendModel | None, LifetimeValue | None, str | None]:
    if not view.currency:
        return None, None, None, NOTHING_YET
    # Money goes through the models in major units, as published parameters have it.
    unit = float(10 ** digits(view.currency))
    x, first_day, last_day, customers, repeat_revenue, first_offset, last_offset = _wide(
        *view.btyd.key, *view.btyd.measures
    )
    history = history_from_cells(x, first_day, last_day, customers, first_offset, last_offset, day)
    purchase = fit_bg_nbd(history, min_repeaters=settings.min_repeaters)
    if isinstance(purchase, NoPrediction):
        return None, None, None, purchase.reason
    spend_x, _, n, revenue = _wide(*view.spend.key, *view.spend.measures)
    z = revenue / (np.maximum(n * spend_x, 1) * unit)
    spend = spend_model(spend_x, z, n, min_repeaters=settings.min_repeaters)
    if isinstance(spend, NoPrediction):
        return purchase, None, None, spend.reason
    with np.errstate(all="ignore"):  # At the edge of what the models can say: checked below.
        value = lifetime_value(
            purchase,
            spend,
            history,
            repeat_revenue / unit,
            horizon_days=settings.horizon_days,
            margin=margin(settings),
        )
    if not np.isfinite(value.total):
        return purchase, spend, None, NO_BOUND
    return purchase, spend, value, None


class Fits:
    """The latest fit of every requested shop.

    It is repeated when cells or the day have changed, at most every `refit_s` and sooner if fitting
    is quick. It runs in a thread, and nobody waits for it longer than an answer may take, unless
    there is none yet or it is `OLD` intervals old.
    """

    def __init__(self, clock: Callable[[], int], patience_s: float) -> None:
        self._clock, self._patience_s = clock, patience_s
        self._fits: dict[str, Fit] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def current(self, view: RfmView, day: int, settings: RfmSettings) -> Fit:
        """The newest fit of the shop available in time."""
        known, refit_ms = self._fits.get(view.shop), settings.refit_s * 1000
        if known is not None:
            age_ms: float = self._clock() - known.fitted_ms
            if age_ms < 0:  # The clock went back.
                age_ms = refit_ms
            if known.basis == basis(view, day) or age_ms < min(refit_ms, IDLE * known.took_ms):
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
            now_ms = self._clock()
            self._fits[view.shop] = (
                fit(view, day, settings, now_ms)
                if is_too_small(view, settings)
                else await asyncio.to_thread(fit, view, day, settings, now_ms)
            )
        finally:
            del self._running[view.shop]


def _wide(*columns: Ints) -> Iterator[Ints]:
    """In 64 bits: the models multiply numbers of customers, of purchases and of weeks."""
    return (column.astype(np.int64) for column in columns)
