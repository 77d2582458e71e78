"""Chooses topic and key of the log for a Shopify delivery (docs/architecture.md, "Topics and
keys"). The unsigned topic header only selects the rule; every id comes from the body. A delivery
without a rule or an id is parked, never refused, since a 4xx would make Shopify delete the
subscription."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from ingest.receiver.outcome import Outcome
from stream.lenient_json import mended

EMPTY = "empty_body"
MALFORMED = "malformed_json"
NOT_AN_OBJECT = "not_an_object"
UNKNOWN_TOPIC = "unknown_topic"

UNDECODABLE = frozenset({EMPTY, MALFORMED, NOT_AN_OBJECT})
"""Reasons that are the sender's fault (400); every other reason is answered 200."""

OTHER = "other"
"""The label of topics without a rule: a metric's labels must not be the sender's to invent."""

LONGEST_ID = 255

Id = int | str | None


class _Customer(msgspec.Struct, gc=False):
    id: Id = None


class _OrderEdit(msgspec.Struct, gc=False):
    order_id: Id = None


class _Variables(msgspec.Struct, gc=False, rename="camel"):
    order_id: Id = None
    refund_id: Id = None


class _EventOrder(msgspec.Struct, gc=False):
    id: Id = None
    customer: _Customer | None = None


class _EventRefund(msgspec.Struct, gc=False):
    order: _EventOrder | None = None


class _Data(msgspec.Struct, gc=False):
    order: _EventOrder | None = None
    refund: _EventRefund | None = None


class Ids(msgspec.Struct, gc=False):
    """The fields of a Shopify body that the receiver reads.

    msgspec checks the JSON but builds nothing else of it: 3 us against 11 us of `orjson.loads` for
    an order of 4 kB, 9 against 32 for one of 11 kB.
    """

    id: Id = None
    order_id: Id = None
    token: Id = None
    cart_token: Id = None
    customer: _Customer | None = None
    order_edit: _OrderEdit | None = None
    admin_graphql_api_customer_kept_id: Id = None
    fields_changed: Any = None
    topic: Id = None
    action: Id = None
    query_variables: _Variables | None = None
    data: _Data | None = None

    @property
    def is_event(self) -> bool:
        """Whether the body is one of Shopify Events; headers do not say it (docs/facts/shopify.md,
        "Headers")."""
        return self.action is not None and self.query_variables is not None


class LogRoute(NamedTuple):
    """Topic and key in the log, and the metrics label; `reason` is empty unless the topic is
    `parked`."""

    topic: str
    key: str
    label: str
    reason: str = ""
    event_topic: str = ""
    """What a body of Shopify Events calls its topic; "" for a classic webhook."""


class _Rule(NamedTuple):
    topic: str
    key: Callable[[Ids], str]
    missing: str


def _text(value: Id) -> str:
    return "" if value is None or len(text := str(value)) > LONGEST_ID else text


def _order_key(ids: Ids) -> str:
    """The customer's id, so that a customer's orders stay together; a guest order's own id."""
    if ids.customer is not None and (customer := _text(ids.customer.id)):
        return customer
    return _text(ids.id) or _text(ids.order_id)


def _edited_key(ids: Ids) -> str:
    return _text(ids.order_edit.order_id) if ids.order_edit is not None else ""


def _kept_customer(ids: Ids) -> str:
    return _text(ids.admin_graphql_api_customer_kept_id).rpartition("/")[2]


def _order_of_refund(ids: Ids) -> str:
    return _text(ids.order_id)


def _checkout_token(ids: Ids) -> str:
    """`checkouts/delete` may have only `id` and `cart_token` (docs/facts/shopify.md, "API
    versions")."""
    return _text(ids.token) or _text(ids.cart_token) or _text(ids.id)


def _tail(gid: Id) -> str:
    """The number in `gid://shopify/Order/1?x=y`."""
    return _text(gid).rpartition("/")[2].partition("?")[0]


def _event_order_key(ids: Ids) -> str:
    """As `_order_key`: the customer's id where the query brought it, else the order's."""
    given = ids.data.order if ids.data is not None else None
    if given is not None and given.customer is not None and (customer := _tail(given.customer.id)):
        return customer
    return _tail(ids.query_variables.order_id) if ids.query_variables is not None else ""


def _event_refund_key(ids: Ids) -> str:
    """Its order's id, else its own: `query_variables` names the refund."""
    given = ids.data.refund if ids.data is not None else None
    variables = ids.query_variables or _Variables()
    order_id = given.order.id if given is not None and given.order is not None else None
    return _tail(order_id) or _tail(variables.order_id) or _tail(variables.refund_id)


_ORDER = _Rule("orders", _order_key, "no_order_id")
_REFUND = _Rule("orders", _order_of_refund, "no_order_id")
_CHECKOUT = _Rule("checkouts", _checkout_token, "no_checkout_token")
_CART = _Rule("checkouts", lambda ids: _text(ids.token) or _text(ids.id), "no_cart_token")
_PRIVACY = _Rule("privacy", lambda _: "privacy", "")

