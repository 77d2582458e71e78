"""Computes only from the deliveries what must be true once all of them have been processed.

It shares no code with processors/, so that each number has two derivations (docs/architecture.md,
"Entities and versions"; docs/facts/analytics.md, "Which orders count").
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import orjson

from simulator.shop.delivery import Delivery
from simulator.shop.mangle import PARKED, REFUSED
from stream.money import minor

ORDER_TOPICS = frozenset(
    f"orders/{what}"
    for what in (
        "create",
        "paid",
        "updated",
        "cancelled",
        "fulfilled",
        "partially_fulfilled",
        "delete",
    )
)
Json = dict[str, Any]


class ExpectedOrder(NamedTuple):
    """An order's final state; money in minor units of `currency`.

    - An order is its newest state, by `updated_at`, then the time its delivery was triggered, then
      the body's digest.
    - It counts unless it is test, cancelled, voided or deleted; refunds only lower its money.
    - A refund moved the sum of its successful refund transactions. If the newest state has the
      refund, returned goods are no longer in `current_total_price`, and only the money beyond their
      worth is subtracted; if it does not, all of the money is.
    """

    order_id: str
    counted: bool
    net: int
    """What the shop keeps of it; 0 where it does not count."""
    total: int
    currency: str
    day: date
    """In the shop's offset, as its times carry it."""
    customer_id: str | None
    email_sha256: str | None
    """Of the trimmed, lower-cased address: identifies guests."""
    paid: bool
    """The newest state is paid for, refunded parts or not."""
    ever_paid: bool
    """Some delivered state was paid, not test and not cancelled."""
    cancelled: bool
    test: bool
    financial_status: str
    source_name: str
    landing_site: str | None
    checkout_token: str | None
    processed_at: datetime


class ExpectedCheckout(NamedTuple):
    token: str
    completed: bool
    """By its own `completed_at`, or by an order that names it."""
    total: int
    currency: str
    """The buyer's, in which a checkout has its prices."""
    updated_at: datetime


class _State(NamedTuple):
    version: tuple[datetime, str, str]
    body: Json


def _is_reported(delivery: Delivery) -> bool:
    return delivery.kind not in PARKED and delivery.kind not in REFUSED


def _version(delivery: Delivery, body: Json) -> tuple[datetime, str, str]:
    return (
        datetime.fromisoformat(body["updated_at"]).astimezone(UTC),
        delivery.triggered_at,
        sha256(delivery.body).hexdigest()[:16],
    )


def expected_orders(deliveries: Iterable[Delivery]) -> dict[str, ExpectedOrder]:
    """By order id, every order of which a state was delivered. Deliveries labelled as broken are
    skipped."""
    newest: dict[str, _State] = {}
    paid: set[str] = set()
    refunds: dict[str, dict[str, Json]] = {}
    deleted: set[str] = set()
    for delivery in deliveries:
        if not _is_reported(delivery):
            continue
        if delivery.topic == "refunds/create":
            refund = orjson.loads(delivery.body)
            refunds.setdefault(str(refund["order_id"]), {})[str(refund["id"])] = refund
        elif delivery.topic == "orders/delete":
            deleted.add(str(orjson.loads(delivery.body)["id"]))
        elif delivery.topic in ORDER_TOPICS:
            body = orjson.loads(delivery.body)
            order_id = str(body["id"])
            state = _State(_version(delivery, body), body)
            if order_id not in newest or state.version > newest[order_id].version:
                newest[order_id] = state
            for refund in body["refunds"]:
                refunds.setdefault(order_id, {})[str(refund["id"])] = refund
            if (
                body["financial_status"] in ("paid", "partially_refunded", "refunded")
                and not body["test"]
                and not body["cancelled_at"]
            ):
                paid.add(order_id)
    return {
        order_id: _expected(
            order_id,
            state.body,
            refunds.get(order_id, {}),
            ever_paid=order_id in paid,
            deleted=order_id in deleted,
        )
        for order_id, state in newest.items()
    }


