"""Writes a refund of the Admin API as the refund object of classic webhooks.

A list of refunds with totals only becomes refunds that gave money and took back nothing known; the
refund's own delivery completes it.
"""

from typing import Any

from processors.shopify.graphql.values import (
    Json,
    local,
    lower,
    money_set,
    nodes,
    number,
    plain,
)
from processors.shopify.tolerance import mapping


def refund(given: Json, order_gid: Any, currency: Any, zone: Any) -> Json:
    """The refund object; `currency` is the shop's, `zone` its time zone or None."""
    written: Json = {
        "id": number(given.get("id")),
        "admin_graphql_api_id": given.get("id"),
        "order_id": number(order_gid),
        "created_at": local(given.get("createdAt"), zone),
        "processed_at": local(given.get("processedAt"), zone),
        "refund_line_items": [
            _line(each, currency)
            for each in nodes(given.get("allLines") or given.get("refundLineItems"))
        ],
        "refund_shipping_lines": [
            {
                "subtotal_amount_set": money_set(each.get("subtotalAmountSet"), currency),
                "tax_amount_set": money_set(each.get("taxAmountSet"), currency),
            }
            for each in nodes(given.get("refundShippingLines"))
        ],
        "order_adjustments": [
            {
                "amount_set": money_set(each.get("amountSet"), currency),
                "tax_amount_set": money_set(each.get("taxAmountSet"), currency),
            }
            for each in nodes(given.get("orderAdjustments"))
        ],
        "transactions": _transactions(given, currency),
    }
    return written


def _line(line: Json, currency: Any) -> Json:
    subtotal = money_set(line.get("subtotalSet"), currency)
    tax = money_set(line.get("totalTaxSet"), currency)
    return {
        "line_item_id": number(mapping(line.get("lineItem")).get("id")),
        "quantity": line.get("quantity"),
        "subtotal": plain(subtotal),
        "subtotal_set": subtotal,
        "total_tax": plain(tax),
        "total_tax_set": tax,
    }


def _transactions(given: Json, currency: Any) -> list[Json]:
    """In shop money, which classic webhooks do not have if the buyer paid in another currency.

    Without transactions in the query, the refund's total is one: it counts what was carried out
    (docs/facts/shopify-admin.md, "Refunds").
    """
    if "transactions" not in given:
        total = money_set(given.get("totalRefundedSet"), currency)
        return [_transaction("refund", "success", total)] if plain(total) is not None else []
    return [
        _transaction(
            lower(each.get("kind")),
            lower(each.get("status")),
            money_set(each.get("amountSet"), currency),
        )
        for each in nodes(given.get("transactions"))
    ]


def _transaction(kind: Any, status: Any, amount_set: Json | None) -> Json:
    shop = mapping(mapping(amount_set).get("shop_money"))
    return {
        "kind": kind,
        "status": status,
        "amount": shop.get("amount"),
        "currency": shop.get("currency_code"),
    }
