"""What an order is expected to be worth: the model, and what stands in for it where it fails."""

import numpy as np
import pytest

from aggregates.arrays import Floats, Ints
from aggregates.rfm.value.btyd import NoPrediction
from aggregates.rfm.value.gamma_gamma import GammaGamma
from aggregates.rfm.value.spend_model import SpendModel, model_spend, spend_model

CUSTOMERS = 3_000
RNG = np.random.default_rng(20261127)
X: Ints = RNG.geometric(0.5, CUSTOMERS)
ONE: Ints = np.ones(CUSTOMERS, dtype=np.int64)


def spend(z: Floats, x: Ints = X) -> SpendModel:
    found = spend_model(x, z, np.ones_like(x))
    assert isinstance(found, SpendModel), found
    return found


def means(draw: "np.random.Generator", prices: list[float], chances: list[float]) -> Floats:
    """Each customer's mean of x orders, each at one of the prices."""
    return np.array([draw.choice(prices, x, p=chances).mean() for x in X])


def expected(model: SpendModel, z: Floats, x: Ints = X) -> Floats:
    """Per customer."""
    return model.per_order(x, x * z, np.ones_like(x))


def test_a_shop_with_one_price_expects_that_price_of_everybody() -> None:
    model = spend(np.full(CUSTOMERS, 19.99))
    assert model.mean == pytest.approx(19.99)
    assert model.fitted is None
    assert model.note
    assert expected(model, np.full(CUSTOMERS, 19.99)) == pytest.approx(19.99)
    assert expected(model, np.zeros(3), np.zeros(3, dtype=np.int64)) == pytest.approx(19.99)


@pytest.mark.parametrize("often", [0.5, 0.1, 0.01, 0.001])
def test_a_shop_with_two_prices_that_everybody_pays_expects_the_mean(often: float) -> None:
    z = means(np.random.default_rng(1), [19.99, 29.99], [1 - often, often])
    model = spend(z)
    assert model.mean == pytest.approx(z.mean(), rel=2e-3)
    total = float(expected(model, z).sum())
    assert total == pytest.approx(float(z.sum()), rel=2e-3)


def test_customers_who_always_pay_their_own_of_two_prices_keep_it() -> None:
    z = np.random.default_rng(2).choice([19.99, 29.99], CUSTOMERS)
    assert np.abs(expected(spend(z), z) / z - 1).max() < 0.05


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0, 2.5])
def test_heavy_tails_are_capped_by_what_repeat_customers_spend_on_average(sigma: float) -> None:
    """Where q <= 1 the model has no mean, where q <= 2 its mean is the tail's."""
    z = np.exp(np.random.default_rng(3).normal(3, sigma, CUSTOMERS))
    model = spend(z)
    assert model.fitted is not None
    assert model.fitted.q < 2
    assert model.mean == pytest.approx(z.mean())
    assert model.note
    assert (expected(model, z) <= np.maximum(z, z.mean()) * (1 + 1e-9)).all()


def test_ordinary_spend_is_the_models_to_the_last_digit() -> None:
    p, q, v = 6.25, 3.74, 15.44
    model = model_spend(GammaGamma(p, q, v, 0.0, 0.0), observed=35.0)
    x, z = np.array([0, 1, 7]), np.array([0.0, 20.0, 80.0])
    published = p * (v + x * z) / (p * x + q - 1)  # Fader & Hardie 2013, eq. 5
    assert expected(model, z, x) == pytest.approx(published, rel=1e-12)
    assert model.note is None


def test_a_cell_of_customers_expects_the_sum_of_what_each_is_expected_to_spend() -> None:
    z = np.random.default_rng(4).gamma(4.0, 10.0, 5)
    for model in (model_spend(GammaGamma(6.0, 4.0, 15.0, 0.0, 0.0)), spend(np.full(3_000, 5.0))):
        together = model.per_order(np.array([3]), np.array([3 * z.sum()]), np.array([5]))
        assert together[0] == pytest.approx(expected(model, z, np.full(5, 3)).sum())


def test_too_few_customers_who_spent_again_give_a_reason() -> None:
    found = spend_model(X[:499], np.full(499, 5.0), ONE[:499])
    assert isinstance(found, NoPrediction)
    assert "499" in found.reason