def _expected(
    order_id: str, body: Json, refunds: dict[str, Json], *, ever_paid: bool, deleted: bool
) -> ExpectedOrder:
    currency = body["currency"]
    known = {str(refund["id"]) for refund in body["refunds"]}
    net = minor(body["current_total_price"], currency)
    for refund_id, refund in refunds.items():
        net -= max(
            0,
            _moved(refund, currency) - (_came_back(refund, currency) if refund_id in known else 0),
        )
    customer = body.get("customer") or {}
    email = (
        (body.get("email") or body.get("contact_email") or customer.get("email") or "")
        .strip()
        .lower()
    )
    status, cancelled = body["financial_status"], body["cancelled_at"] is not None
    counted = not (body["test"] or cancelled or status == "voided" or deleted)
    processed = datetime.fromisoformat(body["processed_at"])
    return ExpectedOrder(
        order_id=order_id,
        counted=counted,
        net=max(0, net) if counted else 0,
        total=minor(body["total_price"], currency),
        currency=currency,
        day=processed.date(),
        customer_id=str(customer["id"]) if customer else None,
        email_sha256=sha256(email.encode()).hexdigest() if email else None,
        paid=status in ("paid", "partially_refunded", "refunded"),
        ever_paid=ever_paid,
        cancelled=cancelled,
        test=body["test"],
        financial_status=status,
        source_name=body["source_name"],
        landing_site=body["landing_site"],
        checkout_token=body["checkout_token"],
        processed_at=processed,
    )


def _moved(refund: Json, currency: str) -> int:
    done = (
        one
        for one in refund["transactions"]
        if one["kind"] == "refund" and one["status"] == "success"
    )
    return sum(minor(one["amount"], currency) for one in done)


def _came_back(refund: Json, currency: str) -> int:
    """Worth of the goods and the shipping that a refund removed from its order, taxes included."""
    amounts = [
        line[name]
        for line in refund["refund_line_items"]
        for name in ("subtotal_set", "total_tax_set")
    ]
    amounts += [line["subtotal_amount_set"] for line in refund["refund_shipping_lines"]]
    return sum(minor(one["shop_money"]["amount"], currency) for one in amounts)


def purchase(order: ExpectedOrder, now: datetime) -> Literal["must", "may", "must_not"]:
    """Whether Meta should have a Purchase of it by `now` (trigger `paid`).

    `may`: it depends on which of its states arrived first, or, for drafts, on a setting.
    """
    age = now - order.processed_at
    if (
        not order.ever_paid
        or order.test
        or age > timedelta(days=62 if order.source_name == "pos" else 7)
    ):
        return "must_not"
    return (
        "must"
        if order.financial_status in ("paid", "partially_refunded")
        and order.counted
        and order.source_name == "web"
        else "may"
    )


def expected_checkouts(deliveries: Iterable[Delivery]) -> dict[str, ExpectedCheckout]:
    """By checkout token, every checkout of which a state was delivered."""
    newest: dict[str, _State] = {}
    done: set[str | None] = set()
    for delivery in deliveries:
        if not _is_reported(delivery):
            continue
        if delivery.topic in ("checkouts/create", "checkouts/update"):
            body = orjson.loads(delivery.body)
            state = _State(_version(delivery, body), body)
            if body["token"] not in newest or state.version > newest[body["token"]].version:
                newest[body["token"]] = state
            if body["completed_at"]:
                done.add(body["token"])
        elif delivery.topic in ORDER_TOPICS and delivery.topic != "orders/delete":
            done.add(orjson.loads(delivery.body)["checkout_token"])
    return {
        token: ExpectedCheckout(
            token,
            token in done,
            minor(body["total_price"], body["presentment_currency"]),
            body["presentment_currency"],
            datetime.fromisoformat(body["updated_at"]),
        )
        for token, (_, body) in newest.items()
    }
