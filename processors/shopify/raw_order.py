"""The keys of an order's body that aggregates read; all others are skipped without being built."""

from typing import Any

import msgspec


class RawOrder(msgspec.Struct):
    """The keys that decide the state."""

    id: Any = None
    admin_graphql_api_id: Any = None
    updated_at: Any = None
    created_at: Any = None
    processed_at: Any = None
    customer: Any = None
    email: Any = None
    contact_email: Any = None
    currency: Any = None
    total_price: Any = None
    total_price_set: Any = None
    current_total_price: Any = None
    current_total_price_set: Any = None
    financial_status: Any = msgspec.UNSET
    line_items: Any = msgspec.UNSET
    """Unset where a filter of the subscription leaves it out."""
    test: Any = None
    cancelled_at: Any = None
    refunds: Any = None
    taxes_included: Any = None
    checkout_token: Any = None
    cart_token: Any = None
    landing_site: Any = None
    source_name: Any = None


class RawLine(msgspec.Struct):
    """The keys of a line item."""

    product_id: Any = None
    variant_id: Any = None
    sku: Any = None
    quantity: Any = None
    current_quantity: Any = None
    price: Any = None
    price_set: Any = None


class RawPlace(msgspec.Struct):
    """The keys of an address: nothing that identifies a person."""

    country_code: Any = None
    province_code: Any = None


class RawCode(msgspec.Struct):
    """The keys of a discount code."""

    code: Any = None


class RawFacts(RawOrder):
    """And the keys for the row of facts only."""

    name: Any = None
    subtotal_price: Any = None
    subtotal_price_set: Any = None
    total_discounts: Any = None
    total_discounts_set: Any = None
    total_tax: Any = None
    total_tax_set: Any = None
    total_shipping_price_set: Any = None
    discount_codes: list[RawCode] | None = None
    shipping_address: RawPlace | None = None
    billing_address: RawPlace | None = None
    line_items: list[RawLine] | msgspec.UnsetType | None = msgspec.UNSET
