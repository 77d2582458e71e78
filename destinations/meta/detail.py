"""Reads what a Purchase event needs of an order beyond `processors.shopify.orders.Order`. A
malformed field counts as absent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from processors.shopify import bought
from processors.shopify.refunds import Side
from processors.shopify.tolerance import (
    Rejected,
    identifier,
    mapping,
    sequence,
    text,
    timestamp,
)
from stream.money import minor


class Money(NamedTuple):
    """Minor units of `currency` (ISO 4217)."""

    units: int
    currency: str


class Address(NamedTuple):
    """As typed by the buyer; `country` and `province` are codes."""

    first_name: str | None
    last_name: str | None
    phone: str | None
    city: str | None
    province: str | None
    zip: str | None
    country: str | None


class Item(NamedTuple):
    """A line of the order; `quantity` in units bought (`processors/shopify/bought.py`), `price` of
    one unit."""

    variant_id: str | None
    product_id: str | None
    sku: str | None
    quantity: int
    price: Money | None
    requires_shipping: bool
    properties: Mapping[str, str]
    """What the storefront put on the line, by name."""


class _Body(msgspec.Struct):
    """The keys that are read; all others are skipped without being built."""

    phone: Any = None
    email: Any = None
    contact_email: Any = None
    customer: Any = None
    billing_address: Any = None
    shipping_address: Any = None
    client_details: Any = None
    browser_ip: Any = None
    user_id: Any = None
    landing_site: Any = None
    referring_site: Any = None
    order_status_url: Any = None
    note_attributes: Any = None
    line_items: Any = None
    tags: Any = None
    currency: Any = None
    presentment_currency: Any = None
    total_price: Any = None
    total_price_set: Any = None
    subtotal_price: Any = None
    subtotal_price_set: Any = None
    total_tax: Any = None
    total_tax_set: Any = None
    current_total_price: Any = None
    current_total_price_set: Any = None
    current_subtotal_price: Any = None
    current_subtotal_price_set: Any = None
    current_total_tax: Any = None
    current_total_tax_set: Any = None
    refunds: Any = None
    total_shipping_price_set: Any = None
    shipping_lines: Any = None
    taxes_included: Any = None


FIELDS = frozenset(_Body.__struct_fields__)
"""All that is read, as a subscription's `include_fields` names it."""
_decoder = msgspec.json.Decoder(_Body)
_whole = msgspec.json.Decoder(dict[str, Any])


class Detail(NamedTuple):
    """The rest of an order."""

    emails: tuple[str, ...]
    phones: tuple[str, ...]
    """The buyer's: order, customer, billing address."""
    other_phones: tuple[str, ...]
    """Of the remaining addresses, perhaps a gift's receiver."""
    names: tuple[str | None, str | None]
    """First and last, of one source."""
    addresses: tuple[Address, ...]
    """Billing, shipping, the customer's own: those that are there, in this order."""
    customer_since: datetime | None
    """When Shopify made the customer."""
    user_id: str | None
    """The member of staff who entered the order: user agent and IP address are theirs."""
    user_agent: str | None
    ip_addresses: tuple[str, ...]
    landing_site: str | None
    referring_site: str | None
    order_status_url: str | None
    attributes: Mapping[str, str]
    items: tuple[Item, ...]
    tags: frozenset[str]
    amounts: "Mapping[tuple[str, str], Money]"
    """(`total`|`subtotal`|`tax`|`shipping`|`shipping_tax`, `shop`|`presentment`) -> money, where
    if given; the first three of what was bought.

    `shipping` is what the buyer paid for it, discounts off and taxes in; `shipping_tax` is the tax
    in it.
    """
    taxes_included: bool
    """Whether prices hold their taxes (Shopify: `taxes_included`)."""


def _amount(value: Any, currency: Any) -> Money | None:
    code = text(currency)
    if code is None or value in (None, "") or isinstance(value, bool | list | dict):
        return None
    try:
        return Money(minor(value, code.upper()), code.upper())
    except ValueError:
        return None


