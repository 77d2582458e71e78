"""The model of first orders against shops whose truth is known: calibration, order among customers,
no leak of the future, the same numbers again, and a reason where there is no number."""

from collections.abc import Sequence

import numpy as np
import pytest
import scipy
from msgspec.structs import replace

from aggregates.rfm.first_orders.fit import FirstOrders, fit_customers, fit_first_orders
from aggregates.rfm.first_orders.order import FirstOrder
from aggregates.rfm.first_orders.sample import SampledCustomer, SampledOrder, customers
from aggregates.rfm.first_orders.validation import rank_correlation
from processors.shopify.orders import Order, Refund
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, SHOP
from tests.support.shops.first_order_shop import (
    GERMAN,
    HORIZON_DAYS,
    TILL,
    Simulated,
    all_orders,
    answer,
    simulated_shop,
)
from tests.support.shops.rfm_store import fold

DAY = DAY0 + 300


def new(value: int, country: str = "US", source: str = "web") -> FirstOrder:
    return FirstOrder(value, 1, 0.0, False, source, "(none)", country)


def of(each: Simulated) -> FirstOrder:
    return new(each.first.total, each.first.country, each.first.source_name or "")


def fitted(shop: Sequence[Simulated], **values: float) -> FirstOrders:
    """Without a store."""
    firsts = {each.customer: of(each) for each in shop}

    def placed(each: Order) -> SampledOrder:
        ms = each.day * 86_400_000
        return SampledOrder(ms, each.order_id, each.day, each.total, each.total, "", "", "")

    sampled = [
        SampledCustomer(one.customer, tuple(placed(each) for each in (one.first, *one.later)))
        for one in sorted(shop, key=lambda one: (one.first.day, one.first.order_id))
    ]
    return fit_customers(
        sampled,
        lambda some: [firsts[each.id] for each in some],
        "USD",
        DAY,
        **({"horizon_days": HORIZON_DAYS, "margin": 1.0} | values),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def large() -> tuple[list[Simulated], FirstOrders]:
    shop = simulated_shop(1, 6_000)
    return shop, fitted(shop)


def test_deciles_of_unseen_customers_bring_what_was_predicted(
    large: tuple[list[Simulated], FirstOrders],
) -> None:
    model = large[1].model
    assert model is not None
    assert [each.customers for each in model.deciles] == [600] * 10
    for each in model.deciles:
        assert each.predicted == pytest.approx(each.actual, rel=0.12)
    total = sum(each.predicted_later for each in model.deciles)
    assert total == pytest.approx(sum(each.actual_later for each in model.deciles), rel=0.02)


def test_customers_are_ordered_as_their_true_later_value_is(
    large: tuple[list[Simulated], FirstOrders],
) -> None:
    shop, found = large
    assert found.model is not None
    worth = found.model.worths([of(each) for each in shop])
    later = worth - np.array([each.first.total for each in shop])
    truth = np.array([each.true_later for each in shop])
    assert scipy.stats.spearmanr(later, truth).statistic > 0.95
    assert later.sum() == pytest.approx(truth.sum(), rel=0.05)


def test_value_country_and_channel_of_the_first_order_each_count(
    large: tuple[list[Simulated], FirstOrders],
) -> None:
    model = large[1].model
    assert model is not None
    small, big = model.worth(new(500)), model.worth(new(100_000))
    assert big > 20 * small
    usual = model.worth(new(4_000)) - 4_000
    assert (model.worth(new(4_000, "DE")) - 4_000) / usual == pytest.approx(GERMAN, rel=0.3)
    assert (model.worth(new(4_000, source="pos")) - 4_000) / usual == pytest.approx(TILL, rel=0.3)


def test_first_orders_that_say_nothing_of_later_ones_hardly_change_what_is_expected() -> None:
    found = fitted(simulated_shop(3, 3_000, slope=0.0))
    assert found.model is not None
    later = found.model.worths([new(1_000), new(16_000)]) - [1_000, 16_000]
    assert later[0] == pytest.approx(later[1], rel=0.2)


def buyers(customers: int, *, again: int, prices: int = 1) -> list[Simulated]:
    """Every `again`-th buys once more (0: none does), at one of so many prices."""
    found = []
    for n in range(customers):
        first = answer(f"{n}-0", f"{n}", n % 200, 1_900 + n % prices)
        second = answer(f"{n}-1", f"{n}", n % 200 + 9, 1_999)
        found.append(Simulated(f"{n}", first, (second,) if again and n % again == 0 else (), 0.0))
    return found


def test_a_margin_scales_every_value() -> None:
    shop = simulated_shop(4, 1_200)
    whole, part = fitted(shop), fitted(shop, margin=0.25)
    assert part.worth(new(4_000)) == pytest.approx((whole.worth(new(4_000)) or 0) / 4, abs=1)


def test_one_time_buyers_get_no_value_and_the_reason_says_so() -> None:
    found = fitted(buyers(1_000, again=0))
    assert found.worth(new(1_900)) is None
    assert found.reason is not None
    assert found.reason.startswith("0 of 1000 customers ordered again within 90 days")


def test_a_shop_of_one_price_gets_no_value_and_the_reason_says_so() -> None:
    found = fitted(buyers(1_000, again=3))
    assert found.model is not None
    assert found.worth(new(1_900)) is None
    assert found.reason == (
        "the newest 500 first orders have 1 different predicted values; Meta asks for at least 5"
    )


def test_values_that_lie_too_close_are_not_sent() -> None:
    found = fitted(buyers(1_000, again=3, prices=100))
    assert found.worth(new(1_999)) is None
    assert found.reason is not None
    assert "times the lowest; Meta asks for at least 3" in found.reason


def test_a_young_shop_says_how_many_customers_it_lacks() -> None:
    found = fitted(simulated_shop(5, 100))
    assert found.reason == (
        "100 customers placed their first order at least 30 days ago; a model needs 300"
    )


def test_the_horizon_is_the_longest_that_enough_customers_have_behind_them() -> None:
    shop = simulated_shop(5, 900, days=200)
    assert fitted(shop, horizon_days=365).horizon_days == 180
    assert fitted(shop, horizon_days=120).horizon_days == 120


def in_store(store: SqlStore, orders: Sequence[Order], day: int = DAY) -> None:
    fold(store, [orders[n : n + 500] for n in range(0, len(orders), 500)], day)


def from_store(store: SqlStore, day: int = DAY, most_orders: int = 40_000) -> FirstOrders:
    with store.snapshot() as snapshot:
        return fit_first_orders(
            snapshot,
            SHOP,
            "USD",
            day,
            horizon_days=HORIZON_DAYS,
            margin=1.0,
            most_orders=most_orders,
        )


def test_orders_of_the_day_and_after_change_no_prediction(store: SqlStore) -> None:
    shop = simulated_shop(6, 1_000)
    orders = all_orders(shop)
    until = DAY0 + 170
    in_store(store, [each for each in orders if each.day < until])
    before = from_store(store, until)
    in_store(store, [each for each in orders if each.day >= until])
    after = from_store(store, until)
    assert before.reason is None
    assert after.worth(new(500)) == before.worth(new(500))
    assert after.worth(new(100_000, "DE")) == before.worth(new(100_000, "DE"))
    assert (after.customers, after.again, after.spread) == (
        before.customers,
        before.again,
        before.spread,
    )


def test_whatever_the_order_of_arrival_the_numbers_are_the_same(store: SqlStore) -> None:
    shop = simulated_shop(7, 800)
    orders = all_orders(shop)
    in_store(store, orders)
    found, again = from_store(store), from_store(store)
    rng = np.random.default_rng(0)
    with store.begin() as transaction:
        for table in ("shop_order", "order_currency_cell", "rfm_customer", "rfm_customer_day"):
            transaction.execute(f"DELETE FROM {table}")
    in_store(store, [orders[n] for n in rng.permutation(len(orders))])
    for other in (again, from_store(store)):
        assert found.model is not None
        assert other.model is not None
        assert other.model.deciles == found.model.deciles
        assert other.spread == found.spread
        assert other.worth(new(12_345)) == found.worth(new(12_345))


def test_a_large_shop_is_read_by_a_sample_of_whole_customers(store: SqlStore) -> None:
    orders = all_orders(simulated_shop(8, 1_500))
    guests = [each if n % 2 else as_guest(each) for n, each in enumerate(orders)]
    in_store(store, guests)
    with store.snapshot() as snapshot:
        everybody = customers(snapshot, SHOP, "USD", DAY)
        some = customers(snapshot, SHOP, "USD", DAY, most_orders=len(orders) // 4)
    known = {each.id: each for each in everybody}
    assert all(known[each.id] == each for each in some)
    for is_guest in (False, True):
        share = sum(each.id.startswith("g:") == is_guest for each in some) / sum(
            each.id.startswith("g:") == is_guest for each in everybody
        )
        assert share == pytest.approx(0.25, abs=0.06)


def as_guest(each: Order) -> Order:
    return replace(each, customer_id=None, email=f"{each.customer_id}@example.com")


def test_refunds_of_a_first_order_lower_what_is_kept_and_not_the_order_s_own_size(
    store: SqlStore,
) -> None:
    shop = simulated_shop(9, 900)
    orders = [
        replace(each, refunds=(Refund(f"r{each.order_id}", each.total // 2),))
        if each.order_id.endswith("-0")
        else each
        for each in all_orders(shop)
    ]
    in_store(store, orders)
    found = from_store(store)
    assert found.model is not None
    assert found.model.kept == pytest.approx(0.5, abs=0.001)


def test_the_rank_correlation_is_that_of_scipy() -> None:
    rng = np.random.default_rng(1)
    one = rng.integers(0, 20, 500).astype(np.float64)
    other = one + rng.normal(0, 10, 500)
    expected = float(scipy.stats.spearmanr(one, other).statistic)
    assert rank_correlation(one, other) == pytest.approx(expected)
    assert rank_correlation(one, np.ones(500)) is None
