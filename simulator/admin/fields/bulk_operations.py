"""Bulk operations: started, looked at, listed and cancelled."""

from typing import Any

from simulator.admin.books import Json
from simulator.admin.bulk import Invalid
from simulator.admin.documents import Page
from simulator.admin.search import read
from simulator.admin.world import World


def run(world: World, arguments: dict[str, Any]) -> Json:
    """`bulkOperationRunQuery`."""
    try:
        operation = world.bulk.start(
            arguments["query"], world.books, world.access.scopes, world.clock()
        )
    except Invalid as refused:
        error = {"field": ["query"], "message": str(refused), "code": refused.code}
        return {"bulkOperation": None, "userErrors": [error]}
    return {"bulkOperation": operation.as_json(), "userErrors": []}


def one(world: World, arguments: dict[str, Any]) -> Json | None:
    """`bulkOperation(id:)`."""
    operation = world.bulk.operations.get(arguments["id"])
    return None if operation is None else operation.as_json()


def listed(world: World, arguments: dict[str, Any]) -> Page:
    """`bulkOperations`, the newest first with `reverse`."""
    search = read(arguments.get("query"))
    found = [each.as_json() for each in world.bulk.operations.values()]
    found = [each for each in found if search.matches(each)]
    if arguments.get("reverse"):
        found.reverse()
    first = arguments.get("first") or 50
    return Page(found[:first], has_next=len(found) > first)


def cancel(world: World, arguments: dict[str, Any]) -> Json:
    """`bulkOperationCancel`."""
    operation = world.bulk.operations.get(arguments["id"])
    if operation is None:
        error = {"field": ["id"], "message": "Bulk operation does not exist"}
        return {"bulkOperation": None, "userErrors": [error]}
    operation.cancel()
    return {"bulkOperation": operation.as_json(), "userErrors": []}
