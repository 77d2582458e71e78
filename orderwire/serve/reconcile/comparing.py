"""Finds the orders of the Admin API whose present state no webhook has delivered, and the webhook
that should have."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from processors.orders.row import SETTLED
from stream.store.contract import Entities, Reading

HOUR_S = 3_600


class Missed(NamedTuple):
    """Columns of `missed_order`, of which the first three are its key."""

    shop: str
    order_id: str
    updated_us: int
    """The state that was missed."""
    topic: str
    """The webhook that would have brought it."""
    hour_s: int
    """The hour of the change, Unix seconds."""
    found_s: int


MISSED = Entities("missed_order", Missed, 3)


def missed(
    reading: Reading, shop: str, orders: Sequence[dict[str, Any]], now_s: int
) -> dict[str, Missed]:
    """By global id, those of `orders` that are newer than what is known of them."""
    ids = [number(order) for order in orders]
    if not ids:
        return {}
    known = SETTLED.by_id(reading, shop, ids)
    found: dict[str, Missed] = {}
    for order in orders:
        row, updated_us = known.get(number(order)), micros(order["updatedAt"])
        # Webhooks carry whole seconds, as the Admin API does.
        if row is not None and (row.deleted or row.updated_us >= updated_us):
            continue
        changed_us = micros(order["createdAt"]) if row is None else updated_us
        hour_s = changed_us // 1_000_000 // HOUR_S * HOUR_S
        found[order["id"]] = Missed(
            shop, number(order), updated_us, _topic(row, order), hour_s, now_s
        )
    return found


def number(order: dict[str, Any]) -> str:
    """The id as classic bodies have it."""
    return str(order["id"]).rpartition("/")[2].partition("?")[0]


def micros(moment: str) -> int:
    """Unix microseconds."""
    return int(datetime.fromisoformat(moment).timestamp()) * 1_000_000


def _topic(row: Any, order: dict[str, Any]) -> str:
    if row is None or row.updated_us < 0:
        return "orders/create"
    if order.get("cancelledAt") and not row.cancelled:
        return "orders/cancelled"
    listed = {number(refund) for refund in order.get("refunds") or ()}
    if listed - {key.partition(" ")[0] for key in json.loads(row.refunds or "{}")}:
        return "refunds/create"
    if order.get("displayFinancialStatus") == "PAID" and row.financial_status != "paid":
        return "orders/paid"
    return "orders/updated"
