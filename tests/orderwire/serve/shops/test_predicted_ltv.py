"""`predicted_ltv` for Purchase events: by the first order, once its shop's model is fitted."""

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from aggregates.rfm.answer.overview import RfmSettings
from orderwire.serve.shops.predicted_ltv import AGAIN_S, LtvPredictor
from processors.shopify.orders import Order
from processors.shopify.raw_order import read_order
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, SHOP, order
from tests.support.shops.first_order_shop import HORIZON_DAYS, all_orders, simulated_shop
from tests.support.shops.rfm_store import fold, ticked

ON_ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
SETTINGS = {SHOP: RfmSettings(horizon_days=HORIZON_DAYS)}
DAY = DAY0 + 301


def placed(total: int, country: str = "US", **fields: Any) -> Order:
    """A first order as the sender decodes it: the facts are not read yet."""
    body = {
        "line_items": [{"id": 1, "quantity": 1, "price": f"{total / 100:.2f}"}],
        "subtotal_price": f"{total / 100:.2f}",
        "shipping_address": {"country_code": country},
    }
    made = order("new", customer="77", day=DAY, total=total)
    return replace(made, raw=read_order(orjson.dumps(body)), **fields)


@ON_ONE_STORE
def test_first_orders_of_5_and_of_1000_usd_have_different_values(store: SqlStore) -> None:
    fold(store, [all_orders(simulated_shop(1, 1_000))], DAY)
    ltv = LtvPredictor(store, SETTINGS)
    assert ltv(placed(500)) is None
    ltv.refit()
    low, high = ltv(placed(500)), ltv(placed(100_000))
    assert low is not None
    assert high is not None
    assert 500 < low.units < 3_000
    assert 100_000 < high.units < 130_000
    assert low.currency == "USD"
    german = ltv(placed(500, "DE"))
    assert german is not None
    assert german.units > low.units


@ON_ONE_STORE
def test_a_restart_gives_the_same_values(store: SqlStore) -> None:
    fold(store, [all_orders(simulated_shop(2, 800))], DAY)
    one, other = LtvPredictor(store, SETTINGS), LtvPredictor(store, SETTINGS)
    one.start()
    other.refit()
    try:
        values = [(one(placed(total)), other(placed(total))) for total in (500, 4_321, 100_000)]
    finally:
        one.stop()
    assert all(found is not None and found == again for found, again in values)


@ON_ONE_STORE
def test_other_currencies_and_other_shops_get_no_value(store: SqlStore) -> None:
    fold(store, [all_orders(simulated_shop(1, 800))], DAY)
    ltv = LtvPredictor(store, SETTINGS)
    ltv.refit()
    assert ltv(placed(500)) is not None
    assert ltv(placed(500, currency="EUR")) is None
    assert ltv(placed(500, shop="other.myshopify.com")) is None


@ON_ONE_STORE
def test_a_shop_is_fitted_again_on_another_day_and_after_an_hour_without_a_model(
    store: SqlStore,
) -> None:
    now = [0.0]
    ltv = LtvPredictor(store, SETTINGS, lambda: now[0])
    ltv.refit()
    processor = fold(store, [[order("1"), order("2", day=DAY0 + 1)]], DAY)
    ltv.refit()
    assert ltv(placed(500)) is None
    fold(store, [all_orders(simulated_shop(1, 800))], DAY, processor)
    ltv.refit()
    assert ltv(placed(500)) is None
    now[0] += AGAIN_S
    ltv.refit()
    known = ltv(placed(500))
    assert known is not None
    fold(store, [[order(f"{n}", customer=f"1{n}", day=DAY0, total=9_900) for n in range(900)]], DAY)
    ltv.refit()
    assert ltv(placed(500)) == known
    ticked(store, processor, DAY + 1)
    ltv.refit()
    assert ltv(placed(500)) != known
