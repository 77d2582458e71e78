"""The RFM projection: keeps customers and their cells up to date with every order (order ->
purchase day -> customer -> cells)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from zoneinfo import ZoneInfo

from aggregates.rfm.fold import customer as rfm_customer
from aggregates.rfm.fold import order as rfm_order
from aggregates.rfm.fold.batch import EARLY, Batch, EarlyRow, Moved, orders_of
from aggregates.rfm.fold.customer import (
    BTYD_CELLS,
    CUSTOMERS,
    DAYS,
    LAST_DAY_CELLS,
    RFM_CELLS,
    SPEND_CELLS,
)
from aggregates.rfm.fold.order import LEFT_OUT_CELLS, contribution
from aggregates.rfm.fold.shop import (
    SHOPS,
    RfmShopRow,
    move_window,
    shop_rows,
    to_bins,
    today,
)
from processors.engine.processor import Counted
from processors.engine.projection import Change, Projection, Scope, Source, rows, scopes_of, shop_of
from processors.orders.currency import currency_of_most
from processors.orders.row import ORDERS, OrderRow, counts
from processors.orders.shop import offsets
from stream.store.contract import Key, Reading, Transaction

NAME: Final = "rfm"
VERSION: Final = 1
WINDOW_DAYS: Final = 365
EXACT_BELOW: Final = 50_000
"""Customers ever, below which amounts are kept exactly."""
SHOPS_PER_TICK: Final = 50
"""Shops that one tick moves over midnight: each is a lock, and many have theirs at that time."""
HOUR_MS: Final = 3_600_000
QUARTER_MS: Final = 900_000
"""No time zone's offset is a fraction of it (IANA, since 1972)."""
OF_CUSTOMERS: Final = (RFM_CELLS, LAST_DAY_CELLS, BTYD_CELLS, SPEND_CELLS)
TABLES: Final = (SHOPS, EARLY, DAYS, CUSTOMERS, *OF_CUSTOMERS, LEFT_OUT_CELLS)


