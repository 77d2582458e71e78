"""One bankroll for several campaigns: the joint optimum within bounds and its growth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates.budget.advice.evidence import TrackRecord
from aggregates.budget.advice.kelly import Posterior
from aggregates.budget.advice.sharing import (
    BankrollClaim,
    account_prior,
    claim,
    compared,
    compared_returns,
    share,
)

MEANS = st.lists(st.floats(-0.9, 3), min_size=2, max_size=10)
CLAIMS = st.lists(
    st.builds(
        lambda low, more, edge, variance: BankrollClaim(low, low + more, edge, variance),
        st.floats(0, 1e4),
        st.floats(0, 1e4),
        st.floats(-1, 1),
        st.floats(1e-4, 1),
    ),
    min_size=1,
    max_size=10,
)


@given(CLAIMS, st.floats(1, 1e5))
def test_budgets_stay_within_bounds_and_use_all_that_is_there(
    claims: list[BankrollClaim], available: float
) -> None:
    found = share(claims, 1e5, available)
    lows, highs = sum(each.low for each in claims), sum(each.high for each in claims)
    assert sum(found) == pytest.approx(min(available, highs), rel=1e-9, abs=1e-6)
    for budget, each in zip(found, claims, strict=True):
        assert budget <= each.high + 1e-6
        assert budget >= each.low - 1e-6 or lows > available


@settings(max_examples=50)
@given(CLAIMS, st.integers(0, 1_000))
def test_no_other_budgets_within_bounds_do_better(claims: list[BankrollClaim], seed: int) -> None:
    bankroll = 1e4
    low, high = np.array([(each.low, each.high) for each in claims]).T
    available = float(low.sum() + high.sum()) / 2
    edge, variance = np.array([(each.edge, each.variance) for each in claims]).T

    def growth(budgets: np.ndarray) -> float:
        f = budgets / bankroll
        return float(edge @ f - variance @ f**2 / 2)

    found = np.array(share(claims, bankroll, available))
    rng = np.random.default_rng(seed)
    for _ in range(50):
        one, other = rng.integers(0, len(claims), 2)
        moved = float(rng.random() * min(found[one] - low[one], high[other] - found[other]))
        rival = found.copy()
        rival[one] -= moved
        rival[other] += moved
        assert growth(rival) <= growth(found) + 1e-7 * (1 + abs(growth(found)))


def test_lower_bounds_that_do_not_fit_are_scaled() -> None:
    claims = [BankrollClaim(60.0, 90.0, 1.0, 0.1), BankrollClaim(20.0, 30.0, -1.0, 0.1)]
    assert share(claims, 40.0, 40.0) == pytest.approx([30.0, 10.0])
    assert share([BankrollClaim(0.0, 9.0, 1.0, 0.1)], 40.0, 0.0) == [0.0]


def test_budgets_too_small_for_their_prices_to_differ_are_shared_in_proportion() -> None:
    claims = [BankrollClaim(0.0, 10.0, 0.5, 1e-4), BankrollClaim(0.0, 30.0, 0.5, 1e-4)]
    assert share(claims, 1e15, 20.0) == pytest.approx([5.0, 15.0])


def test_campaigns_that_differ_by_chance_only_get_the_same_mean() -> None:
    """Five means whose scatter is what their precision of 100 explains."""
    means = [0.32, 0.28, 0.35, 0.25, 0.30]
    found = compared(means, [100.0] * 5)
    assert max(each.mean for each in found) - min(each.mean for each in found) < 0.001


def test_campaigns_that_truly_differ_keep_their_means() -> None:
    found = compared([-0.3, 0.2, 2.0], [400.0, 400.0, 400.0])
    assert [each.mean for each in found] == pytest.approx([-0.3, 0.2, 2.0], abs=0.01)


@given(MEANS, st.data())
def test_a_compared_mean_lies_between_its_own_and_the_accounts(
    means: list[float], data: st.DataObject
) -> None:
    precisions = data.draw(st.lists(st.floats(0.5, 1e4), min_size=len(means), max_size=len(means)))
    centre = account_prior(means, precisions).mean
    for own, found in zip(means, compared(means, precisions), strict=True):
        assert min(own, centre) - 1e-9 <= found.mean <= max(own, centre) + 1e-9


def test_a_claim_weighs_the_horizon() -> None:
    found = claim(1.0, 2.0, Posterior(0.4, 0.02), 0.5, 0.3, 30)
    assert (found.low, found.high) == (1.0, 2.0)
    assert (found.edge, found.variance) == pytest.approx((0.2, 0.03))


def record(orders: float, value: float, spend: float = 3_000.0) -> TrackRecord:
    """A campaign of so many orders, each worth so much, whose values vary by 60 %."""
    return TrackRecord(spend, orders, orders * value, 0.36)


def pair(one: TrackRecord, other: TrackRecord) -> list[Posterior]:
    found = compared_returns([one, other])
    assert found is not None
    return found


def test_campaigns_of_equal_order_values_are_compared_by_their_orders() -> None:
    few, many = pair(record(20, 100.0), record(60, 100.0))
    assert -0.35 < few.mean < many.mean < 1.0


def test_the_noise_of_counts_is_taken_out_where_only_values_differ() -> None:
    """30 and 36 orders differ by chance; values of 70 and 120 do not."""
    poor, rich = pair(record(36, 70.0), record(30, 120.0))
    plain = compared([36 * 70 / 3_000 - 1, 30 * 120 / 3_000 - 1], [30 / 1.36] * 2)
    assert rich.mean - poor.mean > plain[1].mean - plain[0].mean
    assert rich.variance < plain[1].variance


def test_a_campaign_without_an_order_is_compared_by_its_missing_orders() -> None:
    none, some = pair(record(0, 0.0), record(40, 100.0))
    assert none.mean < some.mean
    assert none.mean >= -1.0


def test_before_the_first_order_nothing_is_compared() -> None:
    assert compared_returns([record(0, 0.0), record(0, 0.0)]) is None
