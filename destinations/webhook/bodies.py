"""The types of webhook bodies; docs/webhook.md describes them to receivers. `version` increases
when a field changes its meaning or disappears, not when one is added."""

from typing import Literal

import msgspec

VERSION = 1


class MoneyData(msgspec.Struct, frozen=True):
    """Shopify's shape: a decimal string with the currency's own number of digits."""

    amount: str
    currency_code: str


class ItemData(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the order; `price` is of one unit."""

    product_id: str | None
    variant_id: str | None
    sku: str | None
    quantity: int
    price: MoneyData | None


class Customer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Only what the shop has opted into (`include`); a field that the order lacks is left out."""

    customer_id: str | None = None
    email: str | None = None
    phone: str | None = None
    name: str | None = None


class OrderData(msgspec.Struct, frozen=True, kw_only=True):
    """The order as the delivery saw it that made the event."""

    version: Literal[1] = 1
    shop: str
    order_id: str
    order_name: str | None
    """As the shop shows it, `#1001`."""
    created_at: str
    """RFC 3339 in UTC, as every time here."""
    processed_at: str
    financial_status: str
    total: MoneyData
    """What the buyer was to pay in the beginning, in the shop's currency."""
    current_total: MoneyData
    """After edits and returns."""
    source_name: str | None
    country_code: str | None
    """Of the shipping address, else of the billing address (ISO 3166)."""
    items: list[ItemData]
    """At most 100."""
    customer: Customer | None = None


class RefundData(msgspec.Struct, frozen=True, kw_only=True):
    """Money given back by one refund."""

    refund_id: str
    amount: MoneyData


class Refunded(OrderData, frozen=True, kw_only=True):
    """The order, with the refund that the event is about."""

    refund: RefundData


class Cancelled(OrderData, frozen=True, kw_only=True):
    """The order, with when and why it was cancelled."""

    cancelled_at: str
    cancel_reason: str | None


class OrderPaid(msgspec.Struct, frozen=True, tag_field="type", tag="order.paid"):
    """The whole of the order's amount is paid."""

    timestamp: str
    data: OrderData


class OrderRefunded(msgspec.Struct, frozen=True, tag_field="type", tag="order.refunded"):
    """One refund moved money back to the buyer; an order may have several."""

    timestamp: str
    data: Refunded


class OrderCancelled(msgspec.Struct, frozen=True, tag_field="type", tag="order.cancelled"):
    """The order is cancelled."""

    timestamp: str
    data: Cancelled


Body = OrderPaid | OrderRefunded | OrderCancelled
