"""`ltv_first_orders` of a shop, and the latest model of every shop that was asked for."""

import asyncio
from typing import Final

import structlog

from aggregates.rfm.answer.overview import RfmSettings, RfmView
from aggregates.rfm.first_orders.fit import FirstOrders, Model, Spread, fit_first_orders
from aggregates.rfm.first_orders.schema import FirstOrdersLtv, PredictedDecile, PredictedSpread
from aggregates.rfm.value.fit import margin
from stream.money import money
from stream.store.contract import Store, StoreError
from stream.times import day_text

FIRST_PATIENCE_S: Final = 0.5
"""How long the first answer waits for the first model; a day's later ones have the day's before."""
log = structlog.get_logger()
BEING_FITTED: Final = "the model of first orders is being fitted: ask again in a few seconds"


def first_orders_answer(found: FirstOrders | None) -> FirstOrdersLtv:
    """Of a model; None where it is not fitted yet."""
    found = found or FirstOrders(0, "", reason=BEING_FITTED)
    model = found.model
    return FirstOrdersLtv(
        horizon_days=found.horizon_days,
        customers=found.customers,
        ordered_again=found.again,
        shrunk_to_mean=None if model is None else model.shrunk_to_mean,
        rank_correlation=None if model is None else model.rank_correlation,
        deciles=None if model is None else _deciles(model, found.currency),
        spread=None if found.spread is None else _spread(found.spread, found.currency),
        fitted_day=day_text(found.day) if found.day else None,
        reason=found.reason,
    )


def _deciles(model: Model, currency: str) -> list[PredictedDecile]:
    return [
        PredictedDecile(
            customers=each.customers,
            predicted=money(each.predicted, currency),
            actual=money(each.actual, currency),
            predicted_later=money(each.predicted_later, currency),
            actual_later=money(each.actual_later, currency),
        )
        for each in model.deciles
    ]


def _spread(spread: Spread, currency: str) -> PredictedSpread:
    return PredictedSpread(
        first_orders=spread.first_orders,
        distinct=spread.distinct,
        lowest=money(spread.lowest, currency),
        highest=money(spread.highest, currency),
    )


class FirstOrderFits:
    """The model of every shop that was asked for, fitted once per shop's day in a thread."""

    def __init__(self, store: Store, patience_s: float) -> None:
        self._store, self._patience_s = store, patience_s
        self._fits: dict[str, FirstOrders] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def current(self, view: RfmView, day: int, settings: RfmSettings) -> FirstOrders | None:
        """The newest model available in time; None if there is none yet."""
        known = self._fits.get(view.shop)
        if known is None or (known.day, known.currency) != (day, view.currency):
            running, patience_s = self._running.get(view.shop), self._patience_s
            if running is None:
                running = asyncio.create_task(self._refit(view, day, settings))
                self._running[view.shop] = running
                patience_s = self._patience_s if known else FIRST_PATIENCE_S
            await asyncio.wait([running], timeout=patience_s)
        return self._fits.get(view.shop)

    async def _refit(self, view: RfmView, day: int, settings: RfmSettings) -> None:
        def fit() -> FirstOrders:
            with self._store.snapshot() as snapshot:
                return fit_first_orders(
                    snapshot,
                    view.shop,
                    view.currency,
                    day,
                    horizon_days=settings.horizon_days,
                    margin=margin(settings),
                )

        try:
            self._fits[view.shop] = await asyncio.to_thread(fit)
        except StoreError as error:
            log.warning("model of first orders not fitted", shop=view.shop, error=str(error))
        finally:
            del self._running[view.shop]
