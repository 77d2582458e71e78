"""An order's decision and its Purchase event, as tests ask for them."""

from typing import Any

from destinations.meta.event import payload
from destinations.meta.event.amounts import Amounts, CurrencySide
from destinations.meta.event.detail import detail
from destinations.meta.event.policy import Decision, decide
from destinations.meta.settings import CapiSettings
from processors.shopify.orders import Order
from processors.shopify.raw_order import RawOrder
from stream.money import Money


def decision(found: Order, chosen: CapiSettings) -> Decision:
    return decide(found, detail(found.raw, chosen.currency), chosen)


def event(
    found: Order, chosen: CapiSettings, fbc: str | None = None, ltv: Money | None = None
) -> dict[str, Any]:
    shown = detail(found.raw, chosen.currency)
    return payload.event(found, shown, chosen, decide(found, shown, chosen), "1001", fbc, ltv)


def amounts(raw: RawOrder, side: CurrencySide) -> dict[str, Money | None]:
    """All amounts of an order on one side."""
    found = Amounts(raw)
    return {
        read.__name__: read(side)
        for read in (found.total, found.subtotal, found.tax, found.shipping, found.shipping_tax)
    }
