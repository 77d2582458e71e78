"""What the stand-in's shop holds: orders, refunds, abandoned checkouts, subscriptions, in the Admin
API's own shape (field names as keys, times in UTC with Z, so that they sort as text)."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

Json = dict[str, Any]
NO_RANGE = ("", "~")
"""Before and after every time, as texts sort."""


class Orders(Protocol):
    """Objects in the order of one of their times."""

    def between(self, by: str, low: str, high: str) -> Sequence[Json]:
        """Those whose field `by` is at or after `low` and before `high`, ascending by it and id."""
        ...

    def one(self, gid: str) -> Json | None:
        """By id."""
        ...


class KeptObjects:
    """Objects kept in memory; indices are made when they are first asked for."""

    def __init__(self) -> None:
        self._by_id: dict[str, Json] = {}
        self._indices: dict[str, list[tuple[str, str]]] = {}

    def keep(self, one: Json) -> None:
        """Add it, or put it in the place of the one with its id."""
        gid = str(one["id"])
        before = self._by_id.get(gid)
        for by, index in self._indices.items():
            if before is not None:
                del index[bisect_left(index, (str(before.get(by)), gid))]
            insort(index, (str(one.get(by)), gid))
        self._by_id[gid] = one

    def drop(self, gid: str) -> None:
        """Forget it: a deleted order is nowhere."""
        before = self._by_id.pop(gid, None)
        if before is not None:
            for by, index in self._indices.items():
                del index[bisect_left(index, (str(before.get(by)), gid))]

    def one(self, gid: str) -> Json | None:
        """By id."""
        return self._by_id.get(gid)

    def between(self, by: str, low: str, high: str) -> Sequence[Json]:
        """In a range of one of their times."""
        index = self._indices.get(by)
        if index is None:
            index = sorted((str(one.get(by)), gid) for gid, one in self._by_id.items())
            self._indices[by] = index
        start, end = bisect_left(index, (low, "")), bisect_left(index, (high, ""))
        return [self._by_id[gid] for _, gid in index[start:end]]

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Json]:
        return iter(list(self._by_id.values()))


@dataclass(slots=True)
class Books:
    """One shop."""

    shop: Json
    orders: KeptObjects = field(default_factory=KeptObjects)
    checkouts: KeptObjects = field(default_factory=KeptObjects)
    subscriptions: dict[str, Json] = field(default_factory=dict)
    """Webhook subscriptions by id."""
    many: Orders | None = None
    """Orders too many to be kept, in the place of `orders`."""

    @property
    def all_orders(self) -> Orders:
        """What the shop sold."""
        return self.orders if self.many is None else self.many

    def refund(self, gid: str) -> Json | None:
        """A refund by id, with its order."""
        for order in self.orders:
            for refund in order.get("refunds", ()):
                if refund["id"] == gid:
                    return {**refund, "order": order}
        return None


def shop(domain: str, zone: str = "Europe/Paris", currency: str = "USD") -> Json:
    """The shop itself."""
    return {
        "id": "gid://shopify/Shop/1",
        "name": domain.partition(".")[0],
        "myshopifyDomain": domain,
        "ianaTimezone": zone,
        "currencyCode": currency,
        "plan": {"publicDisplayName": "Basic", "shopifyPlus": False, "partnerDevelopment": False},
    }
