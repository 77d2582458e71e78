"""`orders` and `abandonedCheckouts`: a page of a search, sorted by a time, by cursor."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from simulator.admin.books import NO_RANGE, Json, Orders
from simulator.admin.documents import DocumentRefused, Page, decode, encode, error
from simulator.admin.search import SORTED_BY, Search, read, selected
from simulator.admin.world import World

RECENT_DAYS = 60
"""Older orders are absent without `read_all_orders`, and no error says so."""
DEEPEST = 25_000
"""Objects that one connection pages through."""


def orders(world: World, arguments: dict[str, Any]) -> Page:
    """`orders`."""
    search = read(arguments.get("query"))
    earliest = ""
    if "read_all_orders" not in world.access.scopes:
        since = datetime.fromtimestamp(world.clock(), UTC) - timedelta(days=RECENT_DAYS)
        earliest = since.strftime("%Y-%m-%dT%H:%M:%SZ")
    return _page(world, world.books.all_orders, search, arguments, "PROCESSED_AT", earliest)


def abandoned_checkouts(world: World, arguments: dict[str, Any]) -> Page:
    """`abandonedCheckouts`."""
    search = read(arguments.get("query"))
    return _page(world, world.books.checkouts, search, arguments, "CREATED_AT", "")


def orders_count(world: World, arguments: dict[str, Any]) -> Json:
    """`ordersCount`, up to its limit."""
    search = read(arguments.get("query"))
    first = search.ranges[0] if search.ranges else None
    by, low, high = (
        ("createdAt", *NO_RANGE) if first is None else (first.field, first.low, first.high)
    )
    found = world.books.all_orders.between(by, low, high)
    limit = arguments.get("limit") or 10_000
    count = (
        len(found)
        if len(search.ranges) < 2 and not search.equals
        else sum(map(search.matches, found))
    )
    return {"count": min(count, limit), "precision": "EXACT" if count <= limit else "AT_LEAST"}


def _page(
    world: World,
    source: Orders,
    search: Search,
    arguments: dict[str, Any],
    default: str,
    earliest: str,
) -> Page:
    by = SORTED_BY.get(str(arguments.get("sortKey") or default), "createdAt")
    if world.sorts_slowly and any(wanted.field != by for wanted in search.ranges):
        raise DocumentRefused([error("Timeout: the query took too long", "TIMEOUT")])
    low, high, plain = selected(search, by, earliest)
    reverse = bool(arguments.get("reverse"))
    seen = 0
    after_id = ""
    if after := arguments.get("after"):
        try:
            position, after_id, number = decode(after).split("|")
        except ValueError:
            raise DocumentRefused([error("Invalid cursor", "BAD_REQUEST", ("after",))]) from None
        seen = int(number)
        if reverse:
            high = position + "~"
        else:
            low = position
    first = int(arguments.get("first") or 50)
    if seen + first > DEEPEST:
        raise DocumentRefused(
            [error("Pagination goes no further than 25000 objects", "BAD_REQUEST")]
        )
    found = source.between(by, low, high)
    wanted = _walk(found, by, after_id, low if not reverse else high[:-1], reverse)
    if not plain or earliest:
        wanted = (
            one
            for one in wanted
            if search.matches(one) and str(one.get("processedAt", "~")) >= earliest
        )
    nodes = list(islice(wanted, first + 1))
    numbers = {id(one): seen + place for place, one in enumerate(nodes, 1)}

    def cursor(one: Json) -> str:
        return encode(f"{one.get(by)}|{one['id']}|{numbers[id(one)]}")

    return Page(nodes[:first], has_next=len(nodes) > first, has_previous=seen > 0, cursor=cursor)


def _walk(found: Any, by: str, after_id: str, at: str, reverse: bool) -> Any:
    """What follows the cursor: objects at the same time go by their id."""
    for place in range(len(found) - 1, -1, -1) if reverse else range(len(found)):
        one = found[place]
        seen = one["id"] >= after_id if reverse else one["id"] <= after_id
        if not (after_id and one.get(by) == at and seen):
            yield one
