"""Finds changes at Shopify that no webhook delivered, and appends them to the topic `orders`, where
they are treated like a webhook."""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from ingest.shopify.admin.access import ReadAccess, read_access
from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.errors import Stopped
from ingest.shopify.admin.past.history import BACKFILL, RECONCILE, encoded, order_record
from ingest.shopify.admin.past.paged import order_pages
from ingest.shopify.admin.past.windows import TimeSpan, rfc3339
from orderwire.serve.reconcile.comparing import MISSED, Missed, missed
from stream.record import Record
from stream.store.contract import Entities, Store

OVERLAP_S = 600
GRACE_S = 300
"""A webhook comes within seconds; what is younger is left to the next run."""
KEPT_S = 90 * 86_400
FIRST_S = 24 * 3_600
"""How far back the first run of the schedule looks."""
LOOK_AGAIN_S = 2.0
"""Between finding that something is missing and looking once more: its fold may be under way."""


class Reconciled(NamedTuple):
    """Columns of `reconciled`, of which the first is its key."""

    shop: str
    reached_s: int
    """Everything that changed before is compared."""
    seen: int
    """Orders that the last run looked at."""
    ran_s: int
    began_s: int
    """When the first webhook of an order came, as far as events of it are kept; 0 before."""


RECONCILED = Entities("reconciled", Reconciled, 1)


@dataclass(frozen=True, slots=True)
class Found:
    """What a run came to."""

    span: TimeSpan
    seen: int
    missed: tuple[Missed, ...]
    history: int = 0
    """Orders brought that are older than the shop's first webhook."""

    @property
    def by_topic_and_hour(self) -> list[tuple[str, int, int]]:
        """(topic, hour, orders), ascending."""
        counts = Counter((each.topic, each.hour_s) for each in self.missed)
        return sorted((topic, hour_s, count) for (topic, hour_s), count in counts.items())


@dataclass(slots=True)
class Reconciling:
    """One shop. `append` returns once records are durable; `dry_run` appends and stores nothing.

    Each run begins a little before the end of the last one, since Shopify's index of `updated_at`
    lags, and leaves out the newest minutes, whose webhooks may be on their way.
    """

    client: AdminClient
    store: Store
    shop: str
    append: Callable[[Sequence[Record]], None]
    stop: threading.Event = field(default_factory=threading.Event)
    dry_run: bool = False
    clock: Callable[[], float] = time.time
    look_again_s: float = LOOK_AGAIN_S
    advance: Callable[[int], None] = lambda orders: None
    """Called with how many more orders were looked at."""

    def since_last(self) -> TimeSpan:
        """What has not been compared yet."""
        now_s = int(self.clock())
        with self.store.snapshot() as snapshot:
            rows = snapshot.query(
                "SELECT reached_s FROM reconciled WHERE shop = :shop", shop=self.shop
            )
        # A place in the future was reached by a clock that was ahead, and says nothing.
        known = bool(rows) and rows[0].reached_s <= now_s
        begin_s = rows[0].reached_s - OVERLAP_S if known else now_s - FIRST_S
        return TimeSpan(begin_s, now_s - GRACE_S)

    def last(self, hours: float) -> TimeSpan:
        """The last hours."""
        now_s = int(self.clock())
        return TimeSpan(now_s - int(hours * 3_600), now_s - GRACE_S)

    def run(self, span: TimeSpan) -> Found:
        """Compare what changed in `span`. Raises AdminError, LogError, StoreError."""
        access, began_s = read_access(self.client), self._began_s()
        seen, history, found = 0, 0, list[Missed]()
        for page in order_pages(self.client, access, "updated_at", span):
            if self.stop.is_set():
                raise Stopped
            lacking = self._lacking(page.orders)
            older = {gid for gid in lacking if _created_s(page.orders, gid) < began_s}
            self._bring(access, [order for order in page.orders if order["id"] in lacking], older)
            self._note([each for gid, each in lacking.items() if gid not in older])
            found += [each for gid, each in lacking.items() if gid not in older]
            history, seen = history + len(older), seen + len(page.orders)
            self.advance(len(page.orders))
        if not self.dry_run:
            self._reached(span, seen, began_s)
        return Found(span, seen, tuple(found), history)

    def _began_s(self) -> float:
        """When the shop's first webhook of an order came; without any, everything is history.

        An order of before was not ours to send: somebody else has sent it, or nobody should.
        """
        with self.store.snapshot() as snapshot:
            kept = snapshot.query(
                "SELECT began_s FROM reconciled WHERE shop = :shop AND began_s > 0", shop=self.shop
            )
            if kept:
                return float(kept[0].began_s)
            first_ms = snapshot.query(
                "SELECT MIN(received_ms) AS first_ms FROM outbox WHERE shop = :shop",
                shop=self.shop,
            )[0].first_ms
        return math.inf if first_ms is None else first_ms / 1000

    def _lacking(self, orders: list[dict[str, Any]]) -> dict[str, Missed]:
        lacking = self._missed(orders)
        if not lacking:
            return {}
        if self.stop.wait(self.look_again_s):
            raise Stopped
        return self._missed([order for order in orders if order["id"] in lacking])

    def _bring(
        self, access: ReadAccess, orders: list[dict[str, Any]], older: Collection[str]
    ) -> None:
        if self.dry_run or not orders:
            return
        asked_ms = int(self.clock() * 1000)
        self.append(
            [
                order_record(
                    self.shop,
                    encoded(order),
                    access.zone,
                    BACKFILL if order["id"] in older else RECONCILE,
                    asked_ms,
                    triggered_at=rfc3339(asked_ms // 1000),
                )
                for order in orders
            ]
        )

    def _note(self, found: list[Missed]) -> None:
        """After the append: killed in between, the next run finds them once more."""
        if self.dry_run or not found:
            return
        with self.store.begin() as transaction:
            known = transaction.load(MISSED, [MISSED.key_of(each) for each in found])
            transaction.save(MISSED, [each for each in found if MISSED.key_of(each) not in known])

    def _missed(self, orders: list[dict[str, Any]]) -> dict[str, Missed]:
        with self.store.snapshot() as snapshot:
            return missed(snapshot, self.shop, orders, int(self.clock()))

    def _reached(self, span: TimeSpan, seen: int, began_s: float) -> None:
        now_s = int(self.clock())
        with self.store.begin() as transaction:
            before = transaction.load(RECONCILED, [(self.shop,)]).get((self.shop,))
            reached_s = span.to_s
            if before is not None and before.reached_s > now_s:
                pass  # By a clock that was ahead.
            elif before is not None and span.from_s > before.reached_s:
                reached_s = before.reached_s  # There is a gap: the schedule still has to close it.
            elif before is not None:
                reached_s = max(reached_s, before.reached_s)
            began = 0 if math.isinf(began_s) else int(began_s)
            transaction.save(RECONCILED, [Reconciled(self.shop, reached_s, seen, now_s, began)])
            transaction.execute(
                "DELETE FROM missed_order WHERE shop = :shop AND found_s < :before",
                shop=self.shop,
                before=now_s - KEPT_S,
            )


def _created_s(orders: list[dict[str, Any]], gid: str) -> float:
    created = next(order["createdAt"] for order in orders if order["id"] == gid)
    return datetime.fromisoformat(created).timestamp()
