"""Builds a webhook's body from an order. Personal data only if the shop opted in."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec

from destinations.webhook import bodies
from destinations.webhook.detail import WebhookDetail
from processors.shopify.orders import Order, Refund
from stream.money import amount

PAID, REFUNDED, CANCELLED = "order.paid", "order.refunded", "order.cancelled"
_encoder = msgspec.json.Encoder()


def refund(order: Order, event_id: str) -> Refund:
    """The refund that an event id names."""
    return next(each for each in order.refunds if event_id == f"{order.order_id}:{each.id}")


def payload(
    event_name: str,
    order: Order,
    rest: WebhookDetail,
    include: Collection[str],
    at: datetime,
    event_id: str,
) -> bytes:
    """The body as JSON, the same for every attempt."""
    data = _order(order, rest, include)
    when = _instant(at)
    body: bodies.Body
    if event_name == REFUNDED:
        money = refund(order, event_id)
        given = bodies.RefundData(refund_id=money.id, amount=_money(money.amount, order.currency))
        body = bodies.OrderRefunded(when, bodies.Refunded(**data, refund=given))
    elif event_name == CANCELLED:
        body = bodies.OrderCancelled(
            when,
            bodies.Cancelled(**data, cancelled_at=when, cancel_reason=rest.cancel_reason),
        )
    else:
        body = bodies.OrderPaid(when, bodies.OrderData(**data))
    return _encoder.encode(body)


def _order(order: Order, rest: WebhookDetail, include: Collection[str]) -> dict[str, Any]:
    known = {
        "customer_id": order.customer_id,
        "email": order.email,
        "phone": rest.phone,
        "name": rest.full_name,
    }
    wanted = {name: value for name, value in known.items() if name in include and value}
    return {
        "shop": order.shop,
        "order_id": order.order_id,
        "order_name": rest.order_name,
        "created_at": _instant(order.created_at),
        "processed_at": _instant(order.processed_at),
        "financial_status": order.financial_status,
        "total": _money(order.total, order.currency),
        "current_total": _money(order.current_total, order.currency),
        "source_name": order.source_name,
        "country_code": rest.country_code,
        "items": list(rest.items),
        "customer": bodies.Customer(**wanted) if wanted else None,
    }


def _money(units: int, currency: str) -> bodies.MoneyData:
    return bodies.MoneyData(amount(units, currency), currency)


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
