"""Binned days of a large shop: what they keep; models fitted on them predict the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.arrays import Floats, Ints
from aggregates.rfm.fold.day_bins import EXACT_GAP_DAYS, mid_week, purchase_days
from aggregates.rfm.value.btyd import BgNbd, NoPrediction, expected_purchases, fit_bg_nbd
from aggregates.rfm.value.history import History, history_from_days
from bench.models.refit import TRUE, WEEKS, purchase_cells, simulate

BURSTS = BgNbd(r=0.16, alpha=0.27, a=1.85, b=3.2, log_likelihood=0.0)
"""Half of the repeat customers come back within days (as in lifetimes' example_transactions)."""
YEAR_WEEKS = 365 / 7


@given(st.integers(-(10**4), 10**5), st.integers(0, 2_000), st.booleans())
def test_a_customers_days_are_those_of_the_cell_and_the_offsets(
    first_day: int, gap: int, exact: bool
) -> None:
    at = purchase_days(first_day, first_day + gap, exact=exact)
    assert (at.first_day + at.first_offset, at.last_day + at.last_offset) == (
        first_day,
        first_day + gap,
    )
    assert max(abs(at.first_offset), abs(at.last_offset)) <= 3
    if exact or gap < EXACT_GAP_DAYS:
        assert at.last_day - at.first_day == gap
    else:
        assert at.last_day - at.first_day >= EXACT_GAP_DAYS


@given(st.integers(-(10**4), 10**5))
def test_the_middle_of_a_week_lies_in_it(day: int) -> None:
    assert mid_week(day) // 7 == day // 7
    assert mid_week(mid_week(day)) == mid_week(day)


def exact_history(x: Ints, first: Ints, last: Ints, asof: int) -> History:
    return history_from_days(x, first, last, np.ones(len(x), dtype=np.int64), asof)


def fitted(history: History) -> BgNbd:
    fit = fit_bg_nbd(history)
    assert isinstance(fit, BgNbd), fit
    return fit


def orders_ahead(model: BgNbd, history: History) -> Floats:
    return expected_purchases(model, YEAR_WEEKS, history.x, history.t_x, history.T)


@pytest.mark.parametrize("true", [TRUE, BURSTS], ids=["ordinary", "bursts"])
@pytest.mark.parametrize("weeks", [26, WEEKS])
def test_predictions_on_cells_are_those_on_days_to_1_percent_in_total_and_5_per_customer(
    true: BgNbd, weeks: int
) -> None:
    x, first, last, spend = simulate(60_000, true=true)
    asof = weeks * 7 - 1
    known = last <= asof  # a young shop: customers whose whole history lies in its first weeks
    x, first, last, spend = x[known], first[known], last[known], spend[known]
    days = exact_history(x, first, last, asof)
    cells, _ = purchase_cells(x, first, last, x * spend, asof)
    by_day, by_cell = fitted(days), fitted(cells)
    assert float(orders_ahead(by_cell, cells) @ cells.n) == pytest.approx(
        float(orders_ahead(by_day, days).sum()), rel=0.01
    )
    singly, expected = orders_ahead(by_cell, days), orders_ahead(by_day, days)
    answer = expected > 1e-4
    assert np.abs(singly[answer] / expected[answer] - 1).max() < 0.05


def test_a_likelihood_that_rises_without_end_is_no_fit() -> None:
    """Second orders of the same week at distance zero from the first, as weeks would have it."""
    x = np.array([0, 1, 2])
    merged = History(x, np.zeros(3), np.full(3, 50.0), np.array([2_000, 500, 100]))
    refused = fit_bg_nbd(merged)
    assert isinstance(refused, NoPrediction)
    assert "no optimum" in refused.reason


def test_repeat_days_lie_apart_by_as_many_days_at_least() -> None:
    x, first, last, _ = simulate(20_000, true=BURSTS)
    asof = WEEKS * 7 - 1
    in_weeks = exact_history(x, first - first % 7 + 3, last - last % 7 + 3, asof)
    assert (in_weeks.t_x * 7 >= x - 1e-9).all()
    assert fitted(in_weeks).alpha == pytest.approx(
        fitted(exact_history(x, first, last, asof)).alpha, rel=0.5
    )