def _money(plain: Any, amount_set: Any, currency: Any, side: str) -> Money | None:
    """From `<field>_set.<side>_money`; the plain field is shop money too (docs/facts/shopify.md,
    "Orders")."""
    given = mapping(mapping(amount_set).get(f"{side}_money"))
    found = _amount(given.get("amount"), given.get("currency_code"))
    return found if found is not None or side != "shop" else _amount(plain, currency)


def _shipping(raw: _Body, side: str) -> tuple[Money | None, Money | None]:
    """(`shipping`, `shipping_tax`) from the lines: `discounted_price` is what was paid,
    `total_shipping_price_set` is before discounts."""
    lines = [mapping(line) for line in sequence(raw.shipping_lines)]
    taxes = [mapping(tax) for line in lines for tax in sequence(line.get("tax_lines"))]
    tax = _sum(
        [_money(tax.get("price"), tax.get("price_set"), raw.currency, side) for tax in taxes]
    )
    paid = _sum(
        [
            _money(
                line.get("discounted_price"), line.get("discounted_price_set"), raw.currency, side
            )
            or _money(line.get("price"), line.get("price_set"), raw.currency, side)
            for line in lines
        ]
    ) or _money(None, raw.total_shipping_price_set, raw.currency, side)
    if (
        paid is not None
        and tax is not None
        and raw.taxes_included is not True
        and tax.currency == paid.currency
    ):
        paid = paid._replace(units=paid.units + tax.units)
    return paid, tax


def _sum(amounts: list[Money | None]) -> Money | None:
    """None if there is no amount, one is missing, or they are in several currencies."""
    given = [amount for amount in amounts if amount is not None]
    if not given or len(given) != len(amounts) or len({amount.currency for amount in given}) > 1:
        return None
    return Money(sum(amount.units for amount in given), given[0].currency)


def _address(value: Any) -> Address | None:
    raw = mapping(value)
    found = Address(
        *(
            text(raw.get(k))
            for k in (
                "first_name",
                "last_name",
                "phone",
                "city",
                "province_code",
                "zip",
                "country_code",
            )
        )
    )
    return found if any(found) else None


def _names(
    customer: Mapping[str, Any],
    billing: Address | None,
    shipping: Address | None,
    own: Address | None,
) -> tuple[str | None, str | None]:
    """The buyer's names: the first of customer, billing address and the buyer's own address that
    has both; else the first that has any.

    The shipping address comes last: it may be a gift's receiver.
    """
    given = [(text(customer.get("first_name")), text(customer.get("last_name")))]
    given += [
        (address.first_name, address.last_name) for address in (billing, own) if address is not None
    ]
    last_resort = (
        (shipping.first_name, shipping.last_name) if shipping is not None else (None, None)
    )
    return next(filter(all, given), None) or next(filter(any, given), last_resort)


class _Refunds(NamedTuple):
    """An order's refund objects: edits of what was never paid, and refunds."""

    edits: list[dict[str, Any]]
    refunds: list[dict[str, Any]]
    taxes_included: bool

    def taken(self, side: Side) -> tuple[bought.Taken, bought.Taken]:
        """By edits, and by refunds."""
        edited, refunded = (
            bought.taken(each, side, taxes_included=self.taxes_included)
            for each in (self.edits, self.refunds)
        )
        return edited, refunded


def _refunds(raw: _Body) -> _Refunds:
    found = _Refunds([], [], raw.taxes_included is True)
    currency = (text(raw.currency) or "").upper()
    for each in map(mapping, sequence(raw.refunds)):
        (found.refunds if bought.gave_money(each, currency) else found.edits).append(each)
    return found


def _bought(raw: _Body, refunds: _Refunds, side: str) -> dict[str, Money]:
    """`total`, `subtotal` and `tax` of what was bought, if given."""
    found = {}
    for kind, names in (
        ("total", ("total_price", "current_total_price")),
        ("subtotal", ("subtotal_price", "current_subtotal_price")),
        ("tax", ("total_tax", "current_total_tax")),
    ):
        original, current = (
            _money(getattr(raw, name), getattr(raw, f"{name}_set"), raw.currency, side)
            for name in names
        )
        given = current or original
        if given is None:
            continue
        edited, refunded = refunds.taken(Side(f"{side}_money", given.currency))
        units = bought.amount(
            original.units if original else None,
            current.units if current else None,
            getattr(edited, kind),
            getattr(refunded, kind),
        )
        found[kind] = given._replace(units=units or 0)
    return found


