"""Record -> typed event, or Rejected.

State is derived from the body; the topic label, which is not signed, only says which shape to expect. An order arrives whole on
every orders/* topic but two, so all of those decode to one `Order`: whether it is paid, edited or cancelled stands in it.
`Order` carries what aggregates need; `processors/capi` reads the rest (addresses, items, attributes) from `Order.body`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from processors.tolerance import (
    Rejected,
    currency_code,
    identifier,
    mapping,
    money,
    sequence,
    shop_day,
    text,
    timestamp,
)
from processors.version import Version, progress, version_of
from stream.record import Entry, Record


class Refund(NamedTuple):
    """Money given back: successful refund transactions only, in minor units of the shop's currency (shopify 2.3)."""

    id: str
    amount: int
    returned: int = 0
    """What the goods and shipping that came off the order were worth, taxes included; more or less than the money."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order as one delivery saw it. Money in minor units of `currency`, the shop's."""

    shop: str
    order_id: str
    version: Version
    processed_at: datetime
    """When the order was made (imports keep their own time, so not when Shopify created it)."""
    created_at: datetime
    day: int
    """Shop's day of `processed_at`, days since 1970-01-01."""
    customer_id: str | None
    email: str | None
    currency: str
    total: int
    """Original total; not reduced by refunds."""
    current_total: int
    """After edits, returns and refunds; `total` where the payload has none."""
    financial_status: str
    test: bool
    cancelled: bool
    refunds: tuple[Refund, ...]
    """The refunds that this state of the order already knows."""
    checkout_token: str | None
    cart_token: str | None
    landing_site: str | None
    source_name: str | None
    body: bytes
    received_ms: int


class RefundCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A refund told by refunds/create; it may come before its order."""

    shop: str
    order_id: str
    refund: Refund
    currency: str | None


class OrderDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """orders/delete: final, ids are not used again."""

    shop: str
    order_id: str


class CustomersMerged(msgspec.Struct, frozen=True, kw_only=True):
    """customers/merge: everything of `deleted_id` is `kept_id`'s from now on."""

    shop: str
    kept_id: str
    deleted_id: str


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """A checkout as one delivery saw it. Money in minor units of `currency`."""

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


class CheckoutDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """checkouts/delete: some carry the token, some only the cart's (shopify 2.1, the 2026-04 oddity)."""

    shop: str
    token: str | None
    cart_token: str | None
    version: Version


class Cart(msgspec.Struct, frozen=True, kw_only=True):
    """A cart as one delivery saw it: no customer, no attribution, online store only (shopify 2.5)."""

    shop: str
    token: str
    version: Version
    created_at: datetime
    updated_at: datetime
    items: int


OrderEvent = Order | RefundCreated | OrderDeleted | CustomersMerged
CheckoutEvent = Checkout | CheckoutDeleted | Cart
Zones = Mapping[str, ZoneInfo]
"""Time zone of each shop that has one configured."""


class _Order(msgspec.Struct):
    """The keys of an order that aggregates read; all others are skipped without being built."""

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
    financial_status: Any = None
    test: Any = None
    cancelled_at: Any = None
    refunds: Any = None
    checkout_token: Any = None
    cart_token: Any = None
    landing_site: Any = None
    source_name: Any = None


_order_decoder = msgspec.json.Decoder(_Order)
_any_decoder = msgspec.json.Decoder(dict[str, Any])


def shop_amount(plain: Any, amount_set: Any, currency: str, field: str) -> int | None:
    """An amount in shop money: the plain field, else `<field>_set.shop_money` (both are shop currency, shopify 2.2)."""
    if plain in (None, ""):
        plain = mapping(mapping(amount_set).get("shop_money")).get("amount")
    return money(plain, currency, field)


def _shop_money_refunded(body: Mapping[str, Any], currency: str) -> int:
    """What the refunded lines and shipping are worth in shop money, taxes included."""
    total = 0
    for lines, amounts in (
        ("refund_line_items", ("subtotal_set", "total_tax_set")),
        ("refund_shipping_lines", ("subtotal_amount_set",)),
    ):
        for line in map(mapping, sequence(body.get(lines))):
            for name in amounts:
                total += shop_amount(None, line.get(name), currency, name) or 0
    return total


def refund(body: Mapping[str, Any], currency: str) -> Refund | None:
    """Money moved by one refund object, in `currency`, the shop's; None without an id.

    It is the sum of its successful refund transactions (shopify 2.3). Where those are in the buyer's currency instead, it is what the
    refunded lines are worth in shop money.
    """
    refund_id = identifier(body.get("id")) or identifier(body.get("admin_graphql_api_id"))
    if refund_id is None:
        return None
    returned = _shop_money_refunded(body, currency)
    total = 0
    for transaction in map(mapping, sequence(body.get("transactions"))):
        if transaction.get("kind") == "refund" and transaction.get("status") == "success":
            if (text(transaction.get("currency")) or currency).upper() != currency:
                return Refund(refund_id, returned, returned)
            total += money(transaction.get("amount"), currency, "refund transaction amount") or 0
    return Refund(refund_id, max(total, 0), returned)


