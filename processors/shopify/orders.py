"""Decodes records of the topic `orders` into typed events, or raises Rejected.

State is derived from the body; the topic label is not signed and only says which shape to expect.
`Order` carries what aggregates need; `destinations/meta` reads the rest (addresses, items,
attributes) from `Order.body`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from processors.shopify.facts import NO_FACTS, decoded, facts
from processors.shopify.raw_order import RawOrder
from processors.shopify.reading import read
from processors.shopify.tolerance import (
    Rejected,
    currency_code,
    identifier,
    lacking,
    mapping,
    money,
    sequence,
    shop_day,
    text,
    timestamp,
)
from processors.shopify.version import Version, progress, version_of
from stream.record import Entry, Record


class Refund(NamedTuple):
    """Money given back: successful refund transactions only, in minor units (docs/facts/shopify.md,
    "Refunds")."""

    id: str
    amount: int
    returned: int = 0
    """What the goods, shipping and duties that came off the order were worth, taxes included; more
    or less than the money."""


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
    """After edits and returns; where the payload has none, `total` without what its refunds returned."""
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
    name: str = ""
    """This and what follows is read for the row of facts only (`processors/shopify/facts.py`)."""
    country: str = ""
    province: str = ""
    detail: bytes = b""


class RefundCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A refund told by refunds/create; it may come before its order."""

    shop: str
    order_id: str
    refund: Refund
    currency: str | None
    """That of the refund's amounts: the shop's where the refund tells it, else the one in which the buyer was paid."""


class OrderDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """orders/delete: final, ids are not used again."""

    shop: str
    order_id: str


class CustomersMerged(msgspec.Struct, frozen=True, kw_only=True):
    """customers/merge: everything of `deleted_id` is `kept_id`'s from now on."""

    shop: str
    kept_id: str
    deleted_id: str


OrderEvent = Order | RefundCreated | OrderDeleted | CustomersMerged
Zones = Mapping[str, ZoneInfo]
"""Time zone of each shop that has one configured."""


_order_decoder = msgspec.json.Decoder(RawOrder)
_any_decoder = msgspec.json.Decoder(dict[str, Any])


def shop_amount(plain: Any, amount_set: Any, currency: str | None, field: str) -> int | None:
    """An amount in shop money: the plain field, else `<field>_set.shop_money`
    (docs/facts/shopify.md, "Orders")."""
    if plain in (None, ""):
        plain = mapping(mapping(amount_set).get("shop_money")).get("amount")
    return None if currency is None else money(plain, currency, field)


WORTH = (
    ("refund_line_items", ("subtotal_set", "total_tax_set")),
    ("refund_shipping_lines", ("subtotal_amount_set", "tax_amount_set")),
)
"""What a refund took back: lists of its body, and in each entry the worth and the tax on it."""
ADJUSTMENTS = ("order_adjustments", ("amount_set", "tax_amount_set"))
"""How the money differed from the worth, in the same form."""


class _Side(NamedTuple):
    """Which of the two amounts in each `*_set` is read."""

    name: str
    """`shop_money` or `presentment_money`."""
    currency: str


def _amount_of(entry: Mapping[str, Any], field: str, side: _Side) -> int:
    return (
        money(mapping(mapping(entry.get(field)).get(side.name)).get("amount"), side.currency, field)
        or 0
    )


def _worth(body: Mapping[str, Any], side: _Side, *, taxes: bool) -> int:
    """What a refund took back, in one currency; `taxes`: add them, since the prices lack them."""
    total = _amount_of(body, "total_duties_set", side)
    for name, (subtotal, tax) in WORTH:
        for entry in map(mapping, sequence(body.get(name))):
            total += _amount_of(entry, subtotal, side)
            total += _amount_of(entry, tax, side) if taxes else 0
    return total


def _adjusted(body: Mapping[str, Any], side: _Side) -> int:
    """How much less money than worth was given back: negative where it was more."""
    name, fields = ADJUSTMENTS
    # Up to version 2024-07 given-back shipping was an adjustment; since then it has lines of its
    # own, and some bodies have it in both places.
    in_lines = bool(sequence(body.get("refund_shipping_lines")))
    return sum(
        _amount_of(entry, field, side)
        for entry in map(mapping, sequence(body.get(name)))
        if not (in_lines and entry.get("kind") == "shipping_refund")
        for field in fields
    )


