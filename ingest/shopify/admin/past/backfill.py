"""Fills a shop's past: appends orders and checkouts of a span of days to the log, as history."""

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

import stamina

from ingest.shopify.admin.access import ALL_ORDERS, ORDERS, RECENT_DAYS, ReadAccess, read_access
from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.errors import AccessDenied, AdminUnavailable, QueryRefused, Stopped
from ingest.shopify.admin.past import bulk, checkouts, paged
from ingest.shopify.admin.past.history import BACKFILL, encoded, order_record
from ingest.shopify.admin.past.progress import (
    CHECKOUTS,
    DONE,
    PENDING,
    RUNNING,
    BackfillWindow,
    Progress,
)
from ingest.shopify.admin.past.progress import ORDERS as KIND
from ingest.shopify.admin.past.windows import DAY_S, TimeSpan, cut, halves, rfc3339, uncovered
from stream.record import Record
from stream.store.contract import Store

PAGED_WINDOW_S, BULK_WINDOW_S = 31 * DAY_S, 14 * DAY_S
LARGE_SHOP_S = 2 * DAY_S
"""Of checkouts, in a shop that is read by bulk: Shopify pages through 25,000 at most."""
BULK_FROM = 10_000
"""Orders from which on bulk operations are quicker than pages."""
BATCH = 500
POLL_S = 5.0
FIELD = "processed_at"
"""It never changes, so an order stays in its window; what changes meanwhile comes by webhook."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill is going to read."""

    access: ReadAccess
    span: TimeSpan
    bulk: bool
    expected: int
    """Orders in the span, as Shopify counts them."""
    shortened: bool
    """Whether older orders cannot be read for lack of a scope."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What a backfill came to."""

    orders: int
    """Appended by this call."""
    windows: int
    checkouts: int = 0
    denied: str = ""
    """Why checkouts could not be read."""