def order(record: Record, zones: Zones) -> Order:
    """Decode any delivery that carries a whole order. Raises Rejected."""
    raw = _order_decoder.decode(record.body)
    shop = record.headers["shop"]
    order_id = _exact_id(raw.id, raw.admin_graphql_api_id)
    if order_id is None:
        raise Rejected("no_order_id", "the body has neither id nor admin_graphql_api_id")
    created = timestamp(raw.created_at, "created_at")
    processed = timestamp(raw.processed_at, "processed_at") or created
    if processed is None:
        raise Rejected("no_order_time", "neither created_at nor processed_at is there")
    updated = timestamp(raw.updated_at, "updated_at") or processed
    currency = currency_code(raw.currency, "currency") or currency_code(
        mapping(mapping(raw.total_price_set).get("shop_money")).get("currency_code"), "total_price_set"
    )
    if currency is None:
        raise Rejected("no_currency", "neither currency nor total_price_set is there")
    total = shop_amount(raw.total_price, raw.total_price_set, currency, "total_price")
    if total is None:
        raise Rejected("no_total_price", "neither total_price nor total_price_set is there")
    current = shop_amount(raw.current_total_price, raw.current_total_price_set, currency, "current_total_price")
    customer = mapping(raw.customer)
    status, cancelled = (text(raw.financial_status) or "").lower(), timestamp(raw.cancelled_at, "cancelled_at") is not None
    refunds = {r.id: r for r in (refund(mapping(item), currency) for item in sequence(raw.refunds)) if r is not None}
    return Order(
        shop=shop,
        order_id=order_id,
        version=version_of(record, updated, progress(status, cancelled=cancelled)),
        processed_at=processed,
        created_at=created or processed,
        day=shop_day(processed, zones.get(shop)),
        customer_id=_exact_id(customer.get("id"), customer.get("admin_graphql_api_id")),
        email=text(raw.email) or text(raw.contact_email) or text(customer.get("email")),
        currency=currency,
        total=total,
        current_total=total if current is None else current,
        financial_status=status,
        test=raw.test is True,
        cancelled=cancelled,
        refunds=tuple(refunds[key] for key in sorted(refunds)),
        checkout_token=text(raw.checkout_token),
        cart_token=text(raw.cart_token),
        landing_site=text(raw.landing_site),
        source_name=text(raw.source_name),
        body=record.body,
        received_ms=record.time_ms,
    )


def _exact_id(number: Any, gid: Any) -> str | None:
    """An id that a JavaScript hop has rounded (..500 for ..508, beyond 2**53) is still exact in the gid string beside it."""
    plain = identifier(number)
    if plain is not None and int(plain) <= 1 << 53:
        return plain
    return identifier(gid) or plain


def _refund_created(record: Record, body: dict[str, Any]) -> RefundCreated:
    order_id = identifier(body.get("order_id"))
    if order_id is None:
        raise Rejected("no_order_id", "the refund names no order_id")
    currency = _refund_currency(body)
    # Without a currency no money moved (a restock), and any will do to read its zeros.
    found = refund(body, currency or "USD")
    if found is None:
        raise Rejected("no_refund_id", "the refund has no id")
    return RefundCreated(shop=record.headers["shop"], order_id=order_id, refund=found, currency=currency)


def _refund_currency(body: Mapping[str, Any]) -> str | None:
    """The shop's currency: a refund names none at its top, but its lines' shop_money does, else its transactions do."""
    for line in map(mapping, sequence(body.get("refund_line_items"))):
        shop_money = mapping(mapping(line.get("subtotal_set")).get("shop_money"))
        if code := currency_code(shop_money.get("currency_code"), "subtotal_set"):
            return code
    for transaction in map(mapping, sequence(body.get("transactions"))):
        if code := currency_code(transaction.get("currency"), "transaction currency"):
            return code
    return None


