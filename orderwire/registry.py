"""Every aggregate there is, one line each. `processors` knows how to fold, `query` how to answer; they meet in the store."""

from collections.abc import Callable
from zoneinfo import ZoneInfo

from orderwire.settings import Settings
from processors.budget import BudgetOrders, BudgetSpend
from processors.capi.outbox import CapiProcessor
from processors.capi.settings import CapiSettings
from processors.carts import Carts, CartsOrders
from processors.parking import ParkedProcessor
from processors.processor import Processor
from processors.rfm import RfmProcessor


def zones(settings: Settings) -> dict[str, ZoneInfo]:
    """Time zones of the shops that have one set."""
    return {domain: shop.zone for domain, shop in settings.shops.items() if shop.zone is not None}


def pixels(settings: Settings) -> dict[str, CapiSettings]:
    """Where Purchase events go, by shop."""
    return {domain: shop.capi for domain, shop in settings.shops.items() if shop.capi is not None}


# One name per aggregate: {processor's name: how to make it}.
PROCESSORS: dict[str, Callable[[Settings], Processor[object]]] = {
    "capi": lambda settings: CapiProcessor(pixels(settings), zones(settings)),  # type: ignore[dict-item,return-value]
    "rfm": lambda settings: RfmProcessor(zones(settings)),  # type: ignore[dict-item,return-value]
    "carts": lambda settings: Carts(settings.abandoned_after_minutes),  # type: ignore[dict-item,return-value]
    "carts_orders": lambda settings: CartsOrders(settings.abandoned_after_minutes),  # type: ignore[dict-item,return-value]
    "budget_orders": lambda settings: BudgetOrders(zones(settings)),  # type: ignore[dict-item,return-value]
    "budget_spend": lambda settings: BudgetSpend(),  # type: ignore[dict-item,return-value]
    "parked": lambda settings: ParkedProcessor(),  # type: ignore[dict-item,return-value]
}
