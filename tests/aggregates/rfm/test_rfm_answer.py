"""/v1/rfm against a plain list of orders: brute force on simulated shops, and the published numbers
of the CDNOW log."""

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from msgspec.structs import replace

from aggregates.rfm.answer.overview import RfmSettings
from aggregates.rfm.fold.customer import MAX_ORDERS
from aggregates.rfm.fold.money_bins import bin_edge
from query.api_settings import ShopAnswerSettings
from stream.log.sqlite.log import SqliteLog
from stream.money import amount
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import SETTINGS, TODAY, fold, serving
from tests.support.oracles import oracle_rfm
from tests.support.shopify.golden import (
    CALIBRATION_ENDS,
    CDNOW_SAMPLE,
    cdnow_orders,
)
from tests.support.shopify.orders import SHOP, order
from tests.support.shops.folding import rfm_orders

Json = dict[str, Any]


def simulated(seed: int, customers: int, orders: int) -> list[oracle_rfm.Order]:
    """Orders of 500 days, some customers far keener than others, some of them guests."""
    rng = random.Random(seed)
    names = [
        f"g:{number:032x}" if number % 7 == 0 else f"{number}" for number in range(1, customers + 1)
    ]
    means = [rng.gammavariate(4, 1_500) for _ in names]
    found = []
    for _ in range(orders):
        who, day = int(customers * rng.random() ** 2), TODAY - int(500 * rng.random() ** 1.5)
        spent = 0 if rng.random() < 0.02 else round(rng.gammavariate(6, means[who] / 6))
        found.append(oracle_rfm.Order(names[who], day, spent))
    return found


def events(orders: list[oracle_rfm.Order], size: int = 500) -> list[list[Any]]:
    """The same as events; a guest's key is the hash of an address, so these are given as customers
    with such a key."""
    shown = [
        order(f"{number}", customer=each.customer, day=each.day, total=each.cents)
        for number, each in enumerate(orders)
    ]
    return [shown[start : start + size] for start in range(0, len(shown), size)]


async def rfm(
    store: SqlStore, log: SqliteLog, settings: RfmSettings | None = None, day: int = TODAY
) -> Json:
    shops = {SHOP: ShopAnswerSettings(rfm=settings or RfmSettings(min_repeaters=50))}
    async with serving(store, log, SETTINGS, shops=shops, now_ms=day * 86_400_000) as api:
        return await api.answer("/v1/rfm")


def money(units: float) -> Json:
    return {"amount": amount(round(units), "USD"), "currency_code": "USD"}


def assert_equal(shown: Json, expected: oracle_rfm.Answer, guests: int) -> None:
    assert shown["customers"]["ever"] == expected.customers_ever
    assert shown["customers"]["in_window"] == expected.customers_in_window
    assert shown["customers"]["guests"] == guests
    assert shown["orders"] == expected.orders
    assert shown["revenue"] == money(expected.revenue)
    assert shown["churn"] == {
        "after_days": 180,
        "customers": expected.churned,
        "of": expected.customers_ever,
        "rate": expected.churn_rate,
    }
    assert expected.monetary_cutoffs is not None
    assert expected.grid is not None
    assert expected.segments is not None
    assert shown["cutoffs"] == {
        "recency_days": expected.recency_cutoffs,
        "frequency": expected.frequency_cutoffs,
        "monetary": [amount(cut, "USD") for cut in expected.monetary_cutoffs],
    }
    assert shown["scores"] == {
        "recency": expected.recency_scores,
        "frequency": expected.frequency_scores,
        "monetary": expected.monetary_scores,
    }
    grid = {(cell["r"], cell["fm"]): (cell["customers"], cell["revenue"]) for cell in shown["grid"]}
    assert grid == {
        key: (customers, money(revenue)) for key, (customers, revenue) in expected.grid.items()
    }
    segments = {each["segment"]: (each["customers"], each["revenue"]) for each in shown["segments"]}
    assert segments == {
        name: (customers, money(revenue))
        for name, (customers, revenue) in expected.segments.items()
    }
    for each in shown["segments"]:
        customers, revenue = expected.segments[each["segment"]]
        assert each["share"] == pytest.approx(customers / expected.customers_in_window)
        assert each["revenue_share"] == pytest.approx(revenue / expected.revenue)
    simple = shown["ltv_simple"]
    assert simple["average_frequency"] == pytest.approx(expected.average_frequency)
    assert simple["average_order_value"] == money(expected.average_order_value or 0)
    assert simple["lifespan_years"] == pytest.approx(expected.lifespan_years)
    assert simple["ltv"] == money(expected.ltv or 0)
    assert simple["capped"]["ltv"] == money(expected.capped_ltv or 0)