@dataclass(slots=True)
class RfmFold:
    """The fold. `zones` and `currencies` are of the shops that have one set.

    The window ends with the shop's day `as_of_day`, which moves at the shop's midnight; only
    customers with a day that leaves change. An order of a later day (a clock that is ahead) counts
    when its day has come. A batch reads the row of `rfm_shop`, shared; midnight, a merge of
    customers, another currency, and the step from exact amounts to bins lock it exclusively.
    """

    zones: Mapping[str, ZoneInfo] = field(default_factory=dict)
    currencies: Mapping[str, str] = field(default_factory=dict)
    window_days: int = WINDOW_DAYS
    exact_below: int = EXACT_BELOW
    version: int = VERSION
    _grown: set[str] = field(default_factory=set, init=False)
    """Keys of shops with orders since the last tick."""
    _looked_ms: int = field(default=0, init=False)
    _look_again_ms: int = field(default=0, init=False)
    """Between these times a tick does not look at every shop."""

    def projection(self) -> Projection:
        """For the orders processor and for rebuilds."""
        source = Source(ORDERS, self.apply, self.expected)
        return Projection(NAME, self.version, (source,), TABLES, merged=self.merged, tick=self.tick)

    def apply(
        self,
        transaction: Transaction,
        work: Mapping[Scope, Sequence[Change[OrderRow]]],
        now_ms: int,
    ) -> None:
        """Count changed orders in each generation."""
        batch = Batch(transaction, self._shops(transaction, work, now_ms))
        batch.orders(work)
        batch.save()
        self._grown |= {scope.key for scope in work}

    def merged(
        self, transaction: Transaction, scope: Scope, customers: Sequence[tuple[str, str]]
    ) -> None:
        """Customers (gone, kept) were merged."""
        shop = transaction.load(SHOPS, [(scope.key,)]).get((scope.key,))
        if shop is None:  # Nothing is counted yet, so nothing moves.
            return
        batch = Batch(transaction, {scope: shop})
        for gone, kept in customers:
            batch.merge(scope, gone, kept)
        batch.save()

    def expected(self, reading: Reading, scope: Scope) -> Iterator[Counted]:
        """All cells of a generation, from its orders and customers as they are."""
        found = reading.query(
            f"SELECT {', '.join(RfmShopRow._fields)} FROM rfm_shop WHERE shop = :shop",
            shop=scope.key,
        )
        if not found:
            return
        shop = RfmShopRow(*found[0])
        for customer in rows(reading, CUSTOMERS, scope.key):
            yield from rfm_customer.cells(customer, exact=bool(shop.exact))
        for order in rows(reading, ORDERS, scope.shop):
            if scope.covers(0, (order.shop, order.order_id)):
                yield from rfm_order.cells(scope.key, contribution(order, shop))

    def _shops(
        self,
        transaction: Transaction,
        work: Mapping[Scope, Sequence[Change[OrderRow]]],
        now_ms: int,
    ) -> dict[Scope, RfmShopRow]:
        """The shops' settings for this batch; locked exclusively only where the batch changes them.

        All locks are taken in the order of keys, so that owners of two batches do not deadlock.
        """
        ahead = offsets(transaction, {scope.shop for scope in work} - self.zones.keys())
        known = {row.shop: row for row in shop_rows(transaction, [scope.key for scope in work])}
        found: dict[Key, RfmShopRow] = {}
        shared: list[Key] = []
        for scope in sorted(work, key=lambda scope: scope.key):
            row = known.get(scope.key)
            day = today(self.zones.get(scope.shop), ahead.get(scope.shop, 0), now_ms)
            if row is None or row.as_of_day < day or not row.currency:
                found |= transaction.load(SHOPS, shared, shared=True)
                shared = []
                self._change(transaction, scope, work[scope], day)
            shared.append((scope.key,))
        found |= transaction.load(SHOPS, shared, shared=True)
        return {scope: found[(scope.key,)] for scope in work}

    def _change(
        self,
        transaction: Transaction,
        scope: Scope,
        changes: Sequence[Change[OrderRow]],
        day: int,
    ) -> None:
        """Lock a shop exclusively; begin it, or bring it to `day` and give it a currency."""
        row = transaction.load(SHOPS, [(scope.key,)]).get((scope.key,))
        currency = self._first_currency(transaction, scope.shop, changes)
        if row is None:
            new = RfmShopRow(scope.key, currency, day, 1, self.window_days)
            transaction.save(SHOPS, [new])
            return
        if not row.currency:
            row = row._replace(currency=currency)
        self._advance(transaction, scope, row, max(row.as_of_day, day), row.window_days, changes)

    def _first_currency(
        self, reading: Reading, shop: str, changes: Iterable[Change[OrderRow]]
    ) -> str:
        """The currency until the next tick. A rebuild finds that of most orders already counted,
        so that it never answers in a few foreign buyers' currency."""
        sales = (new.currency for _, new in changes if new is not None and counts(new))
        return self.currencies.get(shop) or currency_of_most(reading, shop) or next(sales, "")

    def _advance(
        self,
        transaction: Transaction,
        scope: Scope,
        shop: RfmShopRow,
        as_of_day: int,
        window_days: int,
        changes: Sequence[Change[OrderRow]] = (),
    ) -> None:
        """Move the window of an exclusively locked shop; count the orders whose day has come.

        `changes` are of this transaction, and not counted yet.
        """
        moved = move_window(transaction, shop, as_of_day, window_days)
        batch = Batch(transaction, {scope: moved})
        batch.due(scope, shop.as_of_day, changes)
        batch.save()

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Midnight, another window or currency, and the step to bins.

        Midnights fall on quarter hours of UTC. Until the next one only shops with new orders are
        looked at, so an idle tick makes no statement.
        """
        looks_at_all = shop is None and not self._looked_ms <= now_ms < self._look_again_ms
        if shop is None and not looks_at_all and not self._grown:
            return
        shops = {shop} if shop is not None else {shop_of(key) for key in self._grown}
        active = {
            scope.key: scope
            for scope in scopes_of(transaction, NAME, self.version, None if looks_at_all else shops)
        }
        grown = self._grown & active.keys()
        looked_at = set(grown)  # Cleared at the end, since a tick that raises is repeated.
        left = SHOPS_PER_TICK
        ahead = offsets(transaction, {scope.shop for scope in active.values()})
        for row in shop_rows(transaction, None if looks_at_all else active.keys()):
            scope = active.get(row.shop)
            if scope is None:
                continue
            zone, offset_s = self.zones.get(scope.shop), ahead.get(scope.shop, 0)
            day = today(zone, offset_s, now_ms)
            # From a clock that was ahead. Within an hour of midnight also from a learned offset,
            # which changes with summer time; the day comes soon.
            put_back = row.as_of_day > today(zone, offset_s, now_ms + HOUR_MS)
            moves = day > row.as_of_day or put_back or row.window_days != self.window_days
            if left and moves:
                left -= 1
                row = transaction.load(SHOPS, [(row.shop,)])[(row.shop,)]
                if put_back:
                    row = _put_back(transaction, scope, row, day)
                self._advance(transaction, scope, row, max(row.as_of_day, day), self.window_days)
                grown.add(row.shop)
            self._currency(transaction, scope, row, looked_up=row.shop in grown)
            if row.exact and row.shop in grown:
                sql = "SELECT sum(customers) FROM rfm_last_day_cell WHERE shop = :shop"
                if (transaction.query(sql, shop=row.shop)[0][0] or 0) >= self.exact_below:
                    to_bins(transaction, row.shop)
        if looks_at_all:
            # A look that moved something is repeated: its transaction may not be committed.
            moved = left < SHOPS_PER_TICK
            self._looked_ms = now_ms
            self._look_again_ms = 0 if moved else (now_ms // QUARTER_MS + 1) * QUARTER_MS
        self._grown -= looked_at

    def _currency(
        self, transaction: Transaction, scope: Scope, shop: RfmShopRow, *, looked_up: bool
    ) -> None:
        """Count the shop in another currency, if that is set or has become that of most orders."""
        currency = self.currencies.get(scope.shop)
        if not currency:
            currency = currency_of_most(transaction, scope.shop) if looked_up else shop.currency
        if currency != shop.currency:
            shop = transaction.load(SHOPS, [(scope.key,)])[(scope.key,)]
            _recount(transaction, scope, shop, currency)


def _recount(transaction: Transaction, scope: Scope, shop: RfmShopRow, currency: str) -> None:
    """Count an exclusively locked shop in another currency."""
    now = shop._replace(currency=currency)
    transaction.save(SHOPS, [now])
    batch = Batch(transaction, {scope: now})
    currencies = (shop.currency, currency)
    for found in orders_of(transaction, scope, lambda row: row.currency in currencies):
        batch.move(
            Moved(scope.key, scope.shop, contribution(row, shop), contribution(row, now))
            for row in found
        )
    batch.save()


def _put_back(transaction: Transaction, scope: Scope, shop: RfmShopRow, day: int) -> RfmShopRow:
    """End an exclusively locked shop's window with `day`, before its `as_of_day`.

    Later orders wait for their day again.
    """
    batch = Batch(transaction, {scope: shop})
    for found in orders_of(transaction, scope, lambda row: row.day > day):
        transaction.save(EARLY, [EarlyRow(scope.key, row.day, row.order_id) for row in found])
        batch.move(Moved(scope.key, scope.shop, contribution(row, shop), None) for row in found)
    batch.save()
    return move_window(transaction, shop, day, shop.window_days)
