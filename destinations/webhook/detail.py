"""Reads what a webhook needs of an order beyond `processors.shopify.orders.Order`. A malformed
field counts as absent."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from destinations.webhook.bodies import ItemData, MoneyData
from processors.shopify.raw_order import (
    RawAddress,
    RawCustomer,
    RawLine,
    RawMoney,
    RawOrder,
    shop_side,
)
from processors.shopify.tolerance import Rejected, identifier, mapping, sequence, text, timestamp
from stream.money import amount, minor

MOST_ITEMS = 100


_NOBODY, _NOWHERE, _NO_MONEY = RawCustomer(), RawAddress(), RawMoney()


class WebhookDetail(NamedTuple):
    """The rest of an order."""

    order_name: str | None
    phone: str | None
    full_name: str | None
    country_code: str | None
    cancelled_at: datetime | None
    cancel_reason: str | None
    refunded_at: Mapping[str, datetime]
    """By refund id."""
    items: tuple[ItemData, ...]


def detail(raw: RawOrder, currency: str) -> WebhookDetail:
    """The rest of an order; `currency` is the shop's."""
    customer = raw.customer or _NOBODY
    places = [raw.shipping_address or _NOWHERE, raw.billing_address or _NOWHERE]
    names = [text(customer.first_name), text(customer.last_name)]
    return WebhookDetail(
        order_name=text(raw.name),
        phone=text(raw.phone) or text(customer.phone),
        full_name=" ".join(name for name in names if name) or None,
        country_code=next((code for place in places if (code := text(place.country_code))), None),
        cancelled_at=_time(raw.cancelled_at),
        cancel_reason=text(raw.cancel_reason),
        refunded_at={
            refund_id: at
            for refund in map(mapping, sequence(raw.refunds))
            if (refund_id := identifier(refund.get("id"))) is not None
            and (at := _time(refund.get("processed_at")) or _time(refund.get("created_at")))
        },
        items=tuple(_item(line, currency) for line in raw.lines[:MOST_ITEMS]),
    )


def _time(value: Any) -> datetime | None:
    try:
        return timestamp(value, "time")
    except Rejected:
        return None


def _item(line: RawLine, currency: str) -> ItemData:
    quantity = line.quantity
    return ItemData(
        product_id=identifier(line.product_id),
        variant_id=identifier(line.variant_id),
        sku=text(line.sku),
        quantity=quantity if isinstance(quantity, int) and not isinstance(quantity, bool) else 0,
        price=_price(line, currency),
    )


def _price(line: RawLine, currency: str) -> MoneyData | None:
    """In the shop's currency: `price_set.shop_money`, else the plain field, which is shop money
    too."""
    in_shop = shop_side(line.price_set) or _NO_MONEY
    value = line.price if in_shop.amount is None else in_shop.amount
    code = text(in_shop.currency_code) or currency
    if value in (None, "") or isinstance(value, bool | list | dict):
        return None
    try:
        return MoneyData(amount(minor(value, code.upper()), code.upper()), code.upper())
    except ValueError:
        return None