@pytest.mark.parametrize(
    ("exact_below", "seed", "window_days"), [(50_000, 1, 365), (50_000, 2, 90), (1, 3, 365)]
)
async def test_every_number_equals_brute_force(
    store: SqlStore, log: SqliteLog, exact_below: int, seed: int, window_days: int
) -> None:
    orders = simulated(seed, customers=400, orders=3_000)
    fold(
        store,
        events(orders),
        processor=rfm_orders({}, exact_below=exact_below, window_days=window_days),
    )
    shown = await rfm(store, log, RfmSettings(min_repeaters=50, window_days=window_days))
    round_money = bin_edge if exact_below == 1 else int
    expected = oracle_rfm.rfm_of(
        orders, TODAY, window_days=window_days, round_money=round_money, orders_cap=MAX_ORDERS
    )
    assert_equal(
        shown,
        expected,
        guests=len({each.customer for each in orders if each.customer.startswith("g:")}),
    )
    assert shown["reason"] is None


async def test_the_cdnow_sample_gives_the_published_models_and_brute_force_s_value(
    store: SqlStore, log: SqliteLog
) -> None:
    """Fader & Hardie: BG/NBD .243, 4.414, .793, 2.426; Gamma-Gamma 6.25, 3.74, 15.44
    (docs/facts/analytics.md, "Published values")."""
    orders = [each for each in cdnow_orders(CDNOW_SAMPLE) if each.day <= CALIBRATION_ENDS]
    fold(store, events(orders), CALIBRATION_ENDS)
    shown = (await rfm(store, log, RfmSettings(), CALIBRATION_ENDS))["ltv_predicted"]
    assert [round(shown["bg_nbd"][name], 3) for name in ("r", "alpha", "a", "b")] == [
        0.243,
        4.414,
        0.793,
        2.426,
    ]
    assert [round(shown["gamma_gamma"][name], 2) for name in ("p", "q", "v")] == [6.25, 3.74, 15.44]
    assert (shown["reason"], shown["time_unit"], shown["horizon_days"], shown["margin"]) == (
        None,
        "week",
        365,
        1.0,
    )
    summaries = oracle_rfm.summaries(orders, CALIBRATION_ENDS)
    expected = oracle_rfm.predicted_of(
        [each._replace(z=each.z / 100) for each in summaries.values()], horizon_days=365
    )
    assert shown["bg_nbd"]["log_likelihood"] == pytest.approx(
        expected.bg_nbd_log_likelihood, rel=1e-6
    )
    assert float(shown["total"]["amount"]) == pytest.approx(expected.total, rel=1e-3)
    assert float(shown["ltv"]["amount"]) == pytest.approx(expected.total / len(summaries), abs=0.02)


async def test_margin_and_horizon_scale_the_prediction(store: SqlStore, log: SqliteLog) -> None:
    fold(store, events(simulated(4, customers=600, orders=3_000)))
    whole = (await rfm(store, log))["ltv_predicted"]
    part = (await rfm(store, log, RfmSettings(min_repeaters=50, margin=0.4, horizon_days=90)))[
        "ltv_predicted"
    ]
    assert (part["margin"], part["horizon_days"]) == (0.4, 90)
    assert 0 < float(part["total"]["amount"]) < 0.4 * float(whole["total"]["amount"])


async def test_too_few_repeaters_are_reported_instead_of_numbers(
    store: SqlStore, log: SqliteLog
) -> None:
    fold(store, events(simulated(4, customers=100, orders=300)))
    shown = (await rfm(store, log, RfmSettings()))["ltv_predicted"]
    assert (shown["ltv"], shown["total"], shown["bg_nbd"]) == (None, None, None)
    assert "500" in shown["reason"]


