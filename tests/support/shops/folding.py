"""Processors with the projections that a test looks at."""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from aggregates.budget import projection as budget
from aggregates.budget.fold.spend import SpendProcessor
from aggregates.carts import projection as carts
from aggregates.days.fold import projection as days
from aggregates.rfm.fold.projection import EXACT_BELOW, WINDOW_DAYS, RfmFold
from processors.checkouts.processor import AFTER_MINUTES, Checkouts
from processors.orders.currency import CURRENCY
from processors.orders.processor import OrdersProcessor


def rfm_orders(
    zones: Mapping[str, ZoneInfo] | None = None,
    currencies: Mapping[str, str] | None = None,
    *,
    window_days: int = WINDOW_DAYS,
    exact_below: int = EXACT_BELOW,
) -> OrdersProcessor:
    """Orders that count in RFM."""
    fold = RfmFold(zones or {}, currencies or {}, window_days, exact_below)
    return OrdersProcessor(zones or {}, (CURRENCY, fold.projection()))


def all_orders(zones: Mapping[str, ZoneInfo] | None = None) -> OrdersProcessor:
    """Orders that count everywhere."""
    counting = (CURRENCY, RfmFold(zones or {}).projection(), budget.projection(), days.projection())
    return OrdersProcessor(zones or {}, counting, (carts_checkouts().follow,))


def budget_orders(zones: Mapping[str, ZoneInfo] | None = None) -> OrdersProcessor:
    """Orders that count in campaign-days."""
    return OrdersProcessor(zones or {}, (CURRENCY, budget.projection()))


def budget_spend() -> SpendProcessor:
    """Spend reports that count in campaign-days."""
    return SpendProcessor((budget.projection(),))


def carts_checkouts(after_minutes: int = AFTER_MINUTES) -> Checkouts:
    """Checkouts and carts that count in abandoned carts."""
    return Checkouts((carts.projection(),), after_minutes)


def carts_orders(after_minutes: int = AFTER_MINUTES) -> OrdersProcessor:
    """Orders that change checkouts, which count in abandoned carts."""
    return OrdersProcessor({}, (CURRENCY,), (carts_checkouts(after_minutes).follow,))
