"""Converts a shop's settings to those of its answers: `query` does not know settings, and
`orderwire.settings` does not load NumPy."""

from aggregates.budget.advice.kelly import Caution
from aggregates.budget.answer.overview import BudgetSettings
from aggregates.rfm.answer.overview import RfmSettings
from orderwire.settings.program import ShopSettings


def rfm_settings(shop: ShopSettings, window_days: int) -> RfmSettings:
    """For `/v1/rfm`, and for the value in Purchase events."""
    numbers = shop.customers
    return RfmSettings(
        window_days=window_days,
        horizon_days=numbers.ltv_horizon_days,
        margin=numbers.ltv_margin,
        churn_after_days=numbers.churn_after_days,
        min_repeaters=numbers.ltv_min_repeaters,
    )


def budget_settings(shop: ShopSettings) -> BudgetSettings:
    """For `/v1/budget`."""
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
