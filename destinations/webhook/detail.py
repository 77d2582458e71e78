"""Reads what a webhook needs of an order beyond `processors.shopify.orders.Order`. A malformed
field counts as absent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from destinations.webhook.bodies import Item, Money
from processors.shopify.tolerance import Rejected, identifier, mapping, sequence, text, timestamp
from stream.money import amount, minor

MOST_ITEMS = 100


class _Body(msgspec.Struct):
    """The keys that are read; all others are skipped without being built."""

    name: Any = None
    phone: Any = None
    customer: Any = None
    shipping_address: Any = None
    billing_address: Any = None
    cancelled_at: Any = None
    cancel_reason: Any = None
    refunds: Any = None
    line_items: Any = None


FIELDS = frozenset(_Body.__struct_fields__)
"""All that is read, as a subscription's `include_fields` names it."""
_decoder = msgspec.json.Decoder(_Body)


class Detail(NamedTuple):
    """The rest of an order."""

    order_name: str | None
    phone: str | None
    full_name: str | None
    country_code: str | None
    cancelled_at: datetime | None
    cancel_reason: str | None
    refunded_at: Mapping[str, datetime]
    """By refund id."""
    items: tuple[Item, ...]


def detail(body: bytes, currency: str) -> Detail:
    """Read an order's JSON object; `currency` is the shop's."""
    raw = _decoder.decode(body)
    customer = mapping(raw.customer)
    places = [mapping(raw.shipping_address), mapping(raw.billing_address)]
    names = [text(customer.get("first_name")), text(customer.get("last_name"))]
    return Detail(
        order_name=text(raw.name),
        phone=text(raw.phone) or text(customer.get("phone")),
        full_name=" ".join(name for name in names if name) or None,
        country_code=next(
            (code for place in places if (code := text(place.get("country_code")))), None
        ),
        cancelled_at=_time(raw.cancelled_at),
        cancel_reason=text(raw.cancel_reason),
        refunded_at={
            refund_id: at
            for refund in map(mapping, sequence(raw.refunds))
            if (refund_id := identifier(refund.get("id"))) is not None
            and (at := _time(refund.get("processed_at")) or _time(refund.get("created_at")))
        },
        items=tuple(
            _item(mapping(line), currency) for line in sequence(raw.line_items)[:MOST_ITEMS]
        ),
    )


def _time(value: Any) -> datetime | None:
    try:
        return timestamp(value, "time")
    except Rejected:
        return None


def _item(line: Mapping[str, Any], currency: str) -> Item:
    quantity = line.get("quantity")
    return Item(
        product_id=identifier(line.get("product_id")),
        variant_id=identifier(line.get("variant_id")),
        sku=text(line.get("sku")),
        quantity=quantity if isinstance(quantity, int) and not isinstance(quantity, bool) else 0,
        price=_price(line, currency),
    )


def _price(line: Mapping[str, Any], currency: str) -> Money | None:
    """In the shop's currency: `price_set.shop_money`, else the plain field, which is shop money
    too."""
    in_shop = mapping(mapping(line.get("price_set")).get("shop_money"))
    value = in_shop.get("amount", line.get("price"))
    code = text(in_shop.get("currency_code")) or currency
    if value in (None, "") or isinstance(value, bool | list | dict):
        return None
    try:
        return Money(amount(minor(value, code.upper()), code.upper()), code.upper())
    except ValueError:
        return None
