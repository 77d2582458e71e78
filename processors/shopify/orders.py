"""Decodes records of the topic `orders` into typed events, or raises Rejected. The body decides the
state; the topic label is not signed and only says which shape to expect."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from processors.shopify.facts import facts
from processors.shopify.graphql.envelope import (
    CUT_SHORT,
    NO_DATA,
    QUERY_ERRORS,
    REFUND,
    content,
    is_event,
)
from processors.shopify.raw_order import RawAmounts, RawCustomer, RawOrder, read_order, shop_side
from processors.shopify.reading import read
from processors.shopify.refunds import FIELD, refund, refund_currency
from processors.shopify.refunds import Refund as Refund
from processors.shopify.tolerance import (
    Rejected,
    bounded,
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
from processors.shopify.version import Version, progress, sortable, version_of
from stream.record import Entry, Record


class Lacking(NamedTuple):
    """A delivery of Shopify Events that came without its order or refund, or with a part of it."""

    gid: str
    """Of the order or refund to fetch, as the Admin API names it."""
    why: str
    """`no_data`, `query_errors` or `cut_short` (`processors/shopify/graphql/envelope.py`)."""
    triggered: str
    """As `Version.triggered`: a whole state that was triggered no earlier has what this lacks."""
    received_ms: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order in the state of one delivery. Money in minor units of `currency`, the shop's.
    `destinations` read the rest (addresses, items, attributes) from `raw`."""

    shop: str
    order_id: str
    version: Version
    processed_at: datetime
    """When the order was made (imports keep their own time, so not when Shopify created it)."""
    created_at: datetime
    day: int
    """Shop's day of `processed_at`, days since 1970-01-01."""
    offset_s: int = 0
    """How many seconds the shop was ahead of UTC then; it is that of `day`."""
    customer_id: str | None
    email: str | None
    currency: str
    total: int
    """Original total; not reduced by refunds."""
    current_total: int
    """After edits and returns; where the payload has none, `total` without what its refunds
    returned."""
    financial_status: str
    test: bool
    cancelled: bool
    refunds: tuple[Refund, ...]
    """The refunds that this state of the order already knows."""
    checkout_token: str | None
    cart_token: str | None
    landing_site: str | None
    source_name: str | None
    raw: RawOrder
    """The body as it was read."""
    body: bytes
    received_ms: int
    name: str = ""
    """This and the next three are for the row of facts only, and empty before `with_facts`
    (`processors/shopify/facts.py`)."""
    country: str = ""
    province: str = ""
    detail: bytes = b""
    offset_known: bool = True
    """Whether its times carry the shop's offset; GraphQL's do not where no time zone is known."""
    lacking: Lacking | None = None
    """What this state of the order lacks, so that the whole has to be fetched."""

    @property
    def cut_short(self) -> bool:
        """Whether it has more lines than the delivery brought."""
        return self.lacking is not None and self.lacking.why == CUT_SHORT


class RefundCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A refund from refunds/create; it may come before its order."""

    shop: str
    order_id: str
    refund: Refund
    currency: str | None
    """That of the refund's amounts: the shop's if the refund has it, else the one in which the
    buyer was paid."""
    lacking: Lacking | None = None
    """As `Order.lacking`, of the refund."""


class OrderDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """orders/delete: final, ids are not used again."""

    shop: str
    order_id: str


class CustomersMerged(msgspec.Struct, frozen=True, kw_only=True):
    """customers/merge: everything of `deleted_id` is `kept_id`'s from now on."""

    shop: str
    kept_id: str
    deleted_id: str


