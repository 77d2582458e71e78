"""The keys of an order's body that anything here reads; all others are skipped. One
reading serves the row of facts and all destinations.

Fields stand in the order in which Shopify writes them: msgspec looks for each key behind the last
one found, and any other order takes a tenth longer.
"""

from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin

import msgspec

from processors.shopify.tolerance import mapping

Raw = TypeVar("Raw", bound=msgspec.Struct)


class RawMoney(msgspec.Struct, gc=False):
    """One side of an amount."""

    amount: Any = None
    currency_code: Any = None


class RawAmounts(msgspec.Struct, gc=False):
    """Shopify's `*_set`."""

    shop_money: RawMoney | None = None
    presentment_money: RawMoney | None = None


class RawAddress(msgspec.Struct, gc=False):
    """An address."""

    first_name: Any = None
    phone: Any = None
    city: Any = None
    zip: Any = None
    last_name: Any = None
    country_code: Any = None
    province_code: Any = None


class RawCustomer(msgspec.Struct, gc=False):
    """The order's customer."""

    id: Any = None
    created_at: Any = None
    first_name: Any = None
    last_name: Any = None
    email: Any = None
    phone: Any = None
    admin_graphql_api_id: Any = None
    default_address: RawAddress | None = None


class RawClient(msgspec.Struct, gc=False):
    """The browser that placed the order."""

    browser_ip: Any = None
    user_agent: Any = None


class RawLine(msgspec.Struct, gc=False):
    """A line item."""

    id: Any = None
    current_quantity: Any = None
    price: Any = None
    price_set: RawAmounts | None = None
    product_id: Any = None
    properties: Any = None
    quantity: Any = None
    requires_shipping: Any = None
    sku: Any = None
    variant_id: Any = None


class RawTaxLine(msgspec.Struct, gc=False):
    """A tax of a shipping line."""

    price: Any = None
    price_set: RawAmounts | None = None


class RawShippingLine(msgspec.Struct, gc=False):
    """A shipping line."""

    discounted_price: Any = None
    discounted_price_set: RawAmounts | None = None
    price: Any = None
    price_set: RawAmounts | None = None
    tax_lines: list[RawTaxLine] | None = None


class RawCode(msgspec.Struct, gc=False):
    """A discount code."""

    code: Any = None


class RawOrder(msgspec.Struct, gc=False):
    """The order."""

    id: Any = None
    admin_graphql_api_id: Any = None
    browser_ip: Any = None
    cancel_reason: Any = None
    cancelled_at: Any = None
    cart_token: Any = None
    checkout_token: Any = None
    client_details: RawClient | None = None
    contact_email: Any = None
    created_at: Any = None
    currency: Any = None
    current_subtotal_price: Any = None
    current_subtotal_price_set: RawAmounts | None = None
    current_total_price: Any = None
    current_total_price_set: RawAmounts | None = None
    current_total_tax: Any = None
    current_total_tax_set: RawAmounts | None = None
    discount_codes: list[RawCode] | None = None
    email: Any = None
    financial_status: Any = msgspec.UNSET
    """Unset, like `line_items`, where a filter of the subscription leaves it out."""
    landing_site: Any = None
    name: Any = None
    note_attributes: Any = None
    order_status_url: Any = None
    phone: Any = None
    presentment_currency: Any = None
    processed_at: Any = None
    referring_site: Any = None
    source_name: Any = None
    subtotal_price: Any = None
    subtotal_price_set: RawAmounts | None = None
    tags: Any = None
    taxes_included: Any = None
    test: Any = None
    total_discounts: Any = None
    total_discounts_set: RawAmounts | None = None
    total_price: Any = None
    total_price_set: RawAmounts | None = None
    total_shipping_price_set: RawAmounts | None = None
    total_tax: Any = None
    total_tax_set: RawAmounts | None = None
    updated_at: Any = None
    user_id: Any = None
    billing_address: RawAddress | None = None
    customer: RawCustomer | None = None
    line_items: list[RawLine] | msgspec.UnsetType | None = msgspec.UNSET
    refunds: Any = None
    shipping_address: RawAddress | None = None
    shipping_lines: list[RawShippingLine] | None = None

    @property
    def lines(self) -> list[RawLine]:
        """Its line items; none where they are not given."""
        return self.line_items if isinstance(self.line_items, list) else []


FIELDS = frozenset(RawOrder.__struct_fields__)
"""All that is read, as a subscription's `include_fields` names it."""
_decoder = msgspec.json.Decoder(RawOrder)
_any_decoder = msgspec.json.Decoder(dict[str, Any])


def read_order(body: bytes) -> RawOrder:
    """Read an order's JSON object; what has another shape than expected counts as absent.

    Raises msgspec.DecodeError if it is no JSON object.
    """
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        # Twenty times as slow, and seldom: `customer: []`, a line that is null.
        return tolerant(RawOrder, _any_decoder.decode(body))


def tolerant(kind: type[Raw], value: Any) -> Raw:
    """`value` as `kind`, field by field; what is no object has no fields."""
    given = mapping(value)
    return kind(
        **{
            field.name: _shaped(field.type, given[field.name])
            for field in msgspec.structs.fields(kind)
            if field.name in given
        }
    )


def _shaped(kind: Any, value: Any) -> Any:
    if not isinstance(kind, UnionType):
        return value
    wanted = get_args(kind)[0]
    if get_origin(wanted) is list:
        (element,) = get_args(wanted)
        return [tolerant(element, each) for each in value] if isinstance(value, list) else None
    return tolerant(cast(type[msgspec.Struct], wanted), value) if isinstance(value, dict) else None


def shop_side(amounts: RawAmounts | None) -> RawMoney | None:
    """The shop's side of a `*_set`."""
    return None if amounts is None else amounts.shop_money
