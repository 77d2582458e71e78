"""Reads orders by pages: for small shops, and for what changed lately."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from ingest.shopify.admin.access import ReadAccess
from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.documents import document
from ingest.shopify.admin.past.windows import TimeSpan, search

PAGE = 250
SORTED = {"processed_at": "PROCESSED_AT", "updated_at": "UPDATED_AT", "created_at": "CREATED_AT"}
"""Sort key and searched time must be the same, or large shops time out."""
TIMES = {"processed_at": "processedAt", "updated_at": "updatedAt", "created_at": "createdAt"}
DEEPEST = 24_000
"""Source: shopify.dev, "Pagination"."""


class OrdersPage(NamedTuple):
    """Whole orders, and the cursor behind them."""

    orders: list[dict[str, Any]]
    cursor: str
    last: bool


def order_pages(
    client: AdminClient, access: ReadAccess, field: str, span: TimeSpan, after: str = ""
) -> Iterator[OrdersPage]:
    """Orders whose time `field` lies in `span`, ascending by it, from a cursor on.

    Shopify pages through 25,000 objects at most, so the search begins anew before; orders of that
    second come twice.
    """
    text = document("orders_page", access.without)
    cursor: str | None = after or None
    deep = 0
    while True:
        variables = {
            "first": PAGE,
            "after": cursor,
            "query": search(field, span),
            "sortKey": SORTED[field],
        }
        found = client.query(text, variables)["orders"]
        info = found["pageInfo"]
        cursor = info["endCursor"]
        orders = [_whole(client, access, order) for order in found["nodes"]]
        yield OrdersPage(orders, cursor or "", not info["hasNextPage"])
        if not info["hasNextPage"]:
            return
        deep += len(orders)
        if deep + PAGE > DEEPEST:
            last_s = int(datetime.fromisoformat(orders[-1][TIMES[field]]).timestamp())
            span, cursor, deep = TimeSpan(last_s, span.to_s), None, 0


def count(client: AdminClient, field: str, span: TimeSpan) -> int:
    """How many orders there are."""
    answer = client.query(document("orders_count"), {"query": search(field, span)})
    return int(answer["ordersCount"]["count"])


def _whole(client: AdminClient, access: ReadAccess, order: dict[str, Any]) -> dict[str, Any]:
    """The order with the lines behind its first page."""
    lines = order["lineItems"]
    while lines["pageInfo"]["hasNextPage"]:
        variables = {"id": order["id"], "after": lines["pageInfo"]["endCursor"]}
        answer = client.query(document("order_lines", access.without), variables)["order"]
        if answer is None:  # deleted meanwhile
            break
        more = answer["lineItems"]
        lines = {"nodes": [*lines["nodes"], *more["nodes"]], "pageInfo": more["pageInfo"]}
    return {**order, "lineItems": lines}
