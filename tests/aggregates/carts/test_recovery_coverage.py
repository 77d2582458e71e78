"""The recovery potential in a few simulated shops; `bench/models/recovery_coverage.py` has many."""

from bench.models.recovery_coverage import asked, covered


def test_buyers_who_pause_before_they_pay_are_expected_and_the_bounds_hold_them() -> None:
    found = asked("visits with pauses", shops=3, seed=4)
    answers = [answer for shop in found for answer in shop]
    expected, came_back = (
        sum(getattr(answer, name) for answer in answers) for name in ("expected", "truth")
    )
    assert 0.75 < expected / came_back < 1.3
    assert covered(found) >= 0.6
