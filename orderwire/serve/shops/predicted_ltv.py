"""`predicted_ltv` of Purchase events, for shops that want it: RFM's prediction for the customer,
looked up while the event is built."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from aggregates.rfm.answer.overview import RfmSettings
from aggregates.rfm.first_orders.fit import FirstOrders, fit_first_orders
from aggregates.rfm.first_orders.order import first_order
from aggregates.rfm.fold.projection import NAME
from aggregates.rfm.value.fit import margin
from processors.engine.projection import live_key
from processors.orders.row import decoded as decoded_detail
from processors.shopify.facts import facts
from processors.shopify.landing import reduced
from processors.shopify.orders import Order
from stream.money import Money
from stream.store.contract import Reading, Store, StoreUnavailable

EVERY_S: Final = 300.0
"""How often the day is looked at."""
AGAIN_S: Final = 3_600.0
"""A shop without a model is fitted again after this, since a backfill may have brought its past."""
FIRST_S: Final = 5.0
"""How long a start waits for the first models."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A shop's model, and when it was made."""

    model: FirstOrders
    at_s: float


def fit_shop(reading: Reading, shop: str, settings: RfmSettings) -> FirstOrders | None:
    """The shop's model as of its day; None before its first order."""
    found = reading.query(
        "SELECT currency, as_of_day FROM rfm_shop WHERE shop = :shop",
        shop=live_key(reading, shop, NAME),
    )
    if not found:
        return None
    currency, day = found[0]
    return fit_first_orders(
        reading,
        shop,
        currency,
        day,
        horizon_days=settings.horizon_days,
        margin=margin(settings),
    )


class LtvPredictor:
    """Called by the CAPI processor: (shop, customer id) -> predicted future value of the customer,
    or None.

    A thread fits the models every few minutes; a lookup is one query. Orders before the first fit,
    and customers that RFM does not know yet, have no value.
    """

    def __init__(
        self,
        store: Store,
        shops: Mapping[str, RfmSettings],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock`: seconds from any moment on."""
        self._store, self._shops, self._clock = store, shops, clock
        self._fits: dict[str, Fitted] = {}
        self._stop, self._first = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._keep, name="predicted ltv", daemon=True)

    def start(self) -> None:
        """Fit now and every few minutes, until `stop`."""
        self._thread.start()
        self._first.wait(FIRST_S)

    def stop(self) -> None:
        """Stop fitting."""
        self._stop.set()
        self._thread.join()

    def refit(self) -> None:
        """Fit every shop whose day has changed. Raises StoreUnavailable."""
        for shop, settings in self._shops.items():
            if self._stop.is_set():
                return
            known, now_s = self._fits.get(shop), self._clock()
            with self._store.snapshot() as snapshot:
                if known is not None and not self._due(snapshot, shop, known, now_s):
                    continue
                model = fit_shop(snapshot, shop, settings)
            if model is None:
                continue
            self._fits[shop] = Fitted(model, now_s)
            if model.reason is not None and (known is None or known.model.reason != model.reason):
                log.warning("predicted_ltv is not sent", shop=shop, reason=model.reason)

    def _due(self, reading: Reading, shop: str, known: Fitted, now_s: float) -> bool:
        if known.model.reason is not None and now_s - known.at_s >= AGAIN_S:
            return True
        sql = "SELECT as_of_day FROM rfm_shop WHERE shop = :shop"
        days = reading.query(sql, shop=live_key(reading, shop, NAME))
        return bool(days) and days[0][0] != known.model.day

    def __call__(self, order: Order) -> Money | None:
        """What the customer of a first order will be worth."""
        known = self._fits.get(order.shop)
        if known is None or known.model.currency != order.currency:
            return None
        order_facts = facts(order.raw, order.currency)
        worth = known.model.worth(
            first_order(
                order.total,
                decoded_detail(order_facts.detail),
                order.source_name or "",
                reduced(order.landing_site),
                order_facts.country,
            )
        )
        return None if worth is None else Money(worth, order.currency)

    def _keep(self) -> None:
        while not self._stop.is_set():
            try:
                self.refit()
            except StoreUnavailable as error:
                log.warning("predicted_ltv not fitted", error=str(error))
            self._first.set()
            self._stop.wait(EVERY_S)
