"""Every processor, one line each here and in `orderwire/serve/feeds.py`. Processors know no
aggregate: their projections come from the manifests and are passed in here."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from aggregates import registry as aggregates
from aggregates.budget.fold.ad_issues import AdIssuesProcessor
from aggregates.budget.fold.spend import SPEND, SpendProcessor
from aggregates.manifest import FoldSettings
from destinations.browser.processor import Browser
from destinations.delivery.protocol import Context
from destinations.meta.contacts import Contacts
from destinations.registry import KINDS
from orderwire.serve.feeds import keeping_contacts
from orderwire.serve.sending import completers, outbox_processor
from orderwire.serve.shops.zones import zones
from orderwire.settings.program import Settings
from processors.audits.processor import Audits
from processors.checkouts.processor import Checkouts
from processors.checkouts.row import CHECKOUTS
from processors.engine.parking import ParkedProcessor
from processors.engine.processor import Processor
from processors.engine.projection import Projection
from processors.engine.shared_decoding import Share, SharedDecoding
from processors.orders.processor import NAME as ORDERS_PROCESSOR
from processors.orders.processor import OrdersProcessor
from processors.orders.row import ORDERS
from processors.privacy.processor import Privacy
from processors.shopify.orders import OrderEvent, decode_order


def currencies(settings: Settings) -> dict[str, str]:
    """The currency of each shop that has one set."""
    return {
        domain: shop.currency
        for domain, shop in settings.shops.items()
        if shop.currency is not None
    }


def fold_settings(settings: Settings) -> FoldSettings:
    """The settings that folds of aggregates may depend on."""
    return FoldSettings(
        zones=zones(settings),
        currencies=currencies(settings),
        rfm_window_days=settings.rfm_window_days,
        abandoned_after_minutes=settings.abandoned_after_minutes,
    )


def projections(settings: Settings) -> dict[str, Projection]:
    """Every projection by name. One set serves all processors of a process, and its rebuilds."""
    return aggregates.projections(fold_settings(settings))


Projections = Mapping[str, Projection]


def _checkouts(settings: Settings, made: Projections) -> Checkouts:
    counting = aggregates.of_table(made, CHECKOUTS.table)
    return Checkouts(counting, settings.abandoned_after_minutes)


def shared_orders(settings: Settings) -> SharedDecoding[OrderEvent]:
    """Decoded orders, for the processors of a process."""
    return SharedDecoding(partial(decode_order, zones=zones(settings)))


def orders_processor(
    settings: Settings, made: Projections, share: Share[OrderEvent] | None = None
) -> OrdersProcessor:
    """The processor of orders; `share`: of the process's decoded orders."""
    follow = _checkouts(settings, made).follow
    counting = aggregates.of_table(made, ORDERS.table)
    return OrdersProcessor(zones(settings), counting, (follow,), share)


def _outbox(kind: str) -> Callable[[Settings, Projections], Processor[Any]]:
    return lambda settings, _: outbox_processor(settings, kind, Context())


# One line per processor: its name, and how to make it.
_MAKE: dict[str, Callable[[Settings, Projections], Processor[Any]]] = {
    **{kind.processor: _outbox(kind.name) for kind in KINDS.values()},
    ORDERS_PROCESSOR: orders_processor,
    "carts": _checkouts,
    "browser": lambda settings, _: Browser(completers(settings)),
    "budget_spend": lambda _, made: SpendProcessor(aggregates.of_table(made, SPEND.table)),
    "ad_issues": lambda _, __: AdIssuesProcessor(),
    "contacts": lambda settings, _: Contacts(keeping_contacts(settings)),
    "audits": lambda _, __: Audits(),
    "parked": lambda _, __: ParkedProcessor(),
    "privacy": lambda _, __: Privacy(),
}


def _maker(name: str) -> Callable[..., Processor[Any]]:
    def make(settings: Settings, made: Projections | None = None) -> Processor[Any]:
        return _MAKE[name](settings, projections(settings) if made is None else made)

    return make


PROCESSORS: dict[str, Callable[..., Processor[Any]]] = {name: _maker(name) for name in _MAKE}
"""Name -> (settings, the process's projections where it shares them) -> processor."""
