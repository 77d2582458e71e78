"""`GET /v1/rfm/cohorts`: every number is what a plain loop over the orders finds, after any shuffle
and after a rebuild."""

import random
from collections import defaultdict
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from aggregates.budget import projection as budget
from aggregates.budget.answer.overview import BudgetSettings
from aggregates.budget.fold.attribution import attribute
from aggregates.days.answers import ANSWERS
from aggregates.days.fold import projection as days
from aggregates.question import Question
from aggregates.rfm.fold.projection import RfmFold
from processors.orders.row import OrderRow
from processors.orders.state import net
from query.api_settings import ShopAnswerSettings
from stream.store.sql.store import SqlStore
from tests.aggregates.days.test_days_answer import CALLED, sales
from tests.support.shopify.orders import DAY0, SHOP, order
from tests.support.shops.days_shop import LAST, NOW_MS, events_of_shop, fold_days, rebuilt, reports
from tests.support.shops.folding import all_orders

Json = dict[str, Any]
MARGIN = 0.4


def answer(store: SqlStore, by: str = "") -> Json:
    (found,) = [each for each in ANSWERS if each.path == "/v1/rfm/cohorts"]
    assert found.answer is not None
    settings = ShopAnswerSettings(budget=BudgetSettings(margin=MARGIN))
    with store.snapshot() as snapshot:
        question = Question(snapshot, SHOP, NOW_MS, LAST, {"by": by or None}, settings)
        made: Json = msgspec.json.decode(msgspec.json.encode(found.answer(question)))
    return made


def month(day: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()[:7]


def value_of(row: OrderRow, by: str) -> str:
    return {"": "", "channel": row.source_name, "campaign": CALLED[attribute(row.landing)]}[by]


@pytest.mark.parametrize("by", ["", "channel", "campaign"])
def test_every_number_is_what_a_loop_over_the_orders_finds_after_any_shuffle_and_rebuild(
    store: SqlStore, by: str
) -> None:
    events, spend = events_of_shop(5), reports(5)
    random.Random(by).shuffle(events)
    fold_days(store, events, spend)
    found = answer(store, by)
    rows, firsts, kept = sales(store)
    own: defaultdict[str, list[OrderRow]] = defaultdict(list)
    for row in rows:
        if row.customer:
            own[kept.get(row.customer, row.customer)].append(row)
    groups: defaultdict[tuple[str, str], list[list[OrderRow]]] = defaultdict(list)
    for orders in own.values():
        (first,) = [row for row in orders if row.order_id in firsts]
        in_usd = [row for row in orders if row.currency == "USD"]
        groups[month(first.day), value_of(first, by)].append(in_usd)
    months = sorted({month(day) for day in range(DAY0, LAST + 1)})
    expected: dict[tuple[str, str], tuple[int, list[float], list[str]]] = {}
    for (cohort, value), members in groups.items():
        ages = months[months.index(cohort) :]
        active = [
            sum(any(month(row.day) == each for row in orders) for orders in members)
            for each in ages
        ]
        money = [
            sum(net(row) for orders in members for row in orders if month(row.day) <= each)
            for each in ages
        ]
        if active[0]:
            expected[cohort, value] = (
                active[0],
                [each / active[0] for each in active],
                [f"{Decimal(round(each / active[0])) / 100:.2f}" for each in money],
            )
    assert {
        (item["cohort"], item["by"].get(by, "")): (
            item["customers"],
            item["retention"],
            item["revenue_per_customer"],
        )
        for item in found["items"]
    } == expected
    cost: defaultdict[tuple[str, str], int] = defaultdict(int)
    for report in spend:
        cost[month(report.day), report.campaign_name if by else ""] += report.spend
    for item in found["items"]:
        spent = cost.get((item["cohort"], item["by"].get(by, ""))) if by != "channel" else None
        assert (item["spend"] is None) == (spent is None)
        if spent:
            cac = spent / item["customers"]
            assert item["cac"]["amount"] == f"{Decimal(round(cac)) / 100:.2f}"
            worth = [MARGIN * 100 * float(each) for each in item["revenue_per_customer"]]
            assert item["ltv_to_cac"] == pytest.approx(worth[-1] / cac, abs=0.01)
            paid = [age for age, each in enumerate(worth) if each >= cac]
            assert item["payback_months"] == (paid[0] if paid else None)
    rebuilt(store, days.projection(), budget.projection())
    assert answer(store, by) == found


def test_repeat_rate_and_days_between_orders_are_of_purchase_days(store: SqlStore) -> None:
    processor = all_orders()
    events = [
        order("1", customer="1"),
        order("2", customer="1", day=DAY0 + 10),
        order("3", customer="1", day=DAY0 + 40),
        order("4", customer="2", day=DAY0 + 3),
        order("5", customer="2", day=DAY0 + 3),
        order("6", customer="3", day=DAY0 + 5),
    ]
    with store.begin() as transaction:
        processor.apply(transaction, events, NOW_MS)
    found = answer(store)
    assert found["customers"] == 3
    assert found["repeat_rate"] == pytest.approx(1 / 3)
    assert found["days_between_orders"] == pytest.approx(20.0)


@pytest.mark.parametrize("seed", [5, 6])
def test_repeats_are_what_a_loop_over_purchase_days_finds_after_any_shuffle_and_rebuild(
    store: SqlStore, seed: int
) -> None:
    events = events_of_shop(seed)
    random.Random(seed).shuffle(events)
    processor = all_orders()
    for start in range(0, len(events), 100):
        with store.begin() as transaction:
            processor.apply(transaction, events[start : start + 100], NOW_MS)
    rows, _, kept = sales(store)
    own: defaultdict[str, set[int]] = defaultdict(set)
    for row in rows:
        if row.customer and row.currency == "USD":
            own[kept.get(row.customer, row.customer)].add(row.day)
    gaps = [after - day for each in own.values() for day, after in pairwise(sorted(each))]
    found = answer(store)
    assert (found["currency"], found["margin"]) == ("USD", MARGIN)
    assert found["customers"] == len(own)
    assert found["repeat_rate"] == sum(len(each) > 1 for each in own.values()) / len(own)
    assert found["days_between_orders"] == pytest.approx(sum(gaps) / len(gaps))
    rebuilt(store, RfmFold({}).projection(), days.projection())
    assert answer(store) == found


def test_before_the_first_order_the_reason_says_so(store: SqlStore) -> None:
    found = answer(store)
    assert found["items"] == []
    assert found["reason"] == "no order of a known customer was folded for this shop yet"
