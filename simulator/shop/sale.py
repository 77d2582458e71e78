"""One order of the simulated shop and its money, in minor units of the shop's currency."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from simulator.shop.catalogue import Arrival, Product
from simulator.shop.people import Person

TAX_PERCENT = 8


@dataclass(slots=True)
class Line:
    line_id: int
    product: Product
    quantity: int
    """As ordered; 0 for a line that an edit added."""
    current: int
    """After returns and edits."""
    discount: int = 0
    """Of the whole line as ordered."""

    def worth(self, quantity: int) -> int:
        """Price of `quantity` of its units, the line's discount shared evenly."""
        full = self.product.price * quantity
        return full - self.discount * quantity // self.quantity if self.quantity else full


@dataclass(slots=True)
class Sale:
    """An order through its life. `current_*` follow Shopify: they lack what was returned or edited
    away, but not money given back without a return (docs/facts/shopify.md, "Refunds"). `kept` is
    the merchant's own ledger: the price of the goods, shipping and taxes still on the order, less
    money given back as a gesture."""

    order_id: int
    number: int
    person: Person | None
    guest: bool
    """Has an email but no customer record."""
    source_name: str
    created: datetime
    """Aware, in the shop's zone; whole seconds, as Shopify has them."""
    updated: datetime
    triggered: datetime
    """When the last change happened, to the microsecond."""
    lines: list[Line]
    shipping: int
    arrival: Arrival
    cart_token: str | None
    checkout_token: str | None
    currency: str
    presentment: str
    rate: float
    """Presentment units per unit of shop currency."""
    financial_status: str
    test: bool = False
    shipping_left: int = 0
    cancelled: datetime | None = None
    cancel_reason: str | None = None
    gestures: int = 0
    """Money given back without a return."""
    refunds: list[dict[str, Any]] = field(default_factory=list)
    """Shopify's refund objects."""
    edited: bool = False

    @property
    def subtotal(self) -> int:
        return sum(line.worth(line.quantity) for line in self.lines)

    @property
    def current_subtotal(self) -> int:
        return sum(line.worth(line.current) for line in self.lines)

    @property
    def total(self) -> int:
        return self.subtotal + tax(self.subtotal) + self.shipping

    @property
    def current_total(self) -> int:
        return self.current_subtotal + tax(self.current_subtotal) + self.shipping_left

    @property
    def kept(self) -> int:
        """The merchant's ledger; 0 for what never counts."""
        return 0 if self.test or self.cancelled is not None else self.current_total - self.gestures

    @property
    def units(self) -> int:
        return sum(line.current for line in self.lines)


def tax(net: int) -> int:
    """Sales tax on top of `net`, rounded half up."""
    return (net * TAX_PERCENT + 50) // 100
