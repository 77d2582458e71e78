"""Which days `/v1/budget` judges: those on which both spend and orders are known."""

from dataclasses import replace

import pytest

from aggregates.budget.answer.overview import BudgetSettings, budget
from stream.store.sql.store import SqlStore
from tests.support.oracles.budget_truth import Cost, Sale, amount
from tests.support.shops.budget_shop import (
    HALF,
    SHOP,
    TODAY,
    ask,
    fold,
    iso,
    only,
    order_records,
    report,
    selling,
    spending,
    steady,
)

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
LINK = "/?utm_id=1&utm_source=fb"


def test_a_year_of_revenue_is_never_divided_by_two_months_of_spend(store: SqlStore) -> None:
    year, months = range(TODAY - 300, TODAY), range(TODAY - 60, TODAY)
    fold(store, [*spending(months), *selling(year, LINK, orders=1)])
    answer = ask(store, replace(HALF, shown=366))
    campaign = only(answer)
    assert campaign["roas"] == campaign["roas_days"] / 60 * 2.8 == 2.8
    assert answer["total"]["roas"] == answer["total"]["attributed"]["roas"] == 2.8
    assert campaign["revenue"] == amount(300 * 28_000, "USD")


def test_spend_from_before_the_first_order_says_nothing_of_returns(store: SqlStore) -> None:
    """Spend was imported for two months, orders are received since twelve days."""
    fold(store, [*spending(range(TODAY - 60, TODAY)), *selling(range(TODAY - 12, TODAY), LINK)])
    campaign = only(ask(store, replace(HALF, shown=60)))
    assert campaign["days"] == 10
    assert campaign["daily_return"]["mean"] == pytest.approx(0.4)
    assert campaign["roas"] == pytest.approx(2.8)
    assert campaign["roas_days"] == 12


def test_spend_reports_that_stop_are_said_and_no_pause(store: SqlStore) -> None:
    stopped = TODAY - 10
    fold(
        store,
        [
            *spending(range(TODAY - 40, stopped + 1)),
            *selling(range(TODAY - 40, TODAY), LINK),
        ],
    )
    answer = ask(store, HALF)
    campaign = only(answer)
    assert campaign["current_budget"] == amount(10_000, "USD")
    assert campaign["recommended_budget"] == amount(13_000, "USD")
    assert campaign["days"] == 23
    assert campaign["roas"] == pytest.approx(2.8)
    for said in (campaign["issues"], answer["reasons"]):
        assert any(f"stop at {iso(stopped)}" in text for text in said)


def test_a_report_that_is_a_day_late_is_not_said(store: SqlStore) -> None:
    fold(store, [*spending(range(TODAY - 40, TODAY - 1)), *selling(range(TODAY - 40, TODAY), LINK)])
    answer = ask(store, HALF)
    assert only(answer)["issues"] == answer["reasons"] == []


def test_todays_budget_is_that_of_the_newest_full_day(store: SqlStore) -> None:
    fold(
        store,
        [
            *spending(range(TODAY - 40, TODAY - 1)),
            *spending([TODAY - 1], spend=12_345),
            *spending([TODAY], spend=60),
            *selling(range(TODAY - 40, TODAY), LINK),
        ],
    )
    assert only(ask(store, HALF))["current_budget"] == amount(12_345, "USD")


@pytest.mark.parametrize(("missing_days", "current"), [(3, 10_000), (4, 0)])
def test_a_campaign_missing_from_its_channels_reports_is_late_and_then_paused(
    store: SqlStore, missing_days: int, current: int
) -> None:
    fold(
        store,
        [
            *spending(range(TODAY - 40, TODAY - missing_days)),
            *spending(range(TODAY - 40, TODAY), 500, "Other", "2"),
            *selling(range(TODAY - 40, TODAY), LINK),
        ],
    )
    campaign = only(ask(store, HALF), campaign_id="1")
    assert campaign["current_budget"] == amount(current, "USD")


def test_days_without_orders_are_not_judged_where_so_many_cannot_be_chance(store: SqlStore) -> None:
    """Four orders a day, and then none for a week in which spend goes on: the webhooks are gone."""
    last = TODAY - 8
    fold(store, [*spending(range(TODAY - 40, TODAY)), *selling(range(TODAY - 40, last + 1), LINK)])
    answer = ask(store, HALF)
    assert only(answer)["days"] == 25
    assert only(answer)["daily_return"]["mean"] == pytest.approx(0.4)
    assert any(f"no order has arrived since {iso(last)}" in text for text in answer["reasons"])


def test_a_quiet_week_of_a_shop_with_few_orders_is_judged(store: SqlStore) -> None:
    rare = range(TODAY - 40, TODAY - 7, 3)
    fold(store, [*spending(range(TODAY - 40, TODAY)), *selling(rare, LINK, orders=1)])
    answer = ask(store, HALF)
    assert only(answer)["days"] == 30
    assert answer["reasons"] == []


@pytest.mark.parametrize("shown", [7, 30, 366])
def test_a_shop_has_one_currency_whatever_days_are_asked_for(store: SqlStore, shown: int) -> None:
    old = [
        record
        for n in range(20)
        for record in order_records(10 + n * 10, Sale(TODAY - 200, 900, "USD", ("", "", "")), "/")
    ]
    new = [
        record
        for n in range(5)
        for record in order_records(900 + n * 10, Sale(TODAY, 900, "EUR", ("", "", "")), "/")
    ]
    fold(store, [*old, *new])
    with store.snapshot() as snapshot:
        revenue = budget(snapshot, SHOP, TODAY, BudgetSettings(), shown).total.revenue
    assert revenue is not None
    assert revenue["currency_code"] == "USD"


@pytest.mark.parametrize("revenue", [0, 28_000])
def test_a_day_of_hardly_any_spend_does_not_turn_the_advice(store: SqlStore, revenue: int) -> None:
    """One day of 1.00 spend among 30 of 100.00: the orders of that day are of the days before."""
    days = range(TODAY - 33, TODAY)
    odd = TODAY - 12
    usual = [*spending(days), *selling([day for day in days if day != odd], LINK)]
    fold(store, [*usual, *selling([odd], LINK, revenue=revenue)])
    before = only(ask(store, HALF))
    fold(store, [report(Cost(odd, "meta", "1", "Summer", "USD", 100, 1, None), time_ms=9)])
    after = only(ask(store, HALF))
    assert before["recommended_budget"] == after["recommended_budget"] == amount(13_000, "USD")
    assert after["daily_return"]["p_positive"] == pytest.approx(
        before["daily_return"]["p_positive"], abs=0.02
    )


def test_below_seven_judged_days_no_probability_is_given(store: SqlStore) -> None:
    fold(store, steady(range(TODAY - 8, TODAY + 1), (0.4, 0.2)))
    found = only(ask(store, HALF))["daily_return"]
    assert found["p_positive"] is None
    assert "7" in found["reason"]
    assert found["mean"] == pytest.approx(0.3)