async def test_a_short_history_and_a_customer_who_rules_the_averages_are_said(
    store: SqlStore, log: SqliteLog
) -> None:
    small = [order(f"{number}", customer=f"{number}", day=TODAY - 20) for number in range(9)]
    fold(store, [[*small, order("big", customer="big", day=TODAY, total=90_000)]])
    shown = await rfm(store, log)
    assert shown["ltv_simple"]["history_days"] == 21
    assert "21 of the 365 days" in shown["ltv_simple"]["note"]
    assert shown["largest_customer"]["revenue"] == money(90_000)
    assert shown["largest_customer"]["share"] == pytest.approx(90_000 / 99_000)
    assert "91%" in shown["largest_customer"]["note"]


async def test_fewer_than_five_customers_have_no_scores_and_it_is_said_why(
    store: SqlStore, log: SqliteLog
) -> None:
    fold(store, [[order(f"{number}", customer=f"{number}", day=TODAY) for number in range(4)]])
    shown = await rfm(store, log)
    assert (shown["cutoffs"], shown["scores"], shown["grid"], shown["segments"]) == (
        None,
        None,
        None,
        None,
    )
    assert "5 customers" in shown["reason"]
    assert shown["customers"]["in_window"] == 4
    assert shown["ltv_simple"]["average_frequency"] == 1


async def test_a_shop_without_orders_is_answered_without_money(
    store: SqlStore, log: SqliteLog
) -> None:
    shown = await rfm(store, log)
    assert shown["customers"] == {"ever": 0, "in_window": 0, "guests": 0, "guests_in_window": 0}
    assert (shown["revenue"], shown["ltv_simple"], shown["churn"]["rate"]) == (None, None, None)
    assert shown["reason"] == shown["ltv_predicted"]["reason"] is not None


async def test_orders_of_nobody_are_left_out_and_counted(store: SqlStore, log: SqliteLog) -> None:
    fold(store, [[order("1"), order("2", customer=None, total=250)]])
    shown = await rfm(store, log)
    assert shown["left_out"]["orders"] == 1
    assert shown["left_out"]["revenue"] == money(250)
    assert shown["orders"] == 1


async def test_orders_in_another_currency_are_left_out_and_counted(
    store: SqlStore, log: SqliteLog
) -> None:
    fold(store, [[order("1"), order("2", currency="JPY", total=250)]])
    shown = await rfm(store, log)
    assert (shown["orders"], shown["other_currency_orders"], shown["left_out"]["orders"]) == (
        1,
        1,
        0,
    )


async def test_all_answers_of_a_shop_without_time_zone_have_the_day_of_its_orders_own_times(
    store: SqlStore, log: SqliteLog
) -> None:
    ahead = timezone(timedelta(hours=13))
    made = datetime(1970, 1, 1, 12, tzinfo=ahead) + timedelta(days=TODAY + 1)
    fold(store, [[replace(order("1", day=TODAY + 1), processed_at=made)]])
    async with serving(
        store,
        log,
        SETTINGS,
        shops={SHOP: ShopAnswerSettings()},
        now_ms=TODAY * 86_400_000 + 12 * 3_600_000,
    ) as api:
        days = [
            (await api.answer(path))["as_of"]["day"]
            for path in ("/v1/rfm", "/v1/budget", "/v1/carts")
        ]
        customer = await api.answer("/v1/rfm/customers/1")
    assert days == [customer["last_order_day"]] * 3
    assert customer["recency_days"] == 0


def assert_published(shown: Json, vector: Json) -> None:
    """/v1/rfm has the published numbers as of 1997-09-30 that bins of money do not touch."""
    assert shown["as_of"]["day"] == "1997-09-30"
    assert shown["customers"]["in_window"] == vector["customers_in_window"]
    assert shown["orders"] == vector["orders_in_window"]
    assert shown["revenue"] == money(vector["revenue_cents_in_window"])
    assert shown["cutoffs"]["recency_days"] == vector["cutoffs"]["recency_days"]
    assert shown["cutoffs"]["frequency"] == vector["cutoffs"]["frequency"]
    assert shown["scores"]["recency"] == vector["r_counts"]
    assert shown["scores"]["frequency"] == vector["f_counts"]
    assert shown["churn"]["customers"] == vector["churned_gt180"]
    assert shown["churn"]["rate"] == pytest.approx(vector["churn_rate"])
    assert shown["ltv_simple"]["lifespan_years"] == pytest.approx(vector["lifespan"])
    assert shown["ltv_simple"]["ltv"] == money(100 * vector["ltv_spec"])
