"""Revenue without a campaign: above a limit, advice is withheld and says what to fix."""

from dataclasses import replace
from typing import Any

import pytest

from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.oracles.budget_truth import Cost, amount
from tests.support.shops.budget_shop import HALF, TODAY, ask, fold, only, report, selling, spending

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
DAYS = range(TODAY - 40, TODAY)
BY_ID = "/?utm_id=1&utm_source=fb"


def shop(store: SqlStore, *more: Entry) -> dict[str, Any]:
    """A campaign that earns 280.00 a day on 100.00, and what else is given."""
    fold(store, [*spending(DAYS), *selling(DAYS, BY_ID), *more])
    return ask(store, HALF)


def assert_withheld(campaign: dict[str, Any], *words: str) -> None:
    assert campaign["recommended_budget"] is campaign["target_budget"] is None
    assert campaign["binding_constraint"] is None
    assert campaign["current_budget"] == amount(10_000, "USD")
    for word in words:
        assert word in campaign["reason"]
        assert word in campaign["why"]


@pytest.mark.parametrize(("revenue", "withheld"), [(12_000, True), (2_000, False)])
def test_clicks_that_name_no_campaign_withhold_advice_where_they_earn_much(
    store: SqlStore, revenue: int, withheld: bool
) -> None:
    clicks = selling(DAYS, "/?fbclid=IwAR0", revenue=revenue, number=2)
    answer = shop(store, *clicks)
    if withheld:
        assert_withheld(only(answer), "30%", "no campaign", "utm_id={{campaign.id}}")
        assert any("utm_id" in text for text in answer["reasons"])
        assert answer["total"]["recommended_budget"] is None
    else:
        assert only(answer)["recommended_budget"] == amount(13_000, "USD")
        assert answer["reasons"] == []


def test_another_channel_is_advised_all_the_same(store: SqlStore) -> None:
    google = [report(Cost(day, "google", "9", "Brand", "USD", 10_000, 1, None)) for day in DAYS]
    clicks = selling(DAYS, "/?fbclid=IwAR0", revenue=12_000, number=2)
    sold = selling(DAYS, "/?utm_id=9&utm_source=google", number=3)
    answer = shop(store, *google, *clicks, *sold)
    assert_withheld(only(answer, channel="meta"))
    assert only(answer, channel="google")["recommended_budget"] == amount(13_000, "USD")


@pytest.mark.parametrize(
    ("link", "withheld"),
    [
        ("/?utm_source=facebook&utm_campaign=Sumer", True),
        ("/?utm_source=facebook&utm_id=77777", True),
        ("/?utm_campaign=Sumer", True),
        ("/?utm_source=klaviyo&utm_campaign=Sumer", False),
        ("/?utm_source=facebook&utm_campaign=summer", False),
    ],
)
def test_a_link_that_names_a_campaign_nobody_reports_withholds_advice_on_its_channel(
    store: SqlStore, link: str, withheld: bool
) -> None:
    answer = shop(store, *selling(DAYS, link, revenue=12_000, number=2))
    campaign = only(answer, campaign_id="1")
    if withheld:
        assert_withheld(campaign, "sumer" if "Sumer" in link else "77777", "no spend report")
    else:
        assert campaign["recommended_budget"] == amount(13_000, "USD")


def test_a_name_that_two_campaigns_have_withholds_advice_on_both_and_on_no_other(
    store: SqlStore,
) -> None:
    second = spending(DAYS, name="Summer", campaign_id="2")
    third = [
        *spending(DAYS, name="Winter", campaign_id="3"),
        *selling(DAYS, "/?utm_id=3&utm_source=fb", number=4),
    ]
    named = selling(DAYS, "/?utm_source=fb&utm_campaign=summer", revenue=12_000, number=2)
    answer = shop(store, *second, *third, *named)
    assert_withheld(only(answer, campaign_id="1"), "'summer'", "2 campaigns")
    assert_withheld(only(answer, campaign_id="2"), "'summer'", "2 campaigns")
    assert only(answer, campaign_id="3")["recommended_budget"] == amount(13_000, "USD")


def test_a_name_that_moved_withholds_advice(store: SqlStore) -> None:
    """A campaign known by name only is renamed; the links keep the name that it had."""
    before, after = range(TODAY - 40, TODAY - 20), range(TODAY - 20, TODAY)
    link = "/?utm_source=fb&utm_campaign=summer"
    fold(
        store,
        [
            *spending(before, name="Summer", campaign_id=""),
            *spending(after, name="Summer 2", campaign_id=""),
            *selling(DAYS, link),
        ],
    )
    renamed = only(ask(store, HALF), name="Summer 2")
    assert_withheld(renamed, "'Summer'", "renamed")


def test_late_orders_of_a_campaign_that_ended_are_its_own(store: SqlStore) -> None:
    ended = range(TODAY - 40, TODAY - 12)
    other = [
        *spending(ended, name="Old", campaign_id=""),
        *selling(range(TODAY - 40, TODAY - 6), "/?utm_source=fb&utm_campaign=old", number=2),
    ]
    campaign = only(shop(store, *other), campaign_id="1")
    assert campaign["recommended_budget"] == amount(13_000, "USD")


@pytest.mark.parametrize("shown", [7, 366])
def test_a_name_that_another_campaign_had_long_ago_does_not_matter(
    store: SqlStore, shown: int
) -> None:
    long_ago = spending(range(TODAY - 200, TODAY - 190), name="Summer", campaign_id="2")
    named = selling(DAYS, "/?utm_source=fb&utm_campaign=summer", revenue=12_000, number=2)
    fold(store, [*spending(DAYS), *selling(DAYS, BY_ID), *named, *long_ago])
    campaign = only(ask(store, replace(HALF, shown=shown)), campaign_id="1")
    assert campaign["recommended_budget"] == amount(13_000, "USD")
    assert campaign["daily_return"]["mean"] == pytest.approx(1.0)


def test_what_withheld_campaigns_spend_is_not_given_to_others(store: SqlStore) -> None:
    google = [report(Cost(day, "google", "9", "Brand", "USD", 85_000, 1, None)) for day in DAYS]
    clicks = selling(DAYS, "/?gclid=x", revenue=100_000, number=2)
    answer = shop(store, *google, *clicks)
    assert only(answer, channel="google")["recommended_budget"] is None
    campaign = only(answer, channel="meta")
    assert campaign["recommended_budget"] == amount(13_000, "USD")
    assert campaign["target_budget"] == amount(15_000, "USD")
