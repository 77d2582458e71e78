"""Decodes records of the topic `checkouts` into typed events, or raises Rejected."""

import re
from datetime import datetime
from typing import Any

import msgspec

from processors.shopify.orders import exact_id
from processors.shopify.reading import read
from processors.shopify.tolerance import (
    Rejected,
    currency_code,
    lacking,
    mapping,
    money,
    sequence,
    text,
    timestamp,
)
from processors.shopify.version import Version, version_of
from stream.money import Money
from stream.record import Entry, Record


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout in the state of one delivery. Money in minor units of `currency`: the shop's if
    the delivery has shop money, else the buyer's; 0 of `NO_CURRENCY` if neither is known."""

    shop: str
    token: str
    cart_token: str | None
    version: Version
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    customer_id: str | None
    email: str | None
    has_contact: bool
    currency: str
    total: int
    recovery_url: str | None
    shop_currency: str = ""
    """The shop's, whatever the prices are in."""


class CheckoutDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """checkouts/delete: some carry the token, some only the cart's (docs/facts/shopify.md, "API
    versions")."""

    shop: str
    token: str | None
    cart_token: str | None
    version: Version


class Cart(msgspec.Struct, frozen=True, kw_only=True):
    """A cart in the state of one delivery: no customer, no attribution, online store only
    (docs/facts/shopify.md, "Carts")."""

    shop: str
    token: str
    version: Version
    created_at: datetime
    updated_at: datetime
    items: int


NO_CURRENCY = "XXX"
"""ISO 4217's code where no currency is involved: that of a price in an unknown one."""
PIXEL = "pixel"
"""Source of the browser's posts (`ingest/pixel`), which share the topic."""
CheckoutEvent = Checkout | CheckoutDeleted | Cart
_decoder = msgspec.json.Decoder(dict[str, Any])


def _checkout(record: Record, body: dict[str, Any]) -> Checkout:
    token = text(body.get("token"))
    if token is None:
        raise Rejected("no_checkout_token", "the checkout has no token")
    created = timestamp(body.get("created_at"), "created_at")
    updated = timestamp(body.get("updated_at"), "updated_at") or created
    currency = currency_code(body.get("currency"), "currency")
    total_price = body.get("total_price", body.get("total_price_set"))
    if updated is None or currency is None or total_price is None:
        raise lacking(created_at=updated, currency=currency, total_price=total_price)
    total = _total(body, currency)
    customer = mapping(body.get("customer"))
    email = text(body.get("email")) or text(customer.get("email"))
    return Checkout(
        shop=record.headers["shop"],
        token=token,
        cart_token=text(body.get("cart_token"))
        or _cart_token(text(body.get("abandoned_checkout_url"))),
        version=version_of(record, updated),
        created_at=created or updated,
        updated_at=updated,
        completed_at=timestamp(body.get("completed_at"), "completed_at"),
        customer_id=exact_id(customer.get("id"), customer.get("admin_graphql_api_id")),
        email=email,
        has_contact=bool(email or text(body.get("phone")) or text(customer.get("phone"))),
        currency=total.currency,
        total=total.units,
        recovery_url=text(body.get("abandoned_checkout_url")),
        shop_currency=currency,
    )


def _total(body: dict[str, Any], currency: str) -> Money:
    """The checkout's total, in shop money if the body has it.

    Price fields are in the buyer's currency, while `currency` is the shop's (Shopify changelog, 24
    October 2018: "Multi-currency checkouts"; docs/facts/shopify.md, "Checkouts"). Where a filter
    leaves `presentment_currency` out, the price may be in any currency.
    """
    in_shop_money = mapping(mapping(body.get("total_price_set")).get("shop_money"))
    if in_shop_money.get("amount") not in (None, ""):
        currency = currency_code(in_shop_money.get("currency_code"), "total_price_set") or currency
        return Money(money(in_shop_money["amount"], currency, "total_price_set") or 0, currency)
    buyer = currency_code(body.get("presentment_currency"), "presentment_currency")
    if buyer is None:
        return Money(0, NO_CURRENCY)
    return Money(money(body.get("total_price"), buyer, "total_price") or 0, buyer)


def _cart_token(recovery_url: str | None) -> str | None:
    """The cart's token in the newer recovery URL, `/checkouts/ac/<cart token>/recover`
    (docs/facts/shopify.md, "Checkouts")."""
    found = re.search(r"/checkouts/ac/([^/?]+)/recover", recovery_url or "")
    return found[1] if found else None


def _checkout_deleted(record: Record, body: dict[str, Any]) -> CheckoutDeleted:
    token, cart_token = text(body.get("token")), text(body.get("cart_token"))
    if token is None and cart_token is None:
        raise Rejected("no_checkout_token", "the deleted checkout has neither token nor cart_token")
    updated = timestamp(body.get("updated_at"), "updated_at")
    version = version_of(record, updated) if updated else Version(record.time_ms * 1000, "", "")
    return CheckoutDeleted(
        shop=record.headers["shop"], token=token, cart_token=cart_token, version=version
    )


def _cart(record: Record, body: dict[str, Any]) -> Cart:
    token = text(body.get("token")) or text(body.get("id"))
    if token is None:
        raise Rejected("no_cart_token", "the cart has neither token nor id")
    created = timestamp(body.get("created_at"), "created_at")
    updated = timestamp(body.get("updated_at"), "updated_at") or created
    if updated is None:
        raise lacking(created_at=None)
    return Cart(
        shop=record.headers["shop"],
        token=token,
        version=version_of(record, updated),
        created_at=created or updated,
        updated_at=updated,
        items=len(sequence(body.get("line_items"))),
    )


def decode_checkout(entry: Entry) -> CheckoutEvent | None:
    """A record of the topic `checkouts` as an event; None if policy ignores it.

    Raises Rejected.
    """
    if entry.record.headers.get("source") == PIXEL:
        return None  # Unsigned, whatever it calls itself.
    return read(entry.record, _decode)


KNOWN = frozenset({"checkouts/create", "checkouts/update", "carts/create", "carts/update"})


def _decode(record: Record) -> CheckoutEvent | None:
    topic = record.headers.get("topic", "")
    body = _decoder.decode(record.body)
    if topic == "checkouts/delete":
        return _checkout_deleted(record, body)
    if topic not in KNOWN and "line_items" not in body:
        return None  # Another topic of the family, and neither a cart nor a checkout.
    return _cart(record, body) if topic.startswith("carts/") else _checkout(record, body)