def _checkout(record: Record, body: dict[str, Any]) -> Checkout:
    token = text(body.get("token"))
    if token is None:
        raise Rejected("no_checkout_token", "the checkout has no token")
    created = timestamp(body.get("created_at"), "created_at")
    updated = timestamp(body.get("updated_at"), "updated_at") or created
    if updated is None:
        raise Rejected("no_checkout_time", "neither created_at nor updated_at is there")
    currency = currency_code(body.get("currency"), "currency")
    if currency is None:
        raise Rejected("no_currency", "the checkout names no currency")
    customer = mapping(body.get("customer"))
    email = text(body.get("email")) or text(customer.get("email"))
    return Checkout(
        shop=record.headers["shop"],
        token=token,
        cart_token=text(body.get("cart_token")),
        version=version_of(record, updated),
        created_at=created or updated,
        updated_at=updated,
        completed_at=timestamp(body.get("completed_at"), "completed_at"),
        customer_id=_exact_id(customer.get("id"), customer.get("admin_graphql_api_id")),
        email=email,
        has_contact=bool(email or text(body.get("phone")) or text(customer.get("phone"))),
        currency=currency,
        total=shop_amount(body.get("total_price"), body.get("total_price_set"), currency, "total_price") or 0,
        recovery_url=text(body.get("abandoned_checkout_url")),
    )


def _checkout_deleted(record: Record, body: dict[str, Any]) -> CheckoutDeleted:
    token, cart_token = text(body.get("token")), text(body.get("cart_token"))
    if token is None and cart_token is None:
        raise Rejected("no_checkout_token", "the deleted checkout has neither token nor cart_token")
    updated = timestamp(body.get("updated_at"), "updated_at")
    version = version_of(record, updated) if updated else Version(record.time_ms * 1000, "", "")
    return CheckoutDeleted(shop=record.headers["shop"], token=token, cart_token=cart_token, version=version)


def _cart(record: Record, body: dict[str, Any]) -> Cart:
    token = text(body.get("token")) or text(body.get("id"))
    if token is None:
        raise Rejected("no_cart_token", "the cart has neither token nor id")
    created = timestamp(body.get("created_at"), "created_at")
    updated = timestamp(body.get("updated_at"), "updated_at") or created
    if updated is None:
        raise Rejected("no_cart_time", "neither created_at nor updated_at is there")
    return Cart(
        shop=record.headers["shop"],
        token=token,
        version=version_of(record, updated),
        created_at=created or updated,
        updated_at=updated,
        items=len(sequence(body.get("line_items"))),
    )


RECENT = 1_024
_recent: list[tuple[Record, Zones, OrderEvent | None] | None] = [None] * RECENT
"""What was decoded last, by offset: several processors of one process decode the same record soon after each other, 27 us each time."""


def decode_order(entry: Entry, zones: Zones) -> OrderEvent | None:
    """A record of the topic `orders` as an event; None where policy ignores it. Raises Rejected."""
    record, place = entry.record, entry.offset % RECENT
    known = _recent[place]
    if known is not None:
        same, its_zones, event = known
        # The record itself decides, not where it stands: a process may have several logs open.
        if same.body == record.body and same.time_ms == record.time_ms and same.headers == record.headers and its_zones == zones:
            return event
    event = _decode_order(record, zones)
    _recent[place] = (record, zones, event)
    return event


def _decode_order(record: Record, zones: Zones) -> OrderEvent | None:
    topic = record.headers.get("topic", "")
    try:
        if topic == "refunds/create":
            return _refund_created(record, _any_decoder.decode(record.body))
        if topic == "orders/delete":
            order_id = identifier(_any_decoder.decode(record.body).get("id"))
            if order_id is None:
                raise Rejected("no_order_id", "the deleted order has no id")
            return OrderDeleted(shop=record.headers["shop"], order_id=order_id)
        if topic == "orders/edited":
            return None  # It names the lines changed but no totals; the orders/updated beside it carries the whole order.
        if topic == "customers/merge":
            body = _any_decoder.decode(record.body)
            kept = identifier(body.get("admin_graphql_api_customer_kept_id"))
            deleted = identifier(body.get("admin_graphql_api_customer_deleted_id"))
            if kept is None or deleted is None:
                raise Rejected("no_customer_id", "the merge does not name both customers")
            return CustomersMerged(shop=record.headers["shop"], kept_id=kept, deleted_id=deleted)
        return order(record, zones)
    except msgspec.DecodeError:
        raise Rejected("malformed_json", "the body is not the JSON object that its topic promises") from None


def decode_checkout(entry: Entry) -> CheckoutEvent | None:
    """A record of the topic `checkouts` as an event. Raises Rejected."""
    record = entry.record
    topic = record.headers.get("topic", "")
    try:
        body = _any_decoder.decode(record.body)
    except msgspec.DecodeError:
        raise Rejected("malformed_json", "the body is not the JSON object that its topic promises") from None
    if topic == "checkouts/delete":
        return _checkout_deleted(record, body)
    if topic.startswith("carts/"):
        return _cart(record, body)
    return _checkout(record, body)