def _items(raw: _Body, refunds: _Refunds, side: str) -> tuple[Item, ...]:
    edited, refunded = bought.units(refunds.edits), bought.units(refunds.refunds)
    return tuple(
        _item(line, raw.currency, side, edited, refunded)
        for line in map(mapping, sequence(raw.line_items))
    )


def _item(
    raw: dict[str, Any],
    currency: Any,
    side: str,
    edited: Mapping[str, int],
    refunded: Mapping[str, int],
) -> Item:
    line = identifier(raw.get("id")) or ""
    current = raw.get("current_quantity")
    return Item(
        variant_id=identifier(raw.get("variant_id")),
        product_id=identifier(raw.get("product_id")),
        sku=text(raw.get("sku")),
        quantity=bought.quantity(
            _count(raw.get("quantity")),
            None if current is None else _count(current),
            edited.get(line, 0),
            refunded.get(line, 0),
        ),
        price=_money(raw.get("price"), raw.get("price_set"), currency, side),
        requires_shipping=raw.get("requires_shipping") is True,
        properties=_pairs(raw.get("properties")),
    )


def _count(value: Any) -> int:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1_000_000
    return value if good else 0


def _pairs(value: Any) -> dict[str, str]:
    """A list of `{name, value}` (cart attributes, line item properties) by name."""
    found: dict[str, str] = {}
    for pair in map(mapping, sequence(value)):
        name, given = text(pair.get("name")), text(pair.get("value"))
        if isinstance(pair.get("value"), bool):
            given = str(pair["value"]).lower()
        if name and given:
            found[name] = given
    return found


def _moment(value: Any) -> datetime | None:
    try:
        return timestamp(value, "")
    except Rejected:
        return None


def _distinct(*values: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))


def detail(body: bytes, side: str = "shop") -> Detail:
    """Read an order's JSON object; `side` (`shop` or `presentment`) is the currency of item prices.
    Never raises for an object."""
    raw = _decoder.decode(body)
    customer, client = mapping(raw.customer), mapping(raw.client_details)
    billing, shipping = _address(raw.billing_address), _address(raw.shipping_address)
    own = _address(customer.get("default_address"))
    addresses = tuple(address for address in (billing, shipping, own) if address is not None)
    refunds = _refunds(raw)
    amounts = {
        (kind, which): found
        for which in {"shop", side}
        for kind, found in _bought(raw, refunds, which).items()
    }
    for which in {"shop", side}:
        for kind, found in zip(("shipping", "shipping_tax"), _shipping(raw, which), strict=True):
            if found is not None:
                amounts[kind, which] = found
    return Detail(
        emails=_distinct(text(raw.email), text(raw.contact_email), text(customer.get("email"))),
        phones=_distinct(
            text(raw.phone), text(customer.get("phone")), billing.phone if billing else None
        ),
        other_phones=_distinct(*(address.phone for address in (shipping, own) if address)),
        names=_names(customer, billing, shipping, own),
        addresses=addresses,
        customer_since=_moment(customer.get("created_at")),
        user_id=identifier(raw.user_id),
        user_agent=text(client.get("user_agent")),
        ip_addresses=_distinct(text(client.get("browser_ip")), text(raw.browser_ip)),
        landing_site=text(raw.landing_site),
        referring_site=text(raw.referring_site),
        order_status_url=text(raw.order_status_url),
        attributes=_pairs(raw.note_attributes),
        items=_items(raw, refunds, side),
        tags=frozenset(tag.strip() for tag in (text(raw.tags) or "").split(",") if tag.strip()),
        amounts=amounts,
        taxes_included=raw.taxes_included is True,
    )


def countries(found: Detail, own: str | None) -> tuple[str, ...]:
    """Where its phone numbers may be from (ISO 3166), best first: billing, shipping, the customer's
    address, the shop's `own` country."""
    return _distinct(*(address.country for address in found.addresses), own)


def field_at(body: bytes, path: str) -> Any:
    """The value at a dotted path of the order (`customer.state`); None if there is none."""
    value: Any = _whole.decode(body)
    for step in path.split("."):
        value = mapping(value).get(step)
    return value
