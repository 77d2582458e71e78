"""Every aggregate there is, one line each. `processors` knows how to fold, `query` how to answer; they meet in the store."""

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

from orderwire.settings import Settings
from processors.budget import BudgetOrders, BudgetSpend
from processors.capi.outbox import CapiProcessor
from processors.capi.settings import CapiSettings
from processors.carts import Carts, CartsOrders
from processors.contacts import Contacts
from processors.parking import ParkedProcessor
from processors.processor import Processor
from processors.rfm import RfmProcessor


def zones(settings: Settings) -> dict[str, ZoneInfo]:
    """Time zones of the shops that have one set."""
    return {domain: shop.zone for domain, shop in settings.shops.items() if shop.zone is not None}


def pixels(settings: Settings) -> dict[str, CapiSettings]:
    """Where Purchase events go, by shop."""
    return {domain: shop.capi for domain, shop in settings.shops.items() if shop.capi is not None}


def keeping_contacts(settings: Settings) -> dict[str, str | None]:
    """The shops whose customers' hashed contacts are kept, each with its own country where that is set."""
    return {
        domain: None if shop.capi is None else shop.capi.country for domain, shop in settings.shops.items() if shop.keep_hashed_contacts
    }


# One line per processor: its name, and how to make it.
PROCESSORS: dict[str, Callable[[Settings], Processor[Any]]] = {
    "capi": lambda settings: CapiProcessor(pixels(settings), zones(settings)),
    "rfm": lambda settings: RfmProcessor(zones(settings), window_days=settings.rfm_window_days),
    "carts": lambda settings: Carts(settings.abandoned_after_minutes),
    "carts_orders": lambda settings: CartsOrders(settings.abandoned_after_minutes, zones(settings)),
    "budget_orders": lambda settings: BudgetOrders(zones(settings)),
    "budget_spend": lambda _: BudgetSpend(),
    "contacts": lambda settings: Contacts(keeping_contacts(settings)),
    "parked": lambda _: ParkedProcessor(),
}

FEEDS: dict[str, str] = {
    "capi": CapiProcessor.topic,
    "rfm": RfmProcessor.topic,
    "carts": Carts.topic,
    "carts_orders": CartsOrders.topic,
    "budget_orders": BudgetOrders.topic,
    "budget_spend": BudgetSpend.topic,
    "contacts": Contacts.topic,
    "parked": ParkedProcessor.topic,
}
"""Which topic each processor reads."""


def running(settings: Settings) -> tuple[str, ...]:
    """The processors that these settings ask for, in the order above: every one costs time per record, so none runs in vain."""
    return tuple(name for name in PROCESSORS if name != Contacts.name or keeping_contacts(settings))


def feeds(settings: Settings) -> dict[str, str]:
    """Those of `FEEDS` that run."""
    return {name: FEEDS[name] for name in running(settings)}
