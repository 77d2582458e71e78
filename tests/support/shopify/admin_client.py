"""A client of the stand-in for the Admin API, and orders as the stand-in keeps them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.tokens import StaticToken
from simulator.admin.books import Books, shop
from simulator.admin.stand_in import AdminStandIn
from simulator.shop.sale import Sale
from tests.support.shopify.twin_orders import SHOP, graphql


def client_of(admin: AdminStandIn) -> AdminClient:
    """Blocks: to be asked from a thread."""
    url = f"{admin.url}/admin/api/2026-10/graphql.json"
    return AdminClient(url, StaticToken("shpat_static"), patience_s=5)


def kept(one: Sale) -> dict[str, Any]:
    """An order as the stand-in keeps it: connections are plain lists."""
    found = graphql(one).order()
    found["lineItems"] = found["lineItems"]["nodes"]
    for refund in found["refunds"]:
        for name, value in refund.items():
            if isinstance(value, dict) and "nodes" in value:
                refund[name] = value["nodes"]
    return found


def books(*orders: dict[str, Any]) -> Books:
    """A shop with these orders."""
    made = Books(shop(SHOP))
    for order in orders:
        made.orders.keep(order)
    return made


@asynccontextmanager
async def admin_of(held: Books) -> AsyncIterator[tuple[AdminStandIn, AdminClient]]:
    """The stand-in, and a client of it."""
    async with AdminStandIn(held) as admin:
        client = client_of(admin)
        try:
            yield admin, client
        finally:
            client.close()