def _paid_back(body: Mapping[str, Any], currency: str) -> dict[str, list[Any]]:
    """Amounts of the successful refund transactions, by currency; `currency` where one names none."""
    paid: dict[str, list[Any]] = {}
    for transaction in map(mapping, sequence(body.get("transactions"))):
        if transaction.get("kind") == "refund" and transaction.get("status") == "success":
            code = (text(transaction.get("currency")) or currency).upper()
            paid.setdefault(code, []).append(transaction.get("amount"))
    return paid


def _sum(amounts: Sequence[Any], currency: str) -> int:
    return sum(money(each, currency, "refund transaction amount") or 0 for each in amounts)


def refund(
    body: Mapping[str, Any], currency: str | None, *, taxes_included: bool | None
) -> Refund | None:
    """One refund object in `currency`, the shop's (None: not known, and so is the money).

    None without an id. `taxes_included`: whether the shop's prices hold their taxes, as the order
    says; then a line's subtotal holds its tax, and `total_tax` is a part of it (Shopify: Order
    `taxes_included`). None where no order says it (`refunds/create`): then the money tells.

    The money is the sum of the successful refund transactions. Those are in the buyer's currency
    where that is not the shop's; then it is the worth in shop money less the adjustments: Shopify
    writes one for every difference between worth and money, negative where more was given back
    (Shopify: Refund `order_adjustments`).
    """
    refund_id = identifier(body.get("id")) or identifier(body.get("admin_graphql_api_id"))
    if refund_id is None or currency is None:
        return None if refund_id is None else Refund(refund_id, 0)
    shop = _Side("shop_money", currency)
    paid = _paid_back(body, currency)
    taxes = _taxes_were_added(body, paid) if taxes_included is None else not taxes_included
    returned = _worth(body, shop, taxes=taxes)
    if set(paid) <= {currency}:
        paid_back = _sum(paid.get(currency, ()), currency)
    else:
        paid_back = returned - _adjusted(body, shop)
    return Refund(refund_id, max(paid_back, 0), returned)


def _taxes_were_added(body: Mapping[str, Any], paid: Mapping[str, Sequence[Any]]) -> bool:
    """Whether the money is nearer to the worth with taxes added than to the worth without.

    False where nothing tells: too small a worth is mended by the order's own snapshot, of two
    tellings the larger one counts.
    """
    if not paid:
        return False
    buyer, amounts = next(iter(paid.items()))
    side = _Side("presentment_money", buyer)
    try:
        told = _sum(amounts, buyer) + _adjusted(body, side)
        added, included = (_worth(body, side, taxes=taxes) for taxes in (True, False))
    except Rejected:
        return False  # A currency or an amount that nothing else depends on.
    return abs(told - added) < abs(told - included)


def order(record: Record, zones: Zones, *, with_facts: bool = False) -> Order:
    """Decode any delivery that carries a whole order. Raises Rejected.

    `with_facts` also reads what only the row of facts needs.
    """
    raw = decoded(record.body) if with_facts else _order_decoder.decode(record.body)
    shop = record.headers["shop"]
    order_id = exact_id(raw.id, raw.admin_graphql_api_id)
    created = timestamp(raw.created_at, "created_at")
    processed = timestamp(raw.processed_at, "processed_at") or created
    currency = currency_code(raw.currency, "currency") or currency_code(
        mapping(mapping(raw.total_price_set).get("shop_money")).get("currency_code"),
        "total_price_set",
    )
    told = raw.total_price if raw.total_price not in (None, "") else raw.total_price_set
    total = shop_amount(raw.total_price, raw.total_price_set, currency, "total_price")
    # Whole orders have both keys, whatever is in them: this one would wipe out what is known.
    filtered = raw.financial_status is msgspec.UNSET and raw.line_items is msgspec.UNSET
    if order_id is None or processed is None or currency is None or total is None or filtered:
        raise lacking(
            id=order_id,
            created_at=processed,
            currency=currency,
            total_price=told if currency is None else total,
            financial_status=None if filtered else "",
            line_items=None if filtered else "",
        )
    updated = timestamp(raw.updated_at, "updated_at") or processed
    current = shop_amount(
        raw.current_total_price, raw.current_total_price_set, currency, "current_total_price"
    )
    customer = mapping(raw.customer)
    status, cancelled = (
        (text(raw.financial_status) or "").lower(),
        timestamp(raw.cancelled_at, "cancelled_at") is not None,
    )
    refunds = {
        r.id: r
        for r in (
            refund(mapping(item), currency, taxes_included=raw.taxes_included is True)
            for item in sequence(raw.refunds)
        )
        if r is not None
    }
    if current is None:
        current = max(0, total - sum(r.returned for r in refunds.values()))
    name, country, province, detail = facts(raw, currency) if with_facts else NO_FACTS
    return Order(
        shop=shop,
        order_id=order_id,
        version=version_of(record, updated, progress(status, cancelled=cancelled)),
        processed_at=processed,
        created_at=created or processed,
        day=shop_day(processed, zones.get(shop)),
        customer_id=exact_id(customer.get("id"), customer.get("admin_graphql_api_id")),
        email=text(raw.email) or text(raw.contact_email) or text(customer.get("email")),
        currency=currency,
        total=total,
        current_total=current,
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
        name=name,
        country=country,
        province=province,
        detail=detail,
    )