RULES = {
    "orders/create": _ORDER,
    "orders/paid": _ORDER,
    "orders/updated": _ORDER,
    "orders/cancelled": _ORDER,
    "orders/fulfilled": _ORDER,
    "orders/partially_fulfilled": _ORDER,
    "orders/delete": _ORDER,
    "orders/edited": _Rule("orders", _edited_key, "no_order_id"),
    "orders/*": _ORDER,
    "refunds/create": _REFUND,
    "refunds/*": _REFUND,
    "customers/merge": _Rule("orders", _kept_customer, "no_customer_id"),
    "checkouts/create": _CHECKOUT,
    "checkouts/update": _CHECKOUT,
    "checkouts/delete": _CHECKOUT,
    "checkouts/*": _CHECKOUT,
    "carts/create": _CART,
    "carts/update": _CART,
    "carts/*": _CART,
    "customers/redact": _PRIVACY,
    "customers/data_request": _PRIVACY,
    "shop/redact": _PRIVACY,
    "app/uninstalled": _PRIVACY,
}
"""By Shopify's topic name; `family/*` stands for whatever else its family brings."""
EVENT_RULES = {
    "Order": _Rule("orders", _event_order_key, "no_order_id"),
    "Refund": _Rule("orders", _event_refund_key, "no_order_id"),
}
"""The same for Shopify Events."""


def outcome_of(reason: str) -> Outcome:
    """The outcome of a delivery parked for `reason`; ACCEPTED if `reason` is empty."""
    if not reason:
        return Outcome.ACCEPTED
    return Outcome.UNDECODABLE if reason in UNDECODABLE else Outcome.PARKED


def route(shop: str, topic: str, body: bytes) -> LogRoute:
    """The route of a delivery of `shop` on Shopify's `topic`. Total: any bytes and any topic have
    one."""
    ids = read_ids(body)
    if not isinstance(ids, str) and ids.is_event:
        return _event_route(shop, topic, ids)
    label = topic
    rule = RULES.get(topic)
    if rule is None:
        label = topic.partition("/")[0] + "/*"
        rule = RULES.get(label)
    if isinstance(ids, str):
        return LogRoute("parked", shop, OTHER if rule is None else label, ids)
    if rule is None or ids.fields_changed is not None:
        return LogRoute("parked", shop, OTHER, UNKNOWN_TOPIC)
    key = rule.key(ids)
    if not key and label in RULES and label != topic:
        # A new topic of a known family may be no order and no cart: the processors decide.
        key = label
    if not key:
        return LogRoute("parked", shop, label, rule.missing)
    return LogRoute(rule.topic, f"{shop}:{key}", label)


def _event_route(shop: str, topic: str, ids: Ids) -> LogRoute:
    topic = _text(ids.topic) or topic
    rule = EVENT_RULES.get(topic)
    if rule is None:
        return LogRoute("parked", shop, OTHER, UNKNOWN_TOPIC, topic)
    if not (key := rule.key(ids)):
        return LogRoute("parked", shop, topic, rule.missing, topic)
    return LogRoute(rule.topic, f"{shop}:{key}", topic, event_topic=topic)


_decoder = msgspec.json.Decoder(Ids)


def read_ids(body: bytes) -> Ids | str:
    """The ids in `body`, or the reason why it has none (one of `UNDECODABLE`)."""
    if not body:
        return EMPTY
    try:
        if not body.isascii():
            # JSON is UTF-8 (RFC 8259, 8.1), and msgspec skips text that it does not build.
            body.decode()
        return _decoder.decode(body)
    except (ValueError, RecursionError):
        return _read_tolerantly(body)


def _read_tolerantly(body: bytes) -> Ids | str:
    """Read again with odd types (`customer: []`, an id as a string) and odd text allowed.

    Refusing them would be worse: the body never changes, and eight refusals cost the subscription.
    """
    try:
        value = msgspec.json.decode(mended(body))
    except (ValueError, RecursionError):
        return MALFORMED
    if not isinstance(value, dict):
        return NOT_AN_OBJECT

    def within(holder: object, name: str) -> object:
        return holder.get(name) if isinstance(holder, dict) else None

    def id_in(holder: object, name: str) -> Id:
        found = within(holder, name)
        return found if isinstance(found, int | str) and not isinstance(found, bool) else None

    def order_in(holder: object) -> _EventOrder:
        given = within(holder, "order")
        return _EventOrder(id_in(given, "id"), _Customer(id_in(within(given, "customer"), "id")))

    variables, data = value.get("query_variables"), value.get("data")
    return Ids(
        id=id_in(value, "id"),
        order_id=id_in(value, "order_id"),
        token=id_in(value, "token"),
        cart_token=id_in(value, "cart_token"),
        customer=_Customer(id_in(value.get("customer"), "id")),
        order_edit=_OrderEdit(id_in(value.get("order_edit"), "order_id")),
        admin_graphql_api_customer_kept_id=id_in(value, "admin_graphql_api_customer_kept_id"),
        fields_changed=value.get("fields_changed"),
        topic=id_in(value, "topic"),
        action=id_in(value, "action"),
        query_variables=_Variables(id_in(variables, "orderId"), id_in(variables, "refundId"))
        if isinstance(variables, dict)
        else None,
        data=_Data(order_in(data), _EventRefund(order_in(within(data, "refund")))),
    )
