"""Reads what a Purchase event needs of an order beyond `processors.shopify.orders.Order`. A
malformed field counts as absent."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from destinations.meta.event.amounts import (
    NO_REFUNDS,
    CurrencySide,
    Refunds,
    money,
    refunds_of,
)
from processors.shopify import bought
from processors.shopify.raw_order import (
    RawAddress,
    RawClient,
    RawCustomer,
    RawLine,
    RawOrder,
)
from processors.shopify.tolerance import (
    Rejected,
    identifier,
    mapping,
    sequence,
    text,
    timestamp,
)
from stream.money import Money


class Address(msgspec.Struct, frozen=True, gc=False):
    """As typed by the buyer; `country` and `province` are codes."""

    first_name: str | None
    last_name: str | None
    phone: str | None
    city: str | None
    province: str | None
    zip: str | None
    country: str | None


_NOWHERE = Address(None, None, None, None, None, None, None)


class Item(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line of the order; `quantity` in units bought (`processors/shopify/bought.py`), `price` of
    one unit."""

    raw: RawLine
    variant_id: str | None
    quantity: int
    price: Money | None

    @property
    def product_id(self) -> str | None:
        """Read, like `sku`, for a shop whose catalogue is known by it."""
        return identifier(self.raw.product_id)

    @property
    def sku(self) -> str | None:
        """The merchant's own name of the variant."""
        return text(self.raw.sku)

    @property
    def properties(self) -> Mapping[str, str]:
        """What the storefront put on the line, by name."""
        return _pairs(self.raw.properties) if self.raw.properties else _NO_PAIRS


_whole = msgspec.json.Decoder(dict[str, Any])


class Detail(msgspec.Struct, frozen=True, kw_only=True, gc=False):
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


def _address(raw: RawAddress | None) -> Address | None:
    if raw is None:
        return None
    found = Address(
        first_name=text(raw.first_name),
        last_name=text(raw.last_name),
        phone=text(raw.phone),
        city=text(raw.city),
        province=text(raw.province_code),
        zip=text(raw.zip),
        country=text(raw.country_code),
    )
    return None if found == _NOWHERE else found


def _names(
    customer: RawCustomer,
    billing: Address | None,
    shipping: Address | None,
    own: Address | None,
) -> tuple[str | None, str | None]:
    """The buyer's names: the first of customer, billing address and the buyer's own address that
    has both; else the first that has any.

    The shipping address comes last: it may be a gift's receiver.
    """
    first, last = text(customer.first_name), text(customer.last_name)
    if first and last:
        return first, last
    given = [(first, last)]
    given += [
        (address.first_name, address.last_name) for address in (billing, own) if address is not None
    ]
    last_resort = (
        (shipping.first_name, shipping.last_name) if shipping is not None else (None, None)
    )
    return next(filter(all, given), None) or next(filter(any, given), last_resort)


def _items(raw: RawOrder, refunds: Refunds, side: CurrencySide) -> tuple[Item, ...]:
    edited = refunded = _NO_UNITS
    if refunds is not NO_REFUNDS:
        edited, refunded = bought.units(refunds.edits), bought.units(refunds.refunds)
    return tuple([_item(line, raw.currency, side, edited, refunded) for line in raw.lines])


def _item(
    raw: RawLine,
    currency: Any,
    side: CurrencySide,
    edited: Mapping[str, int],
    refunded: Mapping[str, int],
) -> Item:
    current = raw.current_quantity
    less = back = 0
    if edited or refunded:
        line = identifier(raw.id) or ""
        less, back = edited.get(line, 0), refunded.get(line, 0)
    return Item(
        raw=raw,
        variant_id=identifier(raw.variant_id),
        quantity=bought.quantity(
            _count(raw.quantity),
            None if current is None else _count(current),
            less,
            back,
        ),
        price=money(raw.price, raw.price_set, currency, side),
    )


def _count(value: Any) -> int:
    return value if type(value) is int and 0 < value < 1_000_000 else 0  # True is no count.


_NO_PAIRS: Mapping[str, str] = MappingProxyType({})
_NO_UNITS: Mapping[str, int] = MappingProxyType({})


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
    return tuple([each for each in dict.fromkeys(values) if each])


_NOBODY, _NOTHING_OF_A_BROWSER = RawCustomer(), RawClient()


def detail(raw: RawOrder, side: CurrencySide = "shop") -> Detail:
    """The rest of an order; `side` (`shop` or `presentment`) is the currency of item prices. Never
    raises."""
    customer, client = raw.customer or _NOBODY, raw.client_details or _NOTHING_OF_A_BROWSER
    billing = _address(raw.billing_address)
    # Nearly always one address, written two or three times.
    shipping = (
        billing if raw.shipping_address == raw.billing_address else _address(raw.shipping_address)
    )
    own = (
        billing
        if customer.default_address == raw.billing_address
        else _address(customer.default_address)
    )
    return Detail(
        emails=_distinct(text(raw.email), text(raw.contact_email), text(customer.email)),
        phones=_distinct(text(raw.phone), text(customer.phone), billing.phone if billing else None),
        other_phones=_distinct(shipping.phone if shipping else None, own.phone if own else None),
        names=_names(customer, billing, shipping, own),
        addresses=tuple([each for each in (billing, shipping, own) if each is not None]),
        customer_since=_moment(customer.created_at),
        user_id=identifier(raw.user_id),
        user_agent=text(client.user_agent),
        ip_addresses=_distinct(text(client.browser_ip), text(raw.browser_ip)),
        landing_site=text(raw.landing_site),
        referring_site=text(raw.referring_site),
        order_status_url=text(raw.order_status_url),
        attributes=attributes_of(raw),
        items=_items(raw, refunds_of(raw), side),
        tags=_tags(text(raw.tags)),
    )


def attributes_of(raw: RawOrder) -> Mapping[str, str]:
    """What the storefront put into the cart, by name."""
    return _pairs(raw.note_attributes) if raw.note_attributes else _NO_PAIRS


def _tags(written: str | None) -> frozenset[str]:
    return frozenset(
        [tag for part in written.split(",") if (tag := part.strip())] if written else ()
    )


def countries(found: Detail, own: str | None) -> tuple[str, ...]:
    """Where its phone numbers may be from (ISO 3166), best first: billing, shipping, the customer's
    address, the shop's `own` country."""
    return _distinct(*[address.country for address in found.addresses], own)


def fields_at(body: bytes, paths: Sequence[str]) -> list[Any]:
    """The values at dotted paths of the order (`customer.state`); None where there is none."""
    whole, found = _whole.decode(body) if paths else None, []
    for path in paths:
        value: Any = whole
        for step in path.split("."):
            value = mapping(value).get(step)
        found.append(value)
    return found
