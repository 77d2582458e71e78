"""Followed every day, the advice ruins nobody, keeps what earns and cuts what loses.

A small part of `bench/models/budget_policy.py`, whose whole table stands in docs/budget-advice.md.
"""

import numpy as np
import pytest

from bench.models.budget_policy import Outcome, World, best, follow, row

SEEDS = range(6)


def followed(world: World) -> list[Outcome]:
    return [follow(world, seed) for seed in SEEDS]


def growth(outcomes: list[Outcome]) -> float:
    return float(np.mean([each.growth for each in outcomes]))


@pytest.mark.parametrize(("roi", "orders"), [(0.2, 1), (0.5, 1), (0.2, 5), (2.0, 1), (0.2, 50)])
def test_a_campaign_that_earns_is_not_advised_to_nothing(roi: float, orders: float) -> None:
    """Before, one of +20 % and few orders a day was advised to zero within 60 days."""
    world = World((roi,), orders)
    outcomes = followed(world)
    assert growth(outcomes) >= 0.7 * best(world)
    assert min(each.lowest for each in outcomes) > 0.25


@pytest.mark.parametrize(("orders", "shops", "left"), [(1, 30, 0.3), (5, 6, 0.05), (50, 6, 0.01)])
def test_a_campaign_that_loses_is_cut_within_thirty_days(
    orders: float, shops: int, left: float
) -> None:
    outcomes = [follow(World((-0.3,), orders), seed, days=31) for seed in range(shops)]
    assert np.mean([each.left for each in outcomes]) <= left
    assert np.median([each.left for each in outcomes]) <= 0.05
    assert min(each.lowest for each in outcomes) > 0.5


def test_a_campaign_that_breaks_even_ruins_nobody() -> None:
    assert min(each.lowest for each in followed(World((0.0,), 1))) > 0.25


def test_money_moves_from_what_loses_to_what_earns_most() -> None:
    world = World((-0.3, 0.0, 0.2, 0.5, 2.0), 5)
    outcomes = [follow(world, seed) for seed in range(2)]
    assert growth(outcomes) >= 0.7 * best(world)
    assert all(each.left[0] < 0.1 < 2 < each.left[4] for each in outcomes)


def test_a_row_of_the_table_says_what_it_measured() -> None:
    outcome = Outcome(growth=12.0, lowest=0.9, left=(0.1, 1.5))
    assert row(World((-0.3, 0.2), 5), [outcome]) == (
        "| -30, +20 % | 5 | 2 | 50% | 90% | 10% | 100% |"
    )
