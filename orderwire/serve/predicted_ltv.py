"""`predicted_ltv` in Purchase events, where a shop wants it: RFM's answer for one customer, asked
while the event is built.

The models are fitted in a thread of their own every few minutes; a customer costs one look-up. An
order that comes before the first fit, or from a customer that RFM does not know yet, goes without.
"""

import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal

import structlog

from aggregates.rfm.answer.customers import one
from aggregates.rfm.answer.overview import RfmArrays, RfmSettings
from aggregates.rfm.value.fit import Fit, fit
from aggregates.rfm.value.ltv import Purchases, customers_ltv
from destinations.meta.detail import Money
from stream.money import minor
from stream.store.contract import Store, StoreUnavailable

EVERY_S = 300.0

log = structlog.get_logger()


class PredictedLtv:
    """Asked by the CAPI processor: (shop, customer id) -> what the customer will still bring, or
    None."""

    def __init__(
        self, store: Store, shops: Mapping[str, RfmSettings], clock: Callable[[], float] = time.time
    ) -> None:
        self._store, self._shops, self._clock = store, shops, clock
        self._arrays = RfmArrays(store)
        self._fits: dict[str, tuple[Fit, str, int]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="predicted ltv", daemon=True)

    def start(self) -> None:
        """Fit now and every few minutes, until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Fit no more."""
        self._stop.set()
        self._thread.join()

    def refit(self) -> None:
        """Fit every shop once. Raises StoreUnavailable."""
        self._arrays.refresh()
        for shop, settings in self._shops.items():
            view = self._arrays.view(shop)
            if view.as_of_day is not None:
                fitted = fit(view, view.as_of_day, settings, int(self._clock() * 1000))
                self._fits[shop] = (fitted, view.currency, view.as_of_day)

    def __call__(self, shop: str, customer_id: str) -> Money | None:
        known = self._fits.get(shop)
        if known is None or known[0].value is None:
            return None
        fitted, currency, day = known
        with self._store.snapshot() as snapshot:
            row = one(snapshot, self._arrays.view(shop), customer_id)
        if row is None:
            return None
        purchases = Purchases(
            row.days - 1, row.first_day, row.last_day, row.revenue_ever - row.first_day_revenue
        )
        (answer,) = customers_ltv(
            fitted, self._shops[shop], currency, max(day, row.last_day), [purchases]
        )
        value = answer.value
        return None if value is None else Money(minor(Decimal(value["amount"]), currency), currency)

    def _keep(self) -> None:
        while not self._stop.is_set():
            try:
                self.refit()
            except StoreUnavailable as error:
                log.warning("predicted_ltv not fitted", error=str(error))
            self._stop.wait(EVERY_S)