@dataclass(slots=True)
class Backfill:
    """One shop's backfill. `append` returns once records are durable.

    The span is cut into windows, the newest first. A small shop is read page by page; a large one
    by bulk operations, several windows concurrently, and a window that fails is halved. Stopped or
    killed at any moment, the next call continues where this one was.
    """

    client: AdminClient
    store: Store
    shop: str
    append: Callable[[Sequence[Record]], None]
    stop: threading.Event = field(default_factory=threading.Event)
    poll_s: float = POLL_S
    advance: Callable[[int], None] = lambda orders: None
    """Called with how many more orders are in the log."""
    known_carts: Callable[[Collection[str]], Collection[str]] = lambda carts: ()
    """Which of these carts webhooks have brought checkouts of."""
    clock: Callable[[], float] = time.time
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _appended: int = 0

    def plan(self, days: int, *, by_bulk: bool | None = None) -> Plan:
        """Look at what there is. Raises AdminError."""
        access = read_access(self.client)
        if ORDERS not in access.scopes:
            raise AccessDenied("orders", (ORDERS,), None)
        now_s = int(self.clock())
        shortened = ALL_ORDERS not in access.scopes and days >= RECENT_DAYS
        # One day more, so that the first of these days is whole in every time zone.
        begin_day = now_s // DAY_S - (RECENT_DAYS - 1 if shortened else days + 1)
        span = TimeSpan(begin_day * DAY_S, now_s)
        expected = paged.count(self.client, FIELD, span)
        use_bulk = expected >= BULK_FROM if by_bulk is None else by_bulk
        return Plan(access, span, use_bulk, expected, shortened)

    def run(self, plan: Plan) -> Filled:
        """Read every window that is not done. Raises AdminError, LogError, StoreError."""
        progress = Progress(self.store, self.shop)
        known = progress.windows(KIND)
        length_s = BULK_WINDOW_S if plan.bulk else PAGED_WINDOW_S
        for left in uncovered(plan.span, [window.span for window in known]):
            progress.add(KIND, cut(left, length_s))
        open_ones = [w for w in progress.windows(KIND) if w.state != DONE]
        self._appended = 0
        read = self._bulk if plan.bulk else self._paged
        parallel = bulk.AT_ONCE if plan.bulk else 1
        self._all(open_ones, parallel, lambda window: read(plan.access, progress, window))
        try:
            count, denied = self._checkouts(plan, progress), ""
        except AccessDenied as error:
            count, denied = 0, str(error)
        return Filled(self._appended, len(open_ones), count, denied)

    def _checkouts(self, plan: Plan, progress: Progress) -> int:
        """Read the checkouts that were left lately; how many."""
        begin_s = max(plan.span.from_s, plan.span.to_s - checkouts.KEPT_DAYS * DAY_S)
        known = [window.span for window in progress.windows(CHECKOUTS)]
        for left in uncovered(TimeSpan(begin_s, plan.span.to_s), known):
            progress.add(CHECKOUTS, cut(left, LARGE_SHOP_S if plan.bulk else PAGED_WINDOW_S))
        count = 0
        for window in progress.windows(CHECKOUTS):
            if window.state == DONE:
                continue
            for nodes, cursor in checkouts.pages(
                self.client, plan.access, window.span, window.cursor
            ):
                self._check()
                bodies = [body for node in nodes if (body := checkouts.abandoned(node))]
                count += self._append_checkouts(bodies)
                window = window._replace(state=RUNNING, cursor=cursor or window.cursor)
                progress.save([window])
            progress.save([window._replace(state=DONE)])
        return count

    def _append_checkouts(self, bodies: list[checkouts.Json]) -> int:
        if not bodies:
            return 0
        known = self.known_carts({body["cart_token"] for body in bodies})
        made = checkouts.records(self.shop, bodies, known, int(self.clock() * 1000))
        if made:
            self.append(made)
        return len(made)

    def _all(
        self,
        windows: list[BackfillWindow],
        parallel: int,
        read: Callable[[BackfillWindow], list[BackfillWindow]],
    ) -> None:
        """Read the windows, the newest first; `read` gives those that take the place of one."""
        waiting = sorted(windows, key=lambda window: window.from_s)
        with ThreadPoolExecutor(parallel, "backfill") as pool:
            running: set[Future[list[BackfillWindow]]] = set()
            try:
                while waiting or running:
                    while waiting and len(running) < parallel:
                        running.add(pool.submit(read, waiting.pop()))
                    over, running = wait(running, return_when=FIRST_COMPLETED)
                    for each in over:
                        waiting += reversed(each.result())
            except BaseException:
                self.stop.set()
                raise

    def _paged(
        self, access: ReadAccess, progress: Progress, window: BackfillWindow
    ) -> list[BackfillWindow]:
        state = window._replace(state=RUNNING, operation="")
        pages = paged.order_pages(self.client, access, FIELD, window.span, window.cursor)
        for page in pages:
            self._check()
            self._append([encoded(order) for order in page.orders], access)
            state = state._replace(
                cursor=page.cursor or state.cursor, appended=state.appended + len(page.orders)
            )
            progress.save([state])
        progress.save([state._replace(state=DONE)])
        return []

    def _bulk(
        self, access: ReadAccess, progress: Progress, window: BackfillWindow
    ) -> list[BackfillWindow]:
        pause = bulk.waiting(self.stop, self.poll_s)
        try:
            operation = window.operation
            if not operation:
                operation = bulk.start(self.client, access, window.span, pause)
                window = window._replace(state=RUNNING, operation=operation, cursor="", appended=0)
                progress.save([window])
            url = bulk.result(self.client, operation, pause)
        except bulk.WindowFailed:
            smaller = halves(window.span)
            if not smaller:
                raise
            return progress.halve(window, smaller)
        if url is not None:
            try:
                window = self._file(access, progress, window, url)
            except QueryRefused:
                # The file is gone, seven days after its operation: run another one.
                again = window._replace(state=PENDING, operation="", appended=0)
                progress.save([again])
                return [again]
        progress.save([window._replace(state=DONE)])
        return []

    def _file(
        self, access: ReadAccess, progress: Progress, window: BackfillWindow, url: str
    ) -> BackfillWindow:
        """Append what of the file is not in the log yet; a broken connection is tried again."""
        for attempt in stamina.retry_context(on=AdminUnavailable, attempts=5, wait_initial=1.0):
            with attempt, closing(bulk.orders(self.client, url)) as found:
                rest = islice(found, window.appended, None)
                while batch := list(islice(rest, BATCH)):
                    self._check()
                    self._append(batch, access)
                    window = window._replace(appended=window.appended + len(batch))
                    progress.save([window])
        return window

    def _append(self, orders: Sequence[bytes], access: ReadAccess) -> None:
        since = rfc3339(int(self.clock()) - checkouts.KEPT_DAYS * DAY_S)
        self._append_checkouts(list(checkouts.bought(orders, since)))
        now_ms = int(self.clock() * 1000)
        records = [
            order_record(self.shop, order, access.zone, BACKFILL, now_ms) for order in orders
        ]
        if records:
            self.append(records)
        with self._lock:
            self._appended += len(records)
            self.advance(len(records))

    def _check(self) -> None:
        if self.stop.is_set():
            raise Stopped
