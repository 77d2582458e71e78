"""What judged days say: moments weighted by spend, counts that scale with it, Student's t."""

from math import sqrt

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st

from aggregates.budget.advice.evidence import Evidence, EvidenceDay, Stakes, evidence, win_rate
from aggregates.budget.advice.kelly import Caution

STAKES = Stakes(margin=0.5, order_value=5_000.0, bankroll=100_000)
DAYS = st.lists(
    st.builds(EvidenceDay, st.integers(1, 10**6), st.integers(0, 10**7), st.integers(1, 50)),
    min_size=7,
    max_size=60,
)


def returning(mean: float, n: int = 30, spend: int = 10_000, orders: int = 4) -> list[EvidenceDay]:
    """Days of equal spend whose returns at a margin of a half alternate about `mean`."""
    swing = (0.3, -0.3)
    return [EvidenceDay(spend, spend * (1 + mean + swing[i % 2]) / 0.5, orders) for i in range(n)]


def probability(found: Evidence) -> float:
    assert found.p_positive is not None
    return found.p_positive


@given(DAYS)
def test_a_fraction_is_bounded_and_its_mean_is_drawn_towards_no_edge(
    days: list[EvidenceDay],
) -> None:
    found = evidence(days, STAKES)
    assert found.mean is not None
    assert found.shrunk_mean is not None
    assert found.fraction is not None
    assert 0 <= found.fraction <= 1
    assert abs(found.shrunk_mean) <= abs(found.mean) + 1e-12
    assert (probability(found) - 0.5) * found.shrunk_mean >= 0
    assert found.mean == pytest.approx(
        0.5 * sum(day.revenue for day in days) / sum(day.spend for day in days) - 1, abs=1e-9
    )


@given(DAYS, st.randoms(use_true_random=False))
def test_the_order_of_days_does_not_matter(days: list[EvidenceDay], random: object) -> None:
    shuffled = sorted(days, key=lambda day: (day.revenue, day.spend))
    one, other = evidence(days, STAKES), evidence(shuffled, STAKES)
    assert one.fraction == pytest.approx(other.fraction, abs=1e-9)
    assert one.p_positive == pytest.approx(other.p_positive, abs=1e-9)


@given(DAYS, st.sampled_from([0.5, 4.0, 128.0]))
def test_a_change_of_currency_changes_nothing(days: list[EvidenceDay], rate: float) -> None:
    abroad = [EvidenceDay(day.spend * rate, day.revenue * rate, day.orders) for day in days]
    there = STAKES._replace(order_value=5_000.0 * rate, bankroll=round(100_000 * rate))
    one, other = evidence(days, STAKES), evidence(abroad, there)
    assert other.fraction == pytest.approx(one.fraction, abs=1e-9)
    assert other.sd == pytest.approx(one.sd, rel=1e-9, abs=1e-12)


def test_days_of_equal_spend_have_the_plain_mean_and_standard_deviation() -> None:
    found = evidence(returning(0.1), STAKES)
    returns = [0.5 * day.revenue / day.spend - 1 for day in returning(0.1)]
    assert found.mean == pytest.approx(np.mean(returns))
    assert found.sd == pytest.approx(np.std(returns, ddof=1))


@pytest.mark.parametrize("revenue", [0, 28_000])
def test_a_day_of_hardly_any_spend_says_hardly_anything(revenue: int) -> None:
    """Its return is -100 % or +13,900 %, whatever else is true of the campaign."""
    usual, odd = returning(0.4), [*returning(0.4)[:-1], EvidenceDay(100, revenue, 2)]
    before, after = evidence(usual, STAKES), evidence(odd, STAKES)
    assert before.fraction is not None
    assert after.fraction == pytest.approx(before.fraction, rel=0.15)
    assert probability(after) == pytest.approx(probability(before), abs=0.02)


def test_p_positive_is_students_t_of_the_shrunk_mean() -> None:
    found = evidence(returning(0.1, n=12), STAKES)
    assert found.shrunk_mean is not None
    scale = sqrt(1 / (found.precision + 25))
    assert found.p_positive == pytest.approx(scipy.stats.t.cdf(found.shrunk_mean / scale, df=11))


