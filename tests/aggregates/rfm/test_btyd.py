"""BG/NBD and Gamma-Gamma: published CDNOW values, the brute-force oracle, guards, grouping."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates.arrays import Floats, Ints
from aggregates.rfm.answer.overview import RfmSettings
from aggregates.rfm.answer.schema import CustomerLtv
from aggregates.rfm.value.btyd import (
    BgNbd,
    NoPrediction,
    expected_purchases,
    fit_bg_nbd,
    log_likelihood,
    p_alive,
)
from aggregates.rfm.value.btyd_likelihood import BgNbdLikelihood
from aggregates.rfm.value.fit import Basis, Fit
from aggregates.rfm.value.gamma_gamma import (
    GammaGamma,
    GammaGammaLikelihood,
    fit_gamma_gamma,
)
from aggregates.rfm.value.history import History, history_from_days
from aggregates.rfm.value.lifetime_value import LifetimeValue, lifetime_value
from aggregates.rfm.value.ltv import NO_NUMBER, Purchases, customers_ltv
from aggregates.rfm.value.spend_model import model_spend
from bench.models.refit import SPEND, TRUE, money_cells, purchase_cells, simulate
from tests.support.oracles.oracle_rfm import Order, predicted_of, summaries
from tests.support.shopify.golden import CALIBRATION_ENDS, CDNOW_MASTER, CDNOW_SAMPLE, cdnow_orders

# docs/facts/analytics.md, "Published values".
PUBLISHED = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426, log_likelihood=-9582.4)
PUBLISHED_SPEND = GammaGamma(p=6.25, q=3.74, v=15.44, log_likelihood=-4055.92, correlation=0.0)


def of_customers(orders: list[Order], asof_day: int) -> tuple[Ints, Ints, Ints, Floats]:
    """(x, first_day, last_day, z in dollars), one entry per customer."""
    found = summaries(orders, asof_day).values()
    x, t_x, T, z = np.array(list(found)).T
    first = np.rint(asof_day - 7 * T).astype(np.int64)
    return x.astype(np.int64), first, first + np.rint(7 * t_x).astype(np.int64), z / 100


def ones(like: Ints) -> Ints:
    return np.ones(len(like), dtype=np.int64)


def shown(fit: BgNbd | NoPrediction) -> BgNbd:
    assert isinstance(fit, BgNbd), fit
    return fit


def fitted_spend(fit: GammaGamma | NoPrediction) -> GammaGamma:
    assert isinstance(fit, GammaGamma), fit
    return fit


def one(model: BgNbd, weeks: float, x: int, t_x: float, T: float) -> float:
    return float(expected_purchases(model, weeks, np.array([x]), np.array([t_x]), np.array([T]))[0])


def test_the_cdnow_sample_gives_the_published_parameters_to_three_decimals() -> None:
    x, first, last, z = of_customers(cdnow_orders(CDNOW_SAMPLE), CALIBRATION_ENDS)
    assert len(x) == 2357
    model = shown(fit_bg_nbd(history_from_days(x, first, last, ones(x), CALIBRATION_ENDS)))
    assert (model.r, model.alpha, model.a, model.b) == pytest.approx(
        (0.2426, 4.4136, 0.7929, 2.4259), abs=5e-4
    )
    assert [round(value, 3) for value in (model.r, model.alpha, model.a, model.b)] == [
        0.243,
        4.414,
        0.793,
        2.426,
    ]
    assert model.log_likelihood == pytest.approx(-9582.43, abs=0.01)
    assert one(model, 39, 2, 30.43, 38.86) == pytest.approx(1.226, abs=5e-4)
    spend = fitted_spend(fit_gamma_gamma(x, z, ones(x)))
    assert int((x > 0).sum()) == 946
    # Published to two decimals: 6.25, 3.74, 15.44. The ridge is flat: 6.2488, 3.7446, 15.4477
    # (docs/facts/analytics.md, "Published values") is 2e-6 lower.
    assert [round(value, 2) for value in (spend.p, spend.q, spend.v)] == [6.25, 3.74, 15.44]
    assert spend.log_likelihood == pytest.approx(-4055.9177, abs=1e-4)
    assert spend.correlation == pytest.approx(0.11, abs=5e-3)
    new = [one(model, t, 0, 0.0, 0.0) for t in (0.1429, 1, 3, 31.8571, 32, 78)]
    assert new == pytest.approx([0.0078, 0.0532, 0.1506, 1.0405, 1.0437, 1.8576], abs=5e-4)


def test_the_cdnow_master_file_gives_the_published_parameters() -> None:
    x, first, last, z = of_customers(cdnow_orders(CDNOW_MASTER), CALIBRATION_ENDS)
    model = shown(fit_bg_nbd(history_from_days(x, first, last, ones(x), CALIBRATION_ENDS)))
    assert (model.r, model.alpha, model.a, model.b) == pytest.approx(
        (0.2516, 4.7889, 0.7234, 2.1611), abs=1e-4
    )
    assert model.log_likelihood == pytest.approx(-95368.4, abs=0.1)
    spend = fitted_spend(fit_gamma_gamma(x, z, ones(x)))
    assert (spend.p, spend.q, spend.v) == pytest.approx((6.275, 3.624, 14.984), abs=2e-3)


def test_grouping_by_day_changes_nothing_and_in_cells_of_a_large_shop_next_to_nothing() -> None:
    x, first, last, z = of_customers(cdnow_orders(CDNOW_MASTER), CALIBRATION_ENDS)
    each = history_from_days(x, first, last, ones(x), CALIBRATION_ENDS)
    alone = shown(fit_bg_nbd(each))
    (by_x, by_first, by_last), n = np.unique(np.array([x, first, last]), axis=1, return_counts=True)
    daily = shown(fit_bg_nbd(history_from_days(by_x, by_first, by_last, n, CALIBRATION_ENDS)))
    assert (daily.r, daily.alpha, daily.a, daily.b) == pytest.approx(
        (alone.r, alone.alpha, alone.a, alone.b), abs=1e-4
    )
    weeks, _ = purchase_cells(x, first, last, z, CALIBRATION_ENDS)
    weekly = shown(fit_bg_nbd(weeks))
    assert len(weeks.x) < len(by_x) / 2
    assert log_likelihood(weekly, each) == pytest.approx(alone.log_likelihood, abs=0.01)
    grouped = fitted_spend(fit_gamma_gamma(*money_cells(x, z)))
    exact = fitted_spend(fit_gamma_gamma(x, z, ones(x)))
    assert (grouped.p, grouped.q, grouped.v) == pytest.approx((exact.p, exact.q, exact.v), rel=5e-3)


def test_expectations_at_the_published_parameters() -> None:
    assert one(PUBLISHED, 1, 0, 0.0, 0.0) == pytest.approx(0.0532, abs=1e-4)
    assert one(PUBLISHED, 39, 2, 30.43, 38.86) == pytest.approx(1.226, abs=1e-3)
    # p v / (q - 1) for one-time buyers (Fader & Hardie 2013: $35.17 with their rounding).
    base = model_spend(PUBLISHED_SPEND).per_order(np.array([0]), np.array([0.0]), np.array([1]))[0]
    assert base == pytest.approx(6.25 * 15.44 / 2.74)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1.5, 2.0), min_size=4, max_size=4), st.integers(0, 100))
def test_the_analytic_gradients_are_those_of_the_likelihoods(logs: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    T = rng.uniform(1, 60, 40)
    x = rng.integers(0, 5, 40)
    history = History(x, np.where(x > 0, T * rng.uniform(0, 1, 40), 0), T, rng.integers(1, 9, 40))
    repeat = x > 0
    spend = GammaGammaLikelihood(
        x[repeat], rng.gamma(4, 0.3, int(repeat.sum())) + 0.01, history.n[repeat].astype(float)
    )
    for likelihood, at in ((BgNbdLikelihood(history), np.array(logs)), (spend, np.array(logs[:3]))):
        _, gradient = likelihood(at)
        for i, step in enumerate(np.eye(len(at)) * 1e-6):
            numeric = (likelihood(at + step)[0] - likelihood(at - step)[0]) / 2e-6
            assert gradient[i] == pytest.approx(numeric, abs=1e-5, rel=1e-4)


def test_fits_and_values_are_those_of_the_oracle_customer_by_customer() -> None:
    rng = np.random.default_rng(5)
    orders = []
    for who in range(1200):
        rate, stays = rng.gamma(0.6, 1 / 20), rng.beta(2.0, 1.0)
        day = float(rng.integers(0, 300))
        cents = float(rng.gamma(6.0, 600.0) * rng.uniform(0.6, 1.6))
        while day < 400:
            orders.append(Order(str(who), int(day), round(cents * rng.gamma(8.0, 1 / 8))))
            if rng.uniform() > stays:
                break
            day += rng.exponential(1 / max(rate, 1e-9))
    expected = predicted_of(summaries(orders, 400).values(), 365, margin=0.4)
    x, first, last, z = of_customers(orders, 400)
    z = z * 100
    purchase = shown(fit_bg_nbd(history_from_days(x, first, last, ones(x), 400), min_repeaters=100))
    spend = fitted_spend(fit_gamma_gamma(x, z, ones(x), min_repeaters=100))
    assert purchase.log_likelihood == pytest.approx(expected.bg_nbd_log_likelihood, abs=1e-3)
    assert (purchase.r, purchase.alpha, purchase.a, purchase.b) == pytest.approx(
        expected.bg_nbd, rel=1e-2
    )
    assert (spend.p, spend.q, spend.v) == pytest.approx(expected.gamma_gamma, rel=1e-2)
    # In cells of (x, first day, last day) with the sum of repeat spend: no approximation at all.
    (by_x, by_first, by_last), of, n = np.unique(
        np.array([x, first, last]), axis=1, return_inverse=True, return_counts=True
    )
    repeat_spend = np.bincount(of, x * z).astype(np.float64)
    cells = history_from_days(by_x, by_first, by_last, n, 400)
    got = lifetime_value(
        purchase, model_spend(spend), cells, repeat_spend, horizon_days=365, margin=0.4
    )
    assert got.total == pytest.approx(expected.total, rel=2e-3)
    assert got.expected_orders == pytest.approx(expected.expected_orders, rel=2e-3)
    each = history_from_days(x, first, last, ones(x), 400)
    singly = lifetime_value(
        purchase, model_spend(spend), each, x * z, horizon_days=365, margin=0.4
    ).total
    assert got.total == pytest.approx(singly, rel=1e-9)


def test_simulated_customers_give_back_the_parameters_that_made_them() -> None:
    x, first, last, z = simulate(60_000)
    each = history_from_days(x, first, last, ones(x), 104 * 7 - 1)
    fit = shown(fit_bg_nbd(each))
    assert (fit.r, fit.alpha, fit.a, fit.b) == pytest.approx(
        (TRUE.r, TRUE.alpha, TRUE.a, TRUE.b), rel=0.12
    )
    spend = fitted_spend(fit_gamma_gamma(*money_cells(x, z)))
    assert (spend.p, spend.q, spend.v) == pytest.approx((SPEND.p, SPEND.q, SPEND.v), rel=0.08)


def test_too_few_repeaters_give_a_reason_instead_of_numbers() -> None:
    x = np.array([0] * 5000 + [1] * 499)
    history = History(x, np.where(x > 0, 3.0, 0.0), np.full(len(x), 20.0), ones(x))
    refused = fit_bg_nbd(history)
    assert isinstance(refused, NoPrediction)
    assert "499" in refused.reason
    assert isinstance(fit_gamma_gamma(x, x * 10.0, ones(x)), NoPrediction)
    nobody = np.zeros(0, dtype=np.int64)
    none = np.zeros(0)
    assert isinstance(
        fit_bg_nbd(History(nobody, none, none, nobody), min_repeaters=0), NoPrediction
    )
    assert isinstance(fit_gamma_gamma(nobody, none, nobody, min_repeaters=0), NoPrediction)


def test_a_free_order_is_left_out_of_the_spend_model_and_breaks_nothing() -> None:
    """One z = 0 made the CDNOW master fit NaN before it was left out (docs/facts/analytics.md,
    "Guards")."""
    x, _, _, z = simulate(20_000)
    with_free, z_free = np.append(x, 1), np.append(z, 0.0)
    assert fit_gamma_gamma(with_free, z_free, ones(with_free)) == fit_gamma_gamma(x, z, ones(x))


POSITIVE = st.floats(0.05, 20)
MODELS = st.builds(BgNbd, POSITIVE, POSITIVE, POSITIVE, POSITIVE, st.just(0.0))


@settings(deadline=None)
@given(MODELS, st.integers(0, 300), st.floats(0, 1), st.floats(0.1, 300), st.floats(0.1, 100))
def test_expectations_are_probabilities_and_counts(
    model: BgNbd, x: int, at: float, T: float, weeks: float
) -> None:
    xs, t_x, Ts = np.array([x]), np.array([T * at if x else 0.0]), np.array([T])
    alive = float(p_alive(model, xs, t_x, Ts)[0])
    assert 0 <= alive <= 1
    assert alive == 1 or x > 0
    soon, late = (float(expected_purchases(model, t, xs, t_x, Ts)[0]) for t in (weeks, weeks * 1.5))
    assert 0 <= soon <= late * (1 + 1e-6) + 1e-9
    # A customer who cannot leave would order at rate (r + x) / (alpha + T).
    assert late <= (model.r + x) / (model.alpha + T) * weeks * 1.5 * (1 + 1e-6) + 1e-9


def test_the_expectation_passes_smoothly_through_its_removable_pole_at_a_equal_to_one() -> None:
    below, at, above = (
        one(replace(PUBLISHED, a=a), 39, 2, 30.43, 38.86) for a in (1 - 1e-4, 1.0, 1 + 1e-4)
    )
    assert at == pytest.approx((below + above) / 2, rel=1e-6)


def test_a_customer_for_whom_the_models_have_no_number_gets_a_reason_not_a_number() -> None:
    purchase = BgNbd(0.03, 43.0, float("nan"), 6.3, -1.0)
    spend = model_spend(GammaGamma(6.0, 4.0, 15.0, -1.0, 0.0))
    fitted = Fit(Basis(1000, 0, 0), 0, purchase, spend, LifetimeValue(1, 1.0, 1.0, 1.0), None)
    (shown,) = customers_ltv(fitted, RfmSettings(), "USD", 1000, [Purchases(1, 749, 750, 1000)])
    assert shown == CustomerLtv(
        p_alive=None, expected_orders=None, value=None, note=None, reason=NO_NUMBER
    )


@pytest.mark.parametrize("a", [413.0, 700.0, 3e3, 1e5])
@pytest.mark.parametrize("horizon_weeks", [365 / 7, 3650 / 7])
def test_a_shop_that_nearly_everybody_leaves_has_expectations_too(
    a: float, horizon_weeks: float
) -> None:
    """Against Fader, Hardie & Lee 2005, eq. 10, its 2F1 summed term by term."""
    r, alpha, b, x, t_x, T = 0.03, 10.0, 6.3, 1, 2.0, 30.0
    shown = expected_purchases(
        BgNbd(r, alpha, a, b, 0.0), horizon_weeks, np.array([x]), np.array([t_x]), np.array([T])
    )
    z, term, series = horizon_weeks / (alpha + T + horizon_weeks), 1.0, 1.0
    for k in range(2_000):
        term *= (r + x + k) * (b + x + k) / ((a + b + x - 1 + k) * (k + 1)) * z
        series += term
    left = (1 - z) ** (r + x) * series
    alive = 1 / (1 + a / (b + x - 1) * ((alpha + T) / (alpha + t_x)) ** (r + x))
    assert shown[0] == pytest.approx((a + b + x - 1) / (a - 1) * (1 - left) * alive, rel=1e-6)


def test_many_repeat_orders_do_not_overflow() -> None:
    assert 0 < one(PUBLISHED, 52, 20_000, 380.0, 380.5) < 20_000


def test_an_order_of_a_day_to_come_never_lies_after_today() -> None:
    history = history_from_days(
        np.array([2]), np.array([100]), np.array([105]), np.array([1]), asof_day=101
    )
    assert history.T[0] == history.t_x[0] == 5 / 7
