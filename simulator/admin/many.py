"""A large number of orders, each computed from its number when it is requested."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, overload

from simulator.admin.books import Json

FIRST_ID = 6_100_000_000_000
LINES = 2
CUSTOMERS_PER_ORDER = 0.4
"""A year's customers, as a share of its orders."""


class Many:
    """`count` orders spread evenly from `from_s` to `to_s`, Unix seconds, like `example`."""

    def __init__(self, count: int, from_s: int, to_s: int, example: Json) -> None:
        self._count, self._from_s, self._to_s = count, from_s, to_s
        self._example = example

    def between(self, by: str, low: str, high: str) -> "Sequence[Json]":
        """Every time of an order is the same here."""
        start, end = self._number(low), self._number(high)
        return _Slice(self, start, max(start, end))

    def one(self, gid: str) -> Json | None:
        """By id."""
        number = int(gid.rpartition("/")[2]) - FIRST_ID
        return self.made(number) if 0 <= number < self._count else None

    def made(self, number: int) -> Json:
        """The order of this number."""
        gid, at = f"gid://shopify/Order/{FIRST_ID + number}", _utc(self.second(number))
        customer = number * 7_919 % max(1, int(self._count * CUSTOMERS_PER_ORDER))
        line = self._example["lineItems"][0]
        return {
            **self._example,
            "id": gid,
            "name": f"#{number}",
            "createdAt": at,
            "processedAt": at,
            "updatedAt": at,
            "customer": {
                **(self._example["customer"] or {}),
                "id": f"gid://shopify/Customer/{customer}",
            },
            "lineItems": [
                {**line, "id": f"gid://shopify/LineItem/{(FIRST_ID + number) * 10 + place}"}
                for place in range(LINES)
            ],
        }

    def second(self, number: int) -> int:
        """When it was sold."""
        return self._from_s + number * (self._to_s - self._from_s) // self._count

    def _number(self, text: str) -> int:
        """The first order at or after a time."""
        if not text or text == "~":
            return self._count if text else 0
        bound = text.rstrip("~")
        second = int(datetime.fromisoformat(bound).timestamp()) + text.endswith("~")
        return bisect_left(range(self._count), second, key=self.second)


class _Slice(Sequence[Json]):
    """A run of numbers."""

    def __init__(self, many: Many, start: int, end: int) -> None:
        self._many, self._range = many, range(start, end)

    def __len__(self) -> int:
        return len(self._range)

    @overload
    def __getitem__(self, place: int) -> Json: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Json]: ...
    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self._many.made(number) for number in self._range[place]]
        return self._many.made(self._range[place])


def _utc(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