class Incomplete(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery of Shopify Events that says which order or refund changed, and not how."""

    shop: str
    lacking: Lacking


OrderEvent = Order | RefundCreated | OrderDeleted | CustomersMerged | Incomplete
Zones = Mapping[str, ZoneInfo]
"""Time zone of each shop that has one configured."""


_any_decoder = msgspec.json.Decoder(dict[str, Any])
_NOBODY = RawCustomer()


def shop_amount(
    plain: Any, amounts: RawAmounts | None, currency: str | None, field: str
) -> int | None:
    """An amount in shop money: the plain field, else `<field>_set.shop_money`
    (docs/facts/shopify.md, "Orders")."""
    if plain in (None, "") and (given := shop_side(amounts)) is not None:
        plain = given.amount
    return None if currency is None else money(plain, currency, field)


def with_facts(order: Order) -> Order:
    """The order with what only the row of facts needs."""
    name, country, province, detail = facts(order.raw, order.currency)
    return msgspec.structs.replace(
        order, name=name, country=country, province=province, detail=detail
    )


def order(record: Record, zones: Zones) -> Order:
    """Decode any delivery with a whole order. Raises Rejected."""
    raw = read_order(record.body)
    shop = record.headers["shop"]
    order_id = exact_id(raw.id, raw.admin_graphql_api_id)
    created = timestamp(raw.created_at, "created_at")
    processed = timestamp(raw.processed_at, "processed_at") or created
    currency = currency_code(raw.currency, "currency")
    if currency is None and (given := shop_side(raw.total_price_set)) is not None:
        currency = currency_code(given.currency_code, "total_price_set")
    total_price = raw.total_price if raw.total_price not in (None, "") else raw.total_price_set
    total = shop_amount(raw.total_price, raw.total_price_set, currency, "total_price")
    # Whole orders have the key, whatever is in it. Without it nobody knows whether the order is
    # paid, so no projection may count or send it. Without lines it counts, and is sent without
    # `contents`.
    filtered = raw.financial_status is msgspec.UNSET
    if order_id is None or processed is None or currency is None or total is None or filtered:
        raise lacking(
            id=order_id,
            created_at=processed,
            currency=currency,
            total_price=total_price if currency is None else total,
            financial_status=None if filtered else "",
            line_items=None if filtered and raw.line_items is msgspec.UNSET else "",
        )
    updated = timestamp(raw.updated_at, "updated_at") or processed
    current = shop_amount(
        raw.current_total_price, raw.current_total_price_set, currency, "current_total_price"
    )
    customer = raw.customer or _NOBODY
    status, cancelled = (
        (text(raw.financial_status) or "").lower(),
        timestamp(raw.cancelled_at, "cancelled_at") is not None,
    )
    refunds = _refunds(raw, currency) if raw.refunds else {}
    if current is None:
        current = max(0, total - sum(r.returned for r in refunds.values()))
    day, offset_s = shop_day(processed, zones.get(shop))
    return Order(
        shop=shop,
        order_id=order_id,
        version=version_of(record, updated, progress(status, cancelled=cancelled)),
        processed_at=processed,
        created_at=created or processed,
        day=day,
        offset_s=offset_s,
        customer_id=exact_id(customer.id, customer.admin_graphql_api_id),
        email=text(raw.email) or text(raw.contact_email) or text(customer.email),
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
        raw=raw,
        body=record.body,
        received_ms=record.time_ms,
    )


def _refunds(raw: RawOrder, currency: str) -> dict[str, Refund]:
    """By id. Raises Rejected."""
    written = [
        refund(mapping(item), currency, taxes_included=raw.taxes_included is True)
        for item in sequence(raw.refunds)
    ]
    found = {each.id: each for each in written if each is not None}
    bounded(sum(each.amount for each in found.values()), FIELD)
    return found


EXACT: Final = 1 << 53


def exact_id(number: Any, gid: Any) -> str | None:
    """An id that a JavaScript hop has rounded (..500 for ..508, beyond 2**53) is still exact in the
    gid string beside it."""
    if type(number) is int and 0 < number <= EXACT:
        return str(number)
    plain = identifier(number)
    if plain is not None and int(plain) <= EXACT:
        return plain
    return identifier(gid) or plain


def _refund_created(record: Record, body: dict[str, Any]) -> RefundCreated:
    order_id = identifier(body.get("order_id"))
    if order_id is None:
        raise Rejected("no_order_id", "the refund names no order_id")
    currency = refund_currency(body)
    if currency in NEVER_A_SHOP_S:
        raise Rejected(
            "refund_without_shop_money",
            f"it is in {currency} only; the order's next delivery has it in shop money",
        )
    found = refund(body, currency, taxes_included=None)
    if found is None:
        raise Rejected("no_refund_id", "the refund has no id")
    return RefundCreated(
        shop=record.headers["shop"], order_id=order_id, refund=found, currency=currency
    )


NEVER_A_SHOP_S = frozenset({"USDC"})
"""Currencies that buyers pay in and no shop counts in (docs/facts/shopify.md, "Orders")."""


def decode_order(entry: Entry, zones: Zones) -> OrderEvent | None:
    """A record of the topic `orders` as an event; None if policy ignores it. Raises Rejected."""
    return read(entry.record, lambda record: _decode_order(record, zones))


def decode_with_facts(entry: Entry, zones: Zones) -> OrderEvent | None:
    """As `decode_order`, an order with what only the row of facts needs."""
    event = decode_order(entry, zones)
    return with_facts(event) if isinstance(event, Order) else event


WHOLE_ORDERS = frozenset(
    f"orders/{what}"
    for what in ("create", "paid", "updated", "cancelled", "fulfilled", "partially_fulfilled")
)
"""Topics that promise a whole order, however much of it a subscription leaves out."""
OF_AN_ORDER = frozenset({"total_price", "total_price_set", "financial_status"})
"""Keys by one of which an order is known under any other topic."""


def _decode_order(record: Record, zones: Zones) -> OrderEvent | None:
    topic = record.headers.get("topic", "")
    if topic in WHOLE_ORDERS:
        return order(record, zones)
    body = _any_decoder.decode(record.body)
    if topic == "refunds/create":
        return _refund_created(record, body)
    if topic == "customers/merge":
        return _merged(record, body)
    # No header is signed, so an order under another label is an order all the same.
    if is_event(body):
        return _of_events(record, body, zones)
    if not OF_AN_ORDER.isdisjoint(body):
        return order(record, zones)
    if topic == "orders/delete":
        order_id = exact_id(body.get("id"), body.get("admin_graphql_api_id"))
        if order_id is None:
            raise Rejected("no_order_id", "the deleted order has no id")
        return OrderDeleted(shop=record.headers["shop"], order_id=order_id)
    # orders/edited names changed lines without totals, and the orders/updated beside it carries the
    # whole order; orders/risk_assessment_changed and its like are no orders at all.
    return None


ORIGINS = frozenset({"backfill", "reconcile", "refetch"})
"""Header `origin` of records that orderwire asked Shopify for: nothing more is to be had there."""


def _of_events(record: Record, body: dict[str, Any], zones: Zones) -> OrderEvent | None:
    """A delivery of Shopify Events, or a record in its shape. What lacks something is never parked
    but marked, so that the whole is fetched."""
    shop = record.headers["shop"]
    found = content(body, zones.get(shop))
    if found.action == "delete" and found.topic == "Order":
        if found.order_id is None:
            raise Rejected("no_order_id", "the deleted order is not named in query_variables")
        return OrderDeleted(shop=shop, order_id=found.order_id)
    if found.topic not in ("Order", REFUND) or found.action == "delete":
        return None
    asked = record.headers.get("origin") in ORIGINS
    triggered = sortable(record.headers.get("triggered_at", ""))
    lacking = Lacking(found.gid, found.lacking or NO_DATA, triggered, record.time_ms)
    incomplete = bool(found.lacking) and not asked
    try:
        if found.body is None:
            raise Rejected("no_order_data", "the body holds no order")
        if found.topic == REFUND:
            event = _refund_created(record, found.body)
            return msgspec.structs.replace(event, lacking=lacking if incomplete else None)
        translated = msgspec.structs.replace(record, body=msgspec.json.encode(found.body))
        whole = order(translated, zones)
    except Rejected as rejected:
        if asked:
            raise
        if not found.gid:
            raise Rejected("no_order_id", "query_variables names no order") from rejected
        return Incomplete(shop=shop, lacking=lacking)
    version = whole.version
    if incomplete and lacking.why == QUERY_ERRORS:
        # Some fields are null for lack of a scope: any other state of the same second is better.
        version = version._replace(triggered="")
    return msgspec.structs.replace(
        whole,
        version=version,
        lacking=lacking if incomplete else None,
        offset_known=found.offset_known,
    )


MERGED = "completed"
NOT_MERGED = frozenset({"requested", "in_progress", "failed"})
"""`status` of a customers/merge (shopify.dev: admin-graphql, CustomerMergeRequestStatus)."""


def _merged(record: Record, body: dict[str, Any]) -> CustomersMerged | None:
    """A completed merge; None for one that is under way or failed. A merge is never undone."""
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
