"""Reads what a Purchase event needs of an order beyond `processors.shopify.orders.Order`. A
malformed field counts as absent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from processors.shopify import bought
from processors.shopify.raw_order import (
    RawAddress,
    RawAmounts,
    RawClient,
    RawCustomer,
    RawLine,
    RawOrder,
)
from processors.shopify.refunds import Side
from processors.shopify.tolerance import (
    Rejected,
    identifier,
    mapping,
    sequence,
    text,
    timestamp,
)
from stream.money import Money, minor


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
    code = (text(currency) or "").upper()
    if not code or value in (None, "") or isinstance(value, bool | list | dict):
        return None
    try:
        return Money(minor(value, code), code)
    except ValueError:
        return None


def _money(plain: Any, amounts: RawAmounts | None, currency: Any, side: str) -> Money | None:
    """From `<field>_set.<side>_money`; the plain field is shop money too (docs/facts/shopify.md,
    "Orders")."""
    if amounts is not None:
        given = amounts.shop_money if side == "shop" else amounts.presentment_money
        found = None if given is None else _amount(given.amount, given.currency_code)
        if found is not None:
            return found
    return _amount(plain, currency) if side == "shop" else None


def _shipping(raw: RawOrder, side: str) -> tuple[Money | None, Money | None]:
    """(`shipping`, `shipping_tax`) from the lines: `discounted_price` is what was paid,
    `total_shipping_price_set` is before discounts."""
    lines = raw.shipping_lines or ()
    tax = _sum(
        [
            _money(tax.price, tax.price_set, raw.currency, side)
            for line in lines
            for tax in line.tax_lines or ()
        ]
    )
    paid = _sum(
        [
            _money(line.discounted_price, line.discounted_price_set, raw.currency, side)
            or _money(line.price, line.price_set, raw.currency, side)
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
    return found if any(found) else None


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
    given = [(text(customer.first_name), text(customer.last_name))]
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
            bought.taken(each, side, taxes_included=self.taxes_included) if each else _NOTHING
            for each in (self.edits, self.refunds)
        )
        return edited, refunded


_NOTHING = bought.Taken()


def _refunds(raw: RawOrder) -> _Refunds:
    found = _Refunds([], [], raw.taxes_included is True)
    currency = (text(raw.currency) or "").upper()
    for each in map(mapping, sequence(raw.refunds)):
        (found.refunds if bought.gave_money(each, currency) else found.edits).append(each)
    return found


def _bought(raw: RawOrder, refunds: _Refunds, side: str) -> dict[str, Money]:
    """`total`, `subtotal` and `tax` of what was bought, if given."""
    found: dict[str, Money] = {}
    currency = raw.currency
    for kind, current_plain, current_set, plain, amounts in (
        (
            "total",
            raw.current_total_price,
            raw.current_total_price_set,
            raw.total_price,
            raw.total_price_set,
        ),
        (
            "subtotal",
            raw.current_subtotal_price,
            raw.current_subtotal_price_set,
            raw.subtotal_price,
            raw.subtotal_price_set,
        ),
        ("tax", raw.current_total_tax, raw.current_total_tax_set, raw.total_tax, raw.total_tax_set),
    ):
        current = _money(current_plain, current_set, currency, side)
        original = _money(plain, amounts, currency, side) if current is None else None
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
        found[kind] = Money(units or 0, given.currency)
    return found


def _items(raw: RawOrder, refunds: _Refunds, side: str) -> tuple[Item, ...]:
    edited, refunded = bought.units(refunds.edits), bought.units(refunds.refunds)
    return tuple([_item(line, raw.currency, side, edited, refunded) for line in raw.lines])


def _item(
    raw: RawLine,
    currency: Any,
    side: str,
    edited: Mapping[str, int],
    refunded: Mapping[str, int],
) -> Item:
    line = identifier(raw.id) or ""
    current = raw.current_quantity
    return Item(
        variant_id=identifier(raw.variant_id),
        product_id=identifier(raw.product_id),
        sku=text(raw.sku),
        quantity=bought.quantity(
            _count(raw.quantity),
            None if current is None else _count(current),
            edited.get(line, 0),
            refunded.get(line, 0),
        ),
        price=_money(raw.price, raw.price_set, currency, side),
        requires_shipping=raw.requires_shipping is True,
        properties=_pairs(raw.properties),
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
    return tuple(dict.fromkeys([value for value in values if value]))


_NOBODY, _NOTHING_OF_A_BROWSER = RawCustomer(), RawClient()


def detail(raw: RawOrder, side: str = "shop") -> Detail:
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
    refunds = _refunds(raw)
    amounts: dict[tuple[str, str], Money] = {}
    for which in {"shop", side}:
        for kind, found in _bought(raw, refunds, which).items():
            amounts[kind, which] = found
        paid, tax = _shipping(raw, which)
        if paid is not None:
            amounts["shipping", which] = paid
        if tax is not None:
            amounts["shipping_tax", which] = tax
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
        attributes=_pairs(raw.note_attributes),
        items=_items(raw, refunds, side),
        tags=_tags(text(raw.tags)),
        amounts=amounts,
        taxes_included=raw.taxes_included is True,
    )


def _tags(written: str | None) -> frozenset[str]:
    return frozenset(
        [tag for part in written.split(",") if (tag := part.strip())] if written else ()
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
