"""Shopify's search syntax, as far as it is used: `field:op'value'` terms, joined by AND.

A field that is not searchable matches everything, in silence, as it does at Shopify
(docs/facts/shopify-admin.md, "Orders by page").
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from simulator.admin.books import NO_RANGE, Json

_TERM = re.compile(r"(\w+):\s*(<=|>=|<|>)?\s*(?:'([^']*)'|\"([^\"]*)\"|(\S+))")
TIMES = {
    "created_at": "createdAt",
    "processed_at": "processedAt",
    "updated_at": "updatedAt",
}
SORTED_BY = {"CREATED_AT": "createdAt", "PROCESSED_AT": "processedAt", "UPDATED_AT": "updatedAt"}
"""By sort key."""


@dataclass(frozen=True, slots=True)
class Range:
    """`field` from `low` (included) to `high` (excluded)."""

    field: str
    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Search:
    """What a query string asks for."""

    ranges: tuple[Range, ...]
    equals: tuple[tuple[str, str], ...]

    def matches(self, one: Json) -> bool:
        """Whether an object is asked for."""
        return all(
            wanted.low <= str(one.get(wanted.field)) < wanted.high for wanted in self.ranges
        ) and all(_equals(one, name, value) for name, value in self.equals)


def read(query: str | None) -> Search:
    """What `query` asks for; everything where it is empty."""
    ranges: dict[str, Range] = {}
    equals: list[tuple[str, str]] = []
    for name, operator, *values in _TERM.findall(query or ""):
        value = next((each for each in values if each), "")
        if name not in TIMES:
            equals.append((name, value))
            continue
        field = TIMES[name]
        known = ranges.get(field, Range(field, *NO_RANGE))
        ranges[field] = _narrowed(known, operator, _utc(value))
    return Search(tuple(ranges.values()), tuple(equals))


def selected(search: Search, by: str, earliest: str = "") -> tuple[str, str, bool]:
    """The range of `by` that a search asks for, and whether nothing else has to be looked at."""
    low, high = NO_RANGE
    for wanted in search.ranges:
        if wanted.field == by:
            low, high = wanted.low, wanted.high
    plain = not search.equals and all(wanted.field == by for wanted in search.ranges)
    return (max(low, earliest) if by == "processedAt" else low), high, plain


def _narrowed(known: Range, operator: str, value: str) -> Range:
    if operator == ">=":
        return Range(known.field, max(known.low, value), known.high)
    if operator == ">":
        return Range(known.field, max(known.low, value + "~"), known.high)
    if operator == "<":
        return Range(known.field, known.low, min(known.high, value))
    if operator == "<=":
        return Range(known.field, known.low, min(known.high, value + "~"))
    return Range(known.field, value, value + "~")


def _utc(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _equals(one: Json, name: str, value: str) -> bool:
    if name == "id":
        return str(one["id"]).rpartition("/")[2] == value.rpartition("/")[2]
    if name == "test":
        return bool(one.get("test")) == (value.lower() == "true")
    if name == "name":
        return str(one.get("name", "")).lstrip("#") == value.lstrip("#")
    if name in ("status", "operation_type", "type") and name in one:
        return str(one[name]).lower() == value.lower()
    return True