@pytest.mark.parametrize(("n", "known"), [(0, False), (1, False), (6, False), (7, True)])
def test_p_positive_needs_seven_days(n: int, known: bool) -> None:
    found = evidence(returning(0.3, n=n), STAKES)
    assert (found.p_positive is not None) == known
    assert (found.fraction is not None) == known
    assert (found.mean is not None) == (n > 0)


def test_counts_scale_with_spend_so_more_orders_at_the_same_return_say_more() -> None:
    few, many = (
        evidence(returning(-0.2, orders=1), STAKES),
        evidence(returning(-0.2, orders=50), STAKES),
    )
    assert few.mean == many.mean
    assert many.precision > few.precision
    assert probability(many) < probability(few) < 0.5
    double = evidence(returning(-0.2, spend=20_000, orders=2), STAKES)
    assert double.precision == pytest.approx(2 * few.precision, rel=0.25)


def test_no_order_where_hardly_one_was_to_be_expected_is_not_yet_a_loss() -> None:
    """At 20.00 of spend a day, seven days pay for half an order of 500.00 at a margin of a half."""
    silent = [EvidenceDay(2_000, 0, 0)] * 7
    dear, cheap = (STAKES._replace(order_value=value) for value in (50_000.0, 1_000.0))
    assert probability(evidence(silent, dear)) > 0.4
    assert probability(evidence(silent, cheap)) < 0.05


def test_equal_days_are_not_certainty() -> None:
    found = evidence([EvidenceDay(10_000, 22_000, 1)] * 8, STAKES)
    assert found.mean == pytest.approx(0.1)
    assert 0.5 < probability(found) < 0.8


def test_earlier_days_are_remembered_where_the_judged_ones_hold_few_orders() -> None:
    bad, good = returning(-0.3, orders=1), returning(0.5, n=60, orders=1)
    assert probability(evidence(bad, STAKES, good)) > probability(evidence(bad, STAKES)) + 0.1
    busy = [EvidenceDay(10_000, 14_000 + (-1) ** i * 500, 100) for i in range(30)]
    assert evidence(busy, STAKES, good) == evidence(busy, STAKES)


def test_risk_is_measured_over_the_horizon() -> None:
    month, day = (STAKES._replace(caution=Caution(horizon_days=days)) for days in (30, 1))
    over_a_month, over_a_day = evidence(returning(0.2), month), evidence(returning(0.2), day)
    assert over_a_month.shrunk_mean == over_a_day.shrunk_mean
    assert over_a_month.horizon_variance is not None
    assert over_a_day.horizon_variance is not None
    assert over_a_day.horizon_variance - over_a_month.horizon_variance == pytest.approx(
        over_a_day.day_variance * 29 / 30
    )


def test_the_account_wins_as_often_as_its_spend_does() -> None:
    won, lost = EvidenceDay(9_000, 40_000, 1), EvidenceDay(1_000, 0, 0)
    assert win_rate([[won], [lost]], 0.5) == pytest.approx(0.9)
    assert win_rate([], 0.5) == 0.5


@pytest.mark.parametrize("orders_a_day", [1, 5])
def test_p_positive_is_no_surer_than_the_truth_allows(orders_a_day: int) -> None:
    """Of campaigns that break even, P(mean > 0) is below 5 % in about 5 of 100 at most."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(400):
        counts = rng.poisson(orders_a_day, 20)
        values = [float(rng.gamma(4.0, 0.25, count).sum()) for count in counts]
        days = [
            EvidenceDay(10_000, 20_000 / orders_a_day * value, int(count))
            for value, count in zip(values, counts, strict=True)
        ]
        found.append(
            probability(evidence(days, STAKES._replace(order_value=20_000 / orders_a_day)))
        )
    assert np.mean(np.array(found) < 0.05) < 0.06
    assert np.mean(np.array(found) > 0.95) < 0.06
