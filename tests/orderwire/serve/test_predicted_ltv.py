"""`predicted_ltv` for Purchase events: RFM's own value for the customer, and nothing where it
cannot be told."""

import random

from aggregates.rfm.answer.overview import RfmSettings
from orderwire.serve.predicted_ltv import PredictedLtv
from processors.shopify.orders import OrderEvent
from stream.store.sql.store import SqlStore
from tests.aggregates.rfm.test_rfm_fold import fold
from tests.support.orders import DAY0, SHOP, order


def purchases_of_a_shop(rng: random.Random, customers: int) -> list[OrderEvent]:
    """300 days as BG/NBD supposes them: each buys at a rate of their own, and after each purchase
    may be gone for good."""
    told: list[OrderEvent] = []
    for customer in range(customers):
        day, rate, leaves = (
            rng.uniform(0, 200),
            rng.gammavariate(1.0, 0.03),
            rng.betavariate(0.8, 2.5),
        )
        spend = rng.uniform(2_000, 9_000)
        while day <= 300:
            told.append(
                order(
                    f"{customer}-{len(told)}",
                    customer=f"{customer}",
                    day=DAY0 + int(day),
                    total=int(spend * rng.gammavariate(4, 0.25)) + 1,
                )
            )
            if rng.random() < leaves:
                break
            day += rng.expovariate(rate)
    return told


def test_a_known_customer_s_value_is_told_once_the_models_are_fitted(store: SqlStore) -> None:
    told = purchases_of_a_shop(random.Random(5), customers=400)
    fold(store, [told], DAY0 + 301)
    ltv = PredictedLtv(store, {SHOP: RfmSettings(min_repeaters=50)})
    assert ltv(SHOP, "7") is None
    ltv.refit()
    value = ltv(SHOP, "7")
    assert value is not None
    assert value.currency == "USD"
    assert 0 < value.units < 1_000_000
    assert ltv(SHOP, "never seen") is None
    assert ltv("other.myshopify.com", "7") is None


def test_few_repeaters_are_no_ground_for_a_prediction(store: SqlStore) -> None:
    fold(store, [[order("1"), order("2", day=DAY0 + 1)]])
    ltv = PredictedLtv(store, {SHOP: RfmSettings()})
    ltv.refit()
    assert ltv(SHOP, "1") is None
