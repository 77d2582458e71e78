"""Deliveries of Shopify Events, made as Shopify makes them: the subscription's query is run against
the shop, and what the app may not read becomes `query_errors`."""

from collections.abc import Mapping
from typing import Any

from simulator.admin.books import Json
from simulator.admin.documents import denied, read
from simulator.admin.fields import single
from simulator.admin.world import World

VARIABLES = {"Order": "orderId", "Refund": "refundId"}
FIELDS = {"order": single.order, "refund": single.refund, "shop": single.shop}


def event_body(
    world: World, topic: str, action: str, gid: str, query: str | None, handle: str = "orderwire"
) -> Json:
    """The body for a subscription of `topic`; `query` None: it has none, as for deletions."""
    variables = {VARIABLES[topic]: gid}
    body: Json = {
        "topic": topic,
        "action": action,
        "handle": handle,
        "fields_changed": {"added": [], "updated": [], "removed": []},
        "query_variables": variables,
    }
    if query is None:
        return body
    request = read(query, variables, world.access.scopes)
    body["data"] = {root.key: _value(world, root.name, root) for root in request.roots}
    if errors := [denied(scope, path) for path, scope in request.denied.items()]:
        body["query_errors"] = errors
    return body


def _value(world: World, name: str, root: Any) -> Any:
    arguments: Mapping[str, Any] = root.arguments
    value = FIELDS[name](world, dict(arguments))
    return None if value is None else root.project(value)
