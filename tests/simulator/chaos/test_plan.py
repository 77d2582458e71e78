"""The faults of a run are those of its seed."""

import pytest

from simulator.chaos.plan import CHOICES, SWAPS, Kind, Pair, plan, plans

DAYS_S = 2 * 86_400


def test_one_seed_draws_one_plan_and_another_seed_another() -> None:
    once = plan(7, 600, Pair.KAFKA)
    assert once == plan(7, 600, Pair.KAFKA)
    assert once != plan(8, 600, Pair.KAFKA)


def test_faults_begin_in_order_within_the_time_and_every_kind_comes() -> None:
    for pair in Pair:
        faults = plan(1, 3_600, pair)
        assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
        assert faults[0].at_s > 0
        assert faults[-1].at_s < 3_600
        wanted = {(choice.kind, choice.target) for choice in CHOICES if pair in choice.pairs}
        swap = SWAPS[pair]
        assert {(fault.kind, fault.target) for fault in faults} == {
            *wanted,
            (swap.kind, swap.target),
        }


def test_sqlite_has_no_broker_and_no_server_of_a_database() -> None:
    targets = {fault.target for fault in plan(1, 3_600, Pair.SQLITE)}
    assert targets.isdisjoint({"broker", "kafka", "database"})


def test_a_clock_steps_by_two_days_at_most_in_both_directions() -> None:
    steps = [
        int(fault.how.removesuffix(" s"))
        for fault in plan(3, 36_000, Pair.SQLITE)
        if fault.kind is Kind.STEP
    ]
    assert min(steps) < 0 < max(steps)
    assert max(map(abs, steps)) <= DAYS_S


def test_several_seeds_share_the_time_and_each_draws_what_it_draws_by_itself() -> None:
    first, then = plan(16, 60, Pair.SQLITE), plan(101, 60, Pair.SQLITE)
    both = plans([16, 101], 120, Pair.SQLITE)
    assert both[: len(first)] == first
    later = both[len(first) :]
    assert [each.name for each in later] == [each.name for each in then]
    assert [each.at_s - 60 for each in later] == pytest.approx([each.at_s for each in then])
    longer = plan(16, 120, Pair.SQLITE)
    assert longer[: len(first)] == first
