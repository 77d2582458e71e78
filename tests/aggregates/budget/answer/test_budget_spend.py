"""Spend in `/v1/budget`: by name and by id, in another currency, of campaigns that share a name."""

import pytest

from aggregates.budget.answer.campaign_answer import AMBIGUOUS
from stream.store.sql.store import SqlStore
from tests.support.oracles.budget_truth import Cost, Sale, amount
from tests.support.shops.budget_shop import (
    HALF,
    TODAY,
    ask,
    fold,
    on_sqlite,
    order_records,
    report,
    steady,
)


@on_sqlite
@pytest.mark.parametrize("days", [(1, 2, 3), (3, 2, 1)])
def test_spend_reported_by_name_and_later_with_its_id_counts_once(
    store: SqlStore, days: tuple[int, ...]
) -> None:
    """Two days are reported again with the id, under which the links know it; the third stays as it
    was, and is the same campaign's."""
    by_name = [
        report(Cost(TODAY - day, "meta", "", "Summer", "USD", 1000, 1, None)) for day in days
    ]
    by_id = [
        report(Cost(TODAY - day, "meta", "77", "summer ", "USD", 1100, 1, None), time_ms=2)
        for day in days[:2]
    ]
    other = report(Cost(TODAY - 1, "google", "", "Summer", "USD", 500, 1, None))
    sale = Sale(TODAY - 1, 900, "USD", ("", "", ""))
    fold(
        store,
        [*by_id, other, *by_name, *order_records(10, sale, "/?utm_source=fb&utm_campaign=summer")],
        batch=2,
    )
    shown = {
        (each["channel"], each["campaign_id"]): (each["spend"], each["orders"], each["issues"])
        for each in ask(store, HALF)["campaigns"]
    }
    assert shown == {
        ("meta", "77"): (amount(3200, "USD"), 1, []),
        ("google", None): (amount(500, "USD"), 0, []),
    }


@on_sqlite
def test_spend_by_a_name_that_two_ids_have_is_a_campaign_of_its_own_but_for_the_days_reported_by_id(
    store: SqlStore,
) -> None:
    costs = [
        Cost(TODAY - day, "meta", n, "Summer", "USD", 100, 1, None)
        for day, n in ((1, "1"), (1, "2"), (1, ""), (2, ""))
    ]
    fold(store, [report(cost) for cost in costs])
    assert {
        each["campaign_id"]: each["spend"] for each in ask(store, HALF)["campaigns"]
    } == dict.fromkeys(("1", "2", None), amount(100, "USD"))


@on_sqlite
def test_spend_in_another_currency_is_shown_but_never_compared(store: SqlStore) -> None:
    fold(
        store,
        [
            *steady(range(TODAY - 40, TODAY + 1), (0.4, 0.2)),
            report(Cost(TODAY, "google", "9", "Abroad", "EUR", 500, 1, None)),
        ],
    )
    answer = ask(store, HALF)
    (abroad,) = (each for each in answer["campaigns"] if each["campaign_id"] == "9")
    assert (abroad["spend"], abroad["roas"], abroad["recommended_budget"]) == (
        amount(500, "EUR"),
        None,
        None,
    )
    assert "EUR" in abroad["reason"]
    assert answer["total"]["roas"] is None
    assert any("EUR" in reason for reason in answer["reasons"])


@on_sqlite
def test_a_name_that_two_campaigns_have_is_given_to_neither(store: SqlStore) -> None:
    costs = [Cost(TODAY, "meta", n, "Summer", "USD", 100, 1, None) for n in ("1", "2")]
    sale = Sale(TODAY, 900, "USD", ("", "", ""))
    fold(
        store,
        [*map(report, costs), *order_records(10, sale, "/?utm_source=fb&utm_campaign=summer")],
    )
    found = {
        each["campaign_id"]: (each["orders"], each["issues"])
        for each in ask(store, HALF)["campaigns"]
    }
    assert found == {"1": (0, []), "2": (0, []), None: (1, [AMBIGUOUS])}


@on_sqlite
def test_a_link_of_another_channel_does_not_take_a_campaigns_name(store: SqlStore) -> None:
    sale = Sale(TODAY, 900, "USD", ("", "", ""))
    links = ("/?utm_source=klaviyo&utm_campaign=summer", "/?utm_campaign=summer")
    records = [
        record for n, link in enumerate(links) for record in order_records(10 * (n + 1), sale, link)
    ]
    fold(store, [report(Cost(TODAY, "meta", "1", "Summer", "USD", 100, 1, None)), *records])
    assert {each["channel"]: each["orders"] for each in ask(store, HALF)["campaigns"]} == {
        "meta": 1,
        "klaviyo": 1,
    }


@on_sqlite
def test_the_share_of_unattributed_orders_is_shown(store: SqlStore) -> None:
    sale = Sale(TODAY, 1000, "USD", ("", "", ""))
    fold(
        store,
        [
            e
            for n, site in enumerate((None, "/", "/", "/?fbclid=x"))
            for e in order_records(10 * (n + 1), sale, site)
        ],
    )
    answer = ask(store, HALF)
    assert answer["unattributed"] == {
        "orders": 1,
        "revenue": amount(1000, "USD"),
        "share": 0.25,
        "reason": None,
    }
    assert (answer["direct"]["orders"], answer["meta_unassigned"]["orders"]) == (2, 1)


@pytest.mark.parametrize(
    ("shop_zone", "note"),
    [
        ("America/Los_Angeles", None),
        ("Europe/Paris", "mixes the hours"),
        (None, "the shop's time zone is not set"),
    ],
)
def test_time_zones_of_account_and_shop_are_stated(
    store: SqlStore, shop_zone: str | None, note: str | None
) -> None:
    fold(store, steady(range(TODAY - 3, TODAY), (0.1,)))
    zones = ask(store, HALF, shop_zone)["time_zones"]
    assert (zones["shop"], zones["ad_account"]) == (shop_zone, "America/Los_Angeles")
    assert zones["reason"] is None if note is None else note in zones["reason"]
