"""A shop's settings as its answers read them. `query` knows nothing of variables and tables,
`orderwire.settings.program` nothing of NumPy."""

from aggregates.budget.advice.kelly import Caution
from aggregates.budget.answer.overview import BudgetSettings
from aggregates.rfm.answer.overview import RfmSettings
from orderwire.settings.program import ShopSettings


def rfm_settings(shop: ShopSettings, window_days: int) -> RfmSettings:
    """Of `/v1/rfm`, and of the value that Purchase events carry."""
    numbers = shop.customers
    return RfmSettings(
        window_days=window_days,
        horizon_days=numbers.ltv_horizon_days,
        margin=numbers.ltv_margin,
        churn_after_days=numbers.churn_after_days,
        min_repeaters=numbers.ltv_min_repeaters,
    )


def budget_settings(shop: ShopSettings) -> BudgetSettings:
    """Of `/v1/budget`."""
    ads = shop.ads
    return BudgetSettings(
        bankroll=ads.bankroll,
        margin=ads.margin,
        days=ads.returns_days,
        immature_days=ads.immature_days,
        max_change=ads.max_change,
        seed=ads.seed,
        currency=shop.currency,
        time_zone=None if shop.zone is None else shop.zone.key,
        caution=Caution(
            kelly=ads.kelly,
            prior_days=ads.prior_days,
            prior_variance=ads.prior_sd**2,
            horizon_days=ads.horizon_days,
            cut_probability=ads.cut_probability,
        ),
    )
