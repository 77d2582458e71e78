"""Fields that give one object: `order`, `refund`, `node`, `shop`, `currentAppInstallation`."""

from typing import Any

from simulator.admin.books import Json
from simulator.admin.documents import DocumentRefused, error
from simulator.admin.world import World


def order(world: World, arguments: dict[str, Any]) -> Json | None:
    """`order(id:)`."""
    return world.books.all_orders.one(_gid(arguments, "Order"))


def refund(world: World, arguments: dict[str, Any]) -> Json | None:
    """`refund(id:)`."""
    return world.books.refund(_gid(arguments, "Refund"))


def node(world: World, arguments: dict[str, Any]) -> Json | None:
    """`node(id:)`, of orders and checkouts."""
    found = world.books.all_orders.one(arguments["id"])
    return world.books.checkouts.one(arguments["id"]) if found is None else found


def shop(world: World, _: dict[str, Any]) -> Json:
    """`shop`."""
    return world.books.shop


def current_app_installation(world: World, _: dict[str, Any]) -> Json:
    """`currentAppInstallation`, with the scopes granted."""
    return {
        "id": "gid://shopify/AppInstallation/1",
        "accessScopes": [
            {"handle": scope, "description": scope} for scope in sorted(world.access.scopes)
        ],
    }


def _gid(arguments: dict[str, Any], kind: str) -> str:
    gid = str(arguments["id"])
    if not gid.startswith(f"gid://shopify/{kind}/"):
        raise DocumentRefused([error(f"Invalid global id '{gid}'", "argumentLiteralsIncompatible")])
    return gid.partition("?")[0]