def exact_id(number: Any, gid: Any) -> str | None:
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
    if currency in NEVER_A_SHOP_S:
        raise Rejected(
            "refund_without_shop_money",
            f"it is told in {currency} only; the order's next delivery tells it in shop money",
        )
    found = refund(body, currency, taxes_included=None)
    if found is None:
        raise Rejected("no_refund_id", "the refund has no id")
    return RefundCreated(
        shop=record.headers["shop"], order_id=order_id, refund=found, currency=currency
    )


NEVER_A_SHOP_S = frozenset({"USDC"})
"""Currencies that buyers pay in and no shop counts in (docs/facts/shopify.md, "Orders")."""


def _refund_currency(body: Mapping[str, Any]) -> str | None:
    """A refund names no currency at its top, but wherever it has shop money that says the shop's; else its transactions' is told."""
    told = [
        (entry.get(amount), amount)
        for name, (amount, *_) in (*WORTH, ADJUSTMENTS)
        for entry in map(mapping, sequence(body.get(name)))
    ]
    for amounts, field in (*told, (body.get("total_duties_set"), "total_duties_set")):
        if code := currency_code(
            mapping(mapping(amounts).get("shop_money")).get("currency_code"), field
        ):
            return code
    for transaction in map(mapping, sequence(body.get("transactions"))):
        if code := currency_code(transaction.get("currency"), "transaction currency"):
            return code
    return None


def decode_order(entry: Entry, zones: Zones, *, with_facts: bool = False) -> OrderEvent | None:
    """A record of the topic `orders` as an event; None where policy ignores it. Raises Rejected."""
    return read(entry.record, lambda record: _decode_order(record, zones, with_facts))


WHOLE_ORDERS = frozenset(
    f"orders/{what}"
    for what in ("create", "paid", "updated", "cancelled", "fulfilled", "partially_fulfilled")
)
"""Topics that promise a whole order, however much of it a subscription leaves out."""
OF_AN_ORDER = frozenset({"total_price", "total_price_set", "financial_status"})
"""Keys by one of which an order is known under any other topic."""


def _decode_order(record: Record, zones: Zones, with_facts: bool) -> OrderEvent | None:
    topic = record.headers.get("topic", "")
    if topic in WHOLE_ORDERS:
        return order(record, zones, with_facts=with_facts)
    body = _any_decoder.decode(record.body)
    if topic == "refunds/create":
        return _refund_created(record, body)
    if topic == "customers/merge":
        return _merged(record, body)
    # No header is signed, so an order under another label is an order all the same.
    if not OF_AN_ORDER.isdisjoint(body):
        return order(record, zones, with_facts=with_facts)
    if topic == "orders/delete":
        order_id = exact_id(body.get("id"), body.get("admin_graphql_api_id"))
        if order_id is None:
            raise Rejected("no_order_id", "the deleted order has no id")
        return OrderDeleted(shop=record.headers["shop"], order_id=order_id)
    # orders/edited names changed lines without totals, and the orders/updated beside it carries the
    # whole order; orders/risk_assessment_changed and its like are no orders at all.
    return None


MERGED = "completed"
NOT_MERGED = frozenset({"requested", "in_progress", "failed"})
"""`status` of a customers/merge (shopify.dev: admin-graphql, CustomerMergeRequestStatus)."""


def _merged(record: Record, body: dict[str, Any]) -> CustomersMerged | None:
    """A completed merge; None for one that is under way or failed. A merge is undone by nothing."""
    status = (text(body.get("status")) or "").lower()
    if status in NOT_MERGED:
        return None
    if status != MERGED:
        raise Rejected("no_merge_status", "the merge does not say whether it was carried out")
    kept = identifier(body.get("admin_graphql_api_customer_kept_id"))
    deleted = identifier(body.get("admin_graphql_api_customer_deleted_id"))
    if kept is None or deleted is None:
        raise Rejected("no_customer_id", "the merge does not name both customers")
    return CustomersMerged(shop=record.headers["shop"], kept_id=kept, deleted_id=deleted)
