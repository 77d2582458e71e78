"""Fetches one whole order or refund by id: all its lines, whatever a page holds, and without the
fields that the token may not read."""

from collections.abc import Callable
from typing import Any

from ingest.shopify.admin.client import AccessDenied, AdminClient
from ingest.shopify.admin.documents import PERSONAL, document
from ingest.shopify.admin.records import event_record, rfc3339
from stream.record import Record

Json = dict[str, Any]
ORIGIN = "refetch"
MOST_DENIALS = 4
"""Scopes and approvals that a query may have to do without, one after the other."""


class Refetch:
    """Fetches orders of one shop. `clock_ms`: Unix milliseconds."""

    def __init__(self, shop: str, client: AdminClient, clock_ms: Callable[[], int]) -> None:
        self._shop, self._client, self._clock_ms = shop, client, clock_ms
        self._without = frozenset[str]()

    @property
    def without(self) -> frozenset[str]:
        """Scopes and approvals that the token turned out to lack."""
        return self._without

    def record(self, gid: str, no_earlier: str) -> Record | None:
        """The order or refund as a record of the topic `orders`; None where Shopify has none.

        `no_earlier` is when the delivery that lacked it was triggered: its clock is Shopify's, and
        the record must not look older. Raises AdminError.
        """
        asked_ms = self._clock_ms()
        topic = gid.removeprefix("gid://shopify/").partition("/")[0]
        data = self._refund(gid) if topic == "Refund" else self._order(gid)
        if data is None:
            return None
        return event_record(
            self._shop,
            topic,
            gid,
            data,
            origin=ORIGIN,
            triggered_at=max(rfc3339(asked_ms), no_earlier),
            now_ms=asked_ms,
        )

    def _order(self, gid: str) -> Json | None:
        data = self._asked("order", id=gid)
        order = data.get("order")
        if order is None:
            return None
        lines = order["lineItems"]
        while lines["pageInfo"]["hasNextPage"]:
            after = lines["pageInfo"]["endCursor"]
            more = self._asked("order_lines", id=gid, after=after)["order"]
            if more is None:
                return None
            lines = more["lineItems"]
            order["lineItems"]["nodes"] += lines["nodes"]
        order["lineItems"]["pageInfo"] = {"hasNextPage": False}
        order["refunds"] = [self._whole(refund) for refund in order["refunds"]]
        return {"order": order, "shop": data.get("shop")}

    def _whole(self, refund: Json) -> Json:
        if not refund["refundLineItems"]["pageInfo"]["hasNextPage"]:
            return refund
        found = self._asked("refund", id=refund["id"])["refund"]
        return refund if found is None else {**found, "refundLineItems": None}

    def _refund(self, gid: str) -> Json | None:
        found = self._asked("refund", id=gid)["refund"]
        return None if found is None else {"refund": {**found, "refundLineItems": None}}

    def _asked(self, name: str, **variables: str) -> Json:
        # Not stamina: each turn asks for less.
        for _ in range(MOST_DENIALS):
            try:
                return self._client.query(document(name, self._without), variables)
            except AccessDenied as denied:
                more = self._without | (frozenset(denied.scopes) or frozenset({PERSONAL}))
                if more == self._without or document(name, more) == document(name, self._without):
                    raise
                self._without = more
        return self._client.query(document(name, self._without), variables)
