"""`/v1/budget` on simulated shops: numbers equal brute force, every null has a reason."""

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from msgspec import to_builtins

from aggregates.budget.answer.campaign_answer import NO_BANKROLL, NO_MARGIN
from aggregates.budget.answer.overview import BudgetSettings, budget
from stream.store.sql.store import SqlStore
from tests.support.oracles.budget_truth import DIGITS, Cost, Merchant, amount
from tests.support.oracles.oracle_budget import budget as brute_force
from tests.support.shops.budget_shop import (
    HALF,
    SHOP,
    TODAY,
    ask,
    fold,
    on_sqlite,
    report,
    steady,
)
from tests.support.shops.simulated_campaigns import Simulated


def differing(expected: Any, answer: Any, path: str = "") -> Iterator[str]:
    """Where the answer lacks or contradicts what is expected; floats to 1e-6, budgets (roots of
    equations) to two minor units."""
    if isinstance(expected, dict) and isinstance(answer, dict):
        if (
            path.endswith(("saturation", "recommended_budget", "target_budget"))
            and expected["currency_code"] == answer["currency_code"]
        ):
            units = 10 ** DIGITS[expected["currency_code"]]
            if (
                abs(float(expected["amount"]) - float(answer["amount"])) * units
                > 2 + 1e-6 * abs(float(expected["amount"])) * units
            ):
                yield f"{path}: {answer} instead of {expected}"
            return
        for key, value in expected.items():
            yield from differing(value, answer.get(key, "nothing"), f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(answer, list) and len(expected) == len(answer):
        for index, (one, other) in enumerate(zip(expected, answer, strict=True)):
            yield from differing(one, other, f"{path}[{index}]")
    elif isinstance(expected, float) and isinstance(answer, float | int):
        if answer != pytest.approx(expected, rel=1e-6, abs=1e-9):
            yield f"{path}: {answer} instead of {expected}"
    elif expected != answer:
        yield f"{path}: {answer} instead of {expected}"


@pytest.mark.parametrize("seed", range(2))
def test_every_number_agrees_with_brute_force(store: SqlStore, seed: int) -> None:
    assert_agrees_with_brute_force(store, seed)


@on_sqlite
@pytest.mark.parametrize("seed", range(2, 26))
def test_every_number_of_many_shops_agrees_with_brute_force(store: SqlStore, seed: int) -> None:
    assert_agrees_with_brute_force(store, seed)


def assert_agrees_with_brute_force(store: SqlStore, seed: int) -> None:
    shop = Simulated(seed)
    fold(store, shop.entries)
    merchant = shop.merchant()
    answer, expected = ask(store, merchant), brute_force(shop.sales, shop.costs, TODAY, merchant)
    shown = {
        (c["channel"], c["campaign_id"], "" if c["campaign_id"] else c["name"].casefold()): c
        for c in answer["campaigns"]
    }
    wanted = {
        (key[0], key[1] or None, key[2]): value for key, value in expected.pop("campaigns").items()
    }
    assert shown.keys() == wanted.keys()
    problems = list(
        differing(
            expected,
            {
                **answer,
                "left_out": sum(int(r.split()[0]) for r in answer["reasons"] if "left out" in r),
            },
        )
    )
    for key, value in wanted.items():
        claimed = value.pop("claimed")
        assert (shown[key]["platform"]["revenue"] is not None) <= claimed
        problems += differing(value, shown[key], str(key))
    assert problems == []


def nulls_without_reason(value: Any, path: str = "") -> Iterator[str]:
    """Every null, unless its object (or the campaign it stands in) has a reason."""
    if isinstance(value, dict):
        own = [key for key in value if key.endswith("reason") and value[key]]
        for key, inner in value.items():
            if (
                inner is None
                and not key.endswith("reason")
                and not own
                and key not in ("campaign_id", "name", "channel")
            ):
                yield f"{path}.{key}"
            if inner is not None:
                yield from nulls_without_reason(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from nulls_without_reason(inner, f"{path}[{index}]")


@on_sqlite
@pytest.mark.parametrize(
    "merchant", [Merchant("USD", b, m) for b in (None, 50_000) for m in (None, 0.5)]
)
def test_every_null_has_a_reason_that_names_the_missing_setting(
    store: SqlStore, merchant: Merchant
) -> None:
    fold(
        store,
        [*Simulated(1).entries, report(Cost(TODAY, "meta", "new", "New", "USD", 500, 1, None))],
    )
    answer = ask(store, merchant)
    settings = {name: answer.pop(name) for name in ("margin", "bankroll_per_day")}
    assert list(nulls_without_reason(answer)) == []
    assert (
        (NO_MARGIN in answer["reasons"])
        == (merchant.margin is None)
        == (settings["margin"] is None)
    )
    assert (
        (NO_BANKROLL in answer["reasons"])
        == (merchant.bankroll is None)
        == (settings["bankroll_per_day"] is None)
    )
    result = any(each["recommended_budget"] for each in answer["campaigns"])
    assert result == (None not in (merchant.margin, merchant.bankroll))


@pytest.mark.parametrize("currency", [None, "USD"])
def test_a_shop_of_which_nothing_is_known_yet_says_so(
    store: SqlStore, currency: str | None
) -> None:
    with store.snapshot() as snapshot:
        answer = to_builtins(
            budget(
                snapshot,
                SHOP,
                TODAY,
                BudgetSettings(bankroll=Decimal(100), margin=0.4, currency=currency),
            )
        )
    assert answer["campaigns"] == []
    assert answer["reasons"]
    assert NO_MARGIN not in answer["reasons"]
    del answer["bankroll_per_day"]
    assert list(nulls_without_reason(answer)) == []
    assert answer["total"]["roas"] is None
    assert answer["total"]["orders"] == answer["unattributed"]["orders"] == 0


def test_without_any_data_the_settings_that_are_missing_are_reported_as_well(
    store: SqlStore,
) -> None:
    with store.snapshot() as snapshot:
        assert {NO_MARGIN, NO_BANKROLL} < set(
            budget(snapshot, SHOP, TODAY, BudgetSettings()).reasons
        )


@on_sqlite
@pytest.mark.parametrize("shown", [1, 7, 60, 366])
def test_the_days_that_are_asked_for_change_what_is_shown_and_not_what_is_advised(
    store: SqlStore, shown: int
) -> None:
    fold(store, steady(range(TODAY - 40, TODAY + 1), (0.4, -0.3)))
    usual, asked = (ask(store, replace(HALF, shown=each)) for each in (None, shown))
    assert asked["days"] == shown
    assert asked["campaigns"][0]["spend"] == amount(10_000 * min(shown, 41), "USD")
    for name in (
        "days",
        "daily_return",
        "kelly",
        "saturation",
        "current_budget",
        "recommended_budget",
        "binding_constraint",
    ):
        assert asked["campaigns"][0][name] == usual["campaigns"][0][name], name
    assert asked["returns_window"] == usual["returns_window"]


@on_sqlite
def test_the_answer_is_json(store: SqlStore) -> None:
    shop = Simulated(3)
    fold(store, shop.entries)
    assert json.loads(json.dumps(ask(store, shop.merchant()), allow_nan=False))
