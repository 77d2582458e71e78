"""Reads a record of Shopify Events: a whole order, a refund, a deletion, or a part of one.

A body is recognised by `action` with `query_variables`, whatever its headers say
(docs/facts/shopify.md, "Shopify Events"). Backfill, reconcile and refetch append records of the
same shape.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from processors.shopify.graphql.orders import order
from processors.shopify.graphql.refunds import refund
from processors.shopify.graphql.values import Json, cut_short, nodes
from processors.shopify.tolerance import identifier, mapping

ORDER, REFUND = "Order", "Refund"
TOPICS = frozenset({ORDER, REFUND})
NO_DATA = "no_data"
QUERY_ERRORS = "query_errors"
CUT_SHORT = "cut_short"


class Content(NamedTuple):
    """What a body came to."""

    topic: str
    """`Order` or `Refund`; another topic of Events where it is neither."""
    action: str
    order_id: str | None
    gid: str
    """Of the order or refund that it is about; "" where it names none."""
    body: Json | None
    """In the classic shape; None where the body brings no order and no refund."""
    lacking: str
    """`no_data`, `query_errors` or `cut_short` where the whole has to be fetched, else ""."""
    offset_known: bool
    """Whether the shop's time zone is known; else times are in UTC."""


def is_event(body: Mapping[str, Any]) -> bool:
    """Whether a body is one of Shopify Events."""
    return "action" in body and isinstance(body.get("query_variables"), dict)


def content(body: Mapping[str, Any], zone: ZoneInfo | None) -> Content:
    """What a body of Shopify Events is about. Never raises.

    `zone` is the shop's where one is set, else the body's own `data.shop.ianaTimezone` counts.
    """
    topic, action = str(body.get("topic")), str(body.get("action"))
    variables, data = mapping(body.get("query_variables")), mapping(body.get("data"))
    zone = zone or _zone(mapping(data.get("shop")).get("ianaTimezone"))
    given_order, given_refund = mapping(data.get("order")), mapping(data.get("refund"))
    if topic == REFUND:
        order_gid = mapping(given_refund.get("order")).get("id") or variables.get("orderId")
        gid, given = variables.get("refundId") or given_refund.get("id"), given_refund
    else:
        order_gid = gid = variables.get("orderId") or given_order.get("id")
        given = given_order
    currency = mapping(given_refund.get("order")).get("currencyCode")
    written = None
    if given and topic in TOPICS:
        written = (
            refund(given, order_gid, currency, zone) if topic == REFUND else order(given, zone)
        )
    return Content(
        topic=topic,
        action=action,
        order_id=identifier(order_gid),
        gid=gid if isinstance(gid, str) else "",
        body=written,
        lacking=_lacking(body, given, action) if topic in TOPICS else "",
        offset_known=zone is not None,
    )


def _lacking(body: Mapping[str, Any], given: Json, action: str) -> str:
    if action == "delete":
        return ""
    if body.get("query_errors"):
        return QUERY_ERRORS
    if not given:
        return NO_DATA
    lists = [given.get("lineItems"), given.get("refundLineItems")]
    lists += [each.get("refundLineItems") for each in nodes(given.get("refunds") or [])]
    return CUT_SHORT if any(map(cut_short, lists)) else ""


def _zone(name: Any) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if isinstance(name, str) and name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
