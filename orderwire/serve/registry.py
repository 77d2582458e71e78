"""Every aggregate there is, one line each here and in `orderwire/serve/feeds.py`. `processors` knows how to fold, `query` how to answer; they
meet in the store."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from aggregates.budget.fold.processors import BudgetOrders, BudgetSpend
from aggregates.carts.fold.processors import Carts, CartsOrders
from aggregates.rfm.fold.processor import RfmProcessor
from destinations.delivery.outbox import CapiProcessor
from destinations.meta.contacts import Contacts
from destinations.meta.settings import CapiSettings
from orderwire.serve.feeds import keeping_contacts
from orderwire.settings.program import Settings
from processors.engine.parking import ParkedProcessor
from processors.engine.processor import Processor


def zones(settings: Settings) -> dict[str, ZoneInfo]:
    """Time zones of the shops that have one set."""
    return {domain: shop.zone for domain, shop in settings.shops.items() if shop.zone is not None}


def currencies(settings: Settings) -> dict[str, str]:
    """Currencies of the shops that have one set."""
    return {
        domain: shop.currency
        for domain, shop in settings.shops.items()
        if shop.currency is not None
    }


def pixels(settings: Settings) -> dict[str, CapiSettings]:
    """Where Purchase events go, by shop."""
    return {domain: shop.capi for domain, shop in settings.shops.items() if shop.capi is not None}


# One line per processor: its name, and how to make it.
PROCESSORS: dict[str, Callable[[Settings], Processor[Any]]] = {
    "capi": lambda settings: CapiProcessor(pixels(settings), zones(settings)),
    "rfm": lambda settings: RfmProcessor(
        zones(settings), currencies(settings), window_days=settings.rfm_window_days
    ),
    "carts": lambda settings: Carts(settings.abandoned_after_minutes),
    "carts_orders": lambda settings: CartsOrders(settings.abandoned_after_minutes, zones(settings)),
    "budget_orders": lambda settings: BudgetOrders(zones(settings)),
    "budget_spend": lambda _: BudgetSpend(),
    "contacts": lambda settings: Contacts(keeping_contacts(settings)),
    "parked": lambda _: ParkedProcessor(),
}
