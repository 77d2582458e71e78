"""What `/v1/budget` advises: the multiplier, what binds, and the sentence that says why."""

import pytest

from aggregates.budget.answer.campaign_answer import PAUSE
from stream.store.sql.store import SqlStore
from tests.support.oracles.budget_truth import Merchant, amount
from tests.support.shops.budget_shop import (
    HALF,
    TODAY,
    ask,
    fold,
    on_sqlite,
    only,
    steady,
)


@on_sqlite
def test_below_seven_days_todays_budget_stays(store: SqlStore) -> None:
    fold(store, steady(range(TODAY - 8, TODAY + 1), (0.4, 0.2)))
    (campaign,) = ask(store, HALF)["campaigns"]
    assert (campaign["days"], campaign["binding_constraint"]) == (6, "too_few_days")
    assert campaign["recommended_budget"] == campaign["current_budget"] == amount(10_000, "USD")
    assert campaign["kelly"]["multiplier"] is None
    assert "6 mature days" in campaign["reason"]


@on_sqlite
@pytest.mark.parametrize(("days", "multiplier"), [(7, 0.25), (29, 0.25), (30, 0.5), (60, 0.5)])
def test_the_multiplier_follows_the_mature_days(
    store: SqlStore, days: int, multiplier: float
) -> None:
    fold(store, steady(range(TODAY - 2 - days, TODAY + 1), (0.4, -0.3)))
    assert ask(store, HALF)["campaigns"][0]["kelly"]["multiplier"] == multiplier


@on_sqlite
@pytest.mark.parametrize(
    ("returns", "bankroll", "binding", "recommended"),
    [
        ((-0.5, -0.3), 100_000, "zero_edge", 7_000),
        ((0.9, 0.7), 100_000, "step_up", 13_000),
        ((0.9, 0.7), 11_000, "bankroll", 11_000),
        ((0.9, -0.8), 20_000, "kelly", 10_000),
        ((0.9, 0.7), 4_000, "bankroll", 4_000),
    ],
)
def test_what_binds_is_named(
    store: SqlStore, returns: tuple[float, ...], bankroll: int, binding: str, recommended: int
) -> None:
    fold(store, steady(range(TODAY - 40, TODAY + 1), returns))
    (campaign,) = ask(store, Merchant("USD", bankroll, 0.5))["campaigns"]
    assert (campaign["binding_constraint"], campaign["recommended_budget"]) == (
        binding,
        amount(recommended, "USD"),
    )
    assert (PAUSE in campaign["issues"]) == (binding == "zero_edge")


@on_sqlite
@pytest.mark.parametrize(
    ("returns", "bankroll", "words"),
    [
        ((-0.5, -0.3), 100_000, ("Cut", "-40%", "loses money with P = 9")),
        ((0.9, 0.7), 100_000, ("Raise towards 1000.00 USD a day", "+80%", "30 days")),
        ((0.9, 0.7), 11_000, ("Raise towards 110.00 USD a day",)),
        ((0.9, -0.8), 20_000, ("Keep", "+5%", "a cut needs 75%")),
        ((0.9, 0.7), 4_000, ("Lower", "the bankroll is not enough")),
    ],
)
def test_one_plain_sentence_says_why(
    store: SqlStore, returns: tuple[float, ...], bankroll: int, words: tuple[str, ...]
) -> None:
    fold(store, steady(range(TODAY - 40, TODAY + 1), returns))
    (campaign,) = ask(store, Merchant("USD", bankroll, 0.5))["campaigns"]
    for word in words:
        assert word in campaign["why"]
    assert campaign["why"].endswith(".")


@on_sqlite
def test_a_raise_that_better_campaigns_will_take_back_says_so(store: SqlStore) -> None:
    days = range(TODAY - 40, TODAY + 1)
    good, better = (
        steady(days, (0.3, 0.1), 3_000, "Good", "1"),
        steady(days, (1.9, 1.7), 1_000, "Better", "2"),
    )
    fold(store, [*good, *better])
    answer = ask(store, Merchant("USD", 20_000, 0.5))
    shown = only(answer, campaign_id="1")
    now, tomorrow, target = (
        float(shown[f"{name}_budget"]["amount"]) for name in ("current", "recommended", "target")
    )
    assert target < now < tomorrow
    assert shown["why"].startswith("Raise while the bankroll has room")
    assert "towards" not in shown["why"]


@on_sqlite
@pytest.mark.parametrize("merchant", [Merchant("USD", None, 0.5), Merchant("USD", 100_000, None)])
def test_where_nothing_is_advised_the_sentence_says_why_not(
    store: SqlStore, merchant: Merchant
) -> None:
    fold(store, steady(range(TODAY - 40, TODAY + 1), (0.9, 0.7)))
    (campaign,) = ask(store, merchant)["campaigns"]
    assert campaign["why"] == f"No change is advised: {campaign['reason']}."


@on_sqlite
def test_the_answer_says_against_what_risk_is_measured(store: SqlStore) -> None:
    fold(store, steady(range(TODAY - 40, TODAY + 1), (0.9, 0.7)))
    risk = ask(store, HALF)["risk"]
    assert risk["horizon_days"] == 30
    assert risk["bankroll"] == amount(30 * 100_000, "USD")
    assert "the bankroll of 30 days" in risk["note"]


@on_sqlite
def test_recommended_budgets_stay_within_the_step_and_together_within_the_bankroll(
    store: SqlStore,
) -> None:
    fold(
        store,
        [
            e
            for n in range(1, 5)
            for e in steady(
                range(TODAY - 40, TODAY + 1), (0.9, 0.5, 0.7), 10_000 + n, f"C{n}", str(n)
            )
        ],
    )
    answer = ask(store, Merchant("USD", 45_000, 0.5))
    moves = [
        (float(c["current_budget"]["amount"]), float(c["recommended_budget"]["amount"]))
        for c in answer["campaigns"]
    ]
    assert all(0.7 * current <= result <= 1.3 * current for current, result in moves)
    assert sum(result for _, result in moves) == pytest.approx(450, abs=0.05)
    assert sum(result for _, result in moves) <= 450
    assert float(answer["total"]["recommended_budget"]["amount"]) <= 450
