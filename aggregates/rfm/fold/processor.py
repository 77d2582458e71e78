"""RFM and lifetime value per customer and shop, kept up to date with every order.

order -> purchase day -> customer -> cells: an order adds one and its net money to a day of a
customer, the days make the customer, the customer counts in cells. Only differences are written.

The window is 365 days up to `as_of_day`, which moves on at the shop's midnight; an order of a later
day counts when its day has come. `rfm_shop` is read by every batch under a shared lock. What
concerns the whole shop takes the exclusive lock: midnight, a merge of customers, the step from
exact amounts to bins at 50,000 customers (docs/facts/analytics.md, "Bins of money"; never taken
back), and a change of the currency in which the shop is counted, after which all its orders are
counted anew.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from aggregates.rfm.fold import customer as rfm_customer
from aggregates.rfm.fold import order as rfm_order
from aggregates.rfm.fold.customer import (
    BTYD_CELLS,
    CUSTOMERS,
    DAYS,
    LAST_DAY_CELLS,
    RFM_CELLS,
    SPEND_CELLS,
    CustomerRow,
    DayChange,
    DayRow,
)
from aggregates.rfm.fold.days import days_of
from aggregates.rfm.fold.merge import Aliases
from aggregates.rfm.fold.order import (
    CURRENCY_CELLS,
    ORDERS,
    Contribution,
    contribution,
    currency_of_most,
)
from aggregates.rfm.fold.shop import SHOPS, ShopRow, learned, move_window, to_bins, today
from processors.engine.processor import Deltas, in_shop
from processors.orders.customer import customer_key
from processors.orders.state import OrderRow, is_valid, merge
from processors.shopify.orders import CustomersMerged, Order, OrderEvent, Zones, decode_order
from stream.record import Entry
from stream.store.contract import Entities, Key, Transaction

WINDOW_DAYS = 365
EXACT_BELOW = 50_000
"""Customers ever, below which amounts are kept exactly."""

AT_ONCE = 5_000
"""Orders that a recount has in memory at a time."""

SHOPS_AT_ONCE = 50
"""How many shops one `tick` takes over midnight: each is a lock, and more shops than that have theirs at the same time."""


class EarlyRow(NamedTuple):
    """Columns of `rfm_early`: an order of a day that has not begun."""

    shop: str
    day: int
    order_id: str


EARLY = Entities("rfm_early", EarlyRow, 3)


class RfmProcessor:
    """Orders -> customers -> cells."""

    name = "rfm"
    topic = "orders"

    def __init__(
        self,
        zones: Zones,
        currencies: Mapping[str, str] | None = None,
        *,
        window_days: int = WINDOW_DAYS,
        exact_below: int = EXACT_BELOW,
    ) -> None:
        """`currencies`: of the shops that have one set."""
        self._zones, self._currencies, self._window_days, self._exact_below = (
            zones,
            currencies or {},
            window_days,
            exact_below,
        )
        self._grown: set[str] = set()
        self._to_sweep = False

    def decode(self, entry: Entry) -> OrderEvent | None:
        return decode_order(entry, self._zones)

    def apply(self, transaction: Transaction, events: Sequence[OrderEvent], now_ms: int) -> None:
        by_shop: dict[str, list[OrderEvent]] = {}
        for event in events:
            by_shop.setdefault(event.shop, []).append(event)
        for name in sorted(by_shop):
            self._apply(transaction, name, by_shop[name], now_ms)

    def _apply(
        self, transaction: Transaction, name: str, events: Sequence[OrderEvent], now_ms: int
    ) -> None:
        merges = [event for event in events if isinstance(event, CustomersMerged)]
        orders = [event for event in events if not isinstance(event, CustomersMerged)]
        shop = self._shop(transaction, name, orders, now_ms, alone=bool(merges))
        work = _Batch(transaction, shop)
        for event in merges:
            work.merge(event)
        work.orders(orders)
        work.save()
        self._grown.add(name)

    def _shop(
        self,
        transaction: Transaction,
        name: str,
        events: Sequence[OrderEvent],
        now_ms: int,
        *,
        alone: bool,
    ) -> ShopRow:
        """The shop as this batch goes by it. It is looked at first and locked alone only where these events change it."""
        found = transaction.query(
            f"SELECT {', '.join(ShopRow._fields)} FROM rfm_shop WHERE shop = :shop", shop=name
        )
        known = ShopRow(*found[0]) if found else None
        if (
            known is None
            or self._told(known, events, now_ms) != known
            or self._today(known, now_ms) > known.as_of_day
        ):
            known = transaction.load(SHOPS, [(name,)]).get((name,))
            told = self._told(
                known or ShopRow(name, "", 0, 1, window_days=self._window_days), events, now_ms
            )
            if known is None:
                transaction.save(SHOPS, [told._replace(as_of_day=self._today(told, now_ms))])
            else:
                self._advance(
                    transaction,
                    told,
                    max(told.as_of_day, self._today(told, now_ms)),
                    told.window_days,
                )
        return transaction.load(SHOPS, [(name,)], shared=not alone)[(name,)]

    def _told(self, shop: ShopRow, events: Iterable[OrderEvent], now_ms: int) -> ShopRow:
        """The shop with what its orders say of it. Test orders say nothing: they may be older than its settings."""
        orders = [event for event in events if isinstance(event, Order) and not event.test]
        if not shop.currency:  # Until the next tick knows better.
            told = self._currencies.get(shop.shop) or next(
                (order.currency for order in orders if is_valid(order)), ""
            )
            shop = shop._replace(currency=told)
        return shop if shop.shop in self._zones else learned(shop, orders, now_ms)

    def _today(self, shop: ShopRow, now_ms: int) -> int:
        return today(shop, self._zones.get(shop.shop), now_ms)

    def _advance(
        self, transaction: Transaction, shop: ShopRow, as_of_day: int, window_days: int
    ) -> None:
        """Move the window of a shop that is locked alone, and count the orders whose day has come."""
        moved = move_window(transaction, shop, as_of_day, window_days)
        work = _Batch(transaction, moved)
        work.due(shop.as_of_day)
        work.save()

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Midnight, another window or currency, the step to bins, and cells that became zero."""
        grown = set(self._grown) if shop is None else self._grown & {shop}
        looked_at = set(grown)  # forgotten at the end, for a tick that raises is done again
        left = SHOPS_AT_ONCE
        here, of_shop = in_shop(shop)
        for found in transaction.query(
            f"SELECT {', '.join(ShopRow._fields)} FROM rfm_shop WHERE 1 = 1{here} ORDER BY shop",
            **of_shop,
        ):
            row = ShopRow(*found)
            day = self._today(row, now_ms)
            # One day may be an offset that was learned; more is a clock that was wrong.
            ahead = row.as_of_day > day + 1
            if left and (day > row.as_of_day or ahead or row.window_days != self._window_days):
                left, self._to_sweep = left - 1, True
                row = transaction.load(SHOPS, [(row.shop,)])[(row.shop,)]
                if ahead:
                    row = _put_back(transaction, row, day)
                self._advance(transaction, row, max(row.as_of_day, day), self._window_days)
                grown.add(row.shop)
            currency = self._currencies.get(row.shop) or (
                currency_of_most(transaction, row.shop) if row.shop in grown else row.currency
            )
            if currency != row.currency:
                self._to_sweep = True
                _recount(transaction, transaction.load(SHOPS, [(row.shop,)])[(row.shop,)], currency)
            if row.exact and row.shop in grown:
                ever = transaction.query(
                    "SELECT sum(customers) FROM rfm_last_day_cell WHERE shop = :shop",
                    shop=row.shop,
                )[0][0]
                if (ever or 0) >= self._exact_below:
                    to_bins(transaction, row.shop)
        if self._to_sweep and left == SHOPS_AT_ONCE:
            self._to_sweep = False
            for cells in (RFM_CELLS, LAST_DAY_CELLS, BTYD_CELLS, SPEND_CELLS, CURRENCY_CELLS):
                transaction.sweep(cells)
        self._grown -= looked_at


def _recount(transaction: Transaction, shop: ShopRow, currency: str) -> None:
    """Count a shop that is locked alone in another currency."""
    now = shop._replace(currency=currency)
    transaction.save(SHOPS, [now])
    work = _Batch(transaction, now)
    for rows in _orders(
        transaction, shop.shop, "currency IN (:was, :now)", was=shop.currency, now=currency
    ):
        work.move([(contribution(row, shop), contribution(row, now)) for row in rows])
    work.save()


def _put_back(transaction: Transaction, shop: ShopRow, day: int) -> ShopRow:
    """Let the window of a shop that is locked alone end with `day`, before its `as_of_day`: what came after waits for its day again."""
    work = _Batch(transaction, shop)
    for rows in _orders(transaction, shop.shop, "day > :day", day=day):
        transaction.save(EARLY, [EarlyRow(shop.shop, row.day, row.order_id) for row in rows])
        work.move([(contribution(row, shop), None) for row in rows])
    work.save()
    return move_window(transaction, shop, day, shop.window_days)


def _orders(
    transaction: Transaction, shop: str, where: str, **values: str | int
) -> Iterator[list[OrderRow]]:
    """All orders of a shop for which `where` is true, page by page: the whole table is read, as is right for what is rare."""
    last = ""
    sql = (
        f"SELECT {', '.join(OrderRow._fields)} FROM rfm_order"
        f" WHERE shop = :shop AND order_id > :last AND {where} ORDER BY order_id LIMIT :page"
    )
    while found := transaction.query(sql, shop=shop, last=last, page=AT_ONCE, **values):
        rows = [OrderRow(*row) for row in found]
        yield rows
        last = rows[-1].order_id


class _Batch:
    """Orders -> purchase days -> customers -> cells, for one shop in one transaction."""

    def __init__(self, transaction: Transaction, shop: ShopRow) -> None:
        self._transaction, self._shop, self._cutoff = (
            transaction,
            shop,
            shop.as_of_day - shop.window_days,
        )
        self._deltas, self._aliases = Deltas(), Aliases(transaction, shop.shop)

    def save(self) -> None:
        """Add what the batch changed of cells."""
        self._deltas.save(self._transaction)

    def orders(self, events: Sequence[OrderEvent]) -> None:
        """Fold orders."""
        name = self._shop.shop
        by_order: dict[Key, list[OrderEvent]] = {}
        for event in events:
            if not isinstance(event, CustomersMerged):
                by_order.setdefault((name, event.order_id), []).append(event)
        before = self._transaction.load(ORDERS, by_order)
        changed: list[OrderRow] = []
        moves: list[tuple[Contribution | None, Contribution | None]] = []
        for key, its_events in by_order.items():
            old = new = before.get(key)
            for event in its_events:
                new = merge(new, event, customer_key)
            if new is not None and new != old:
                changed.append(new)
                moves.append((contribution(old, self._shop), contribution(new, self._shop)))
        self._transaction.save(ORDERS, changed)
        self._transaction.save(
            EARLY,
            [
                EarlyRow(name, row.day, row.order_id)
                for row in changed
                if row.day > self._shop.as_of_day
            ],
        )
        self.move(moves)

    def due(self, since_day: int) -> None:
        """Count the orders of the days after `since_day` that came before their day."""
        name, until = self._shop.shop, self._shop.as_of_day
        sql = "SELECT shop, day, order_id FROM rfm_early WHERE shop = :shop AND day <= :until"
        early = [EarlyRow(*row) for row in self._transaction.query(sql, shop=name, until=until)]
        rows = self._transaction.load(ORDERS, {(name, each.order_id) for each in early}).values()
        self._transaction.delete(EARLY, early)
        self.move([(None, contribution(row, self._shop)) for row in rows if row.day > since_day])

    def move(self, moves: Iterable[tuple[Contribution | None, Contribution | None]]) -> None:
        """Take away what orders contributed, and add what they contribute now."""
        moved = [(was, now) for was, now in moves if was != now]
        self._aliases.look_up(
            {each.customer for move in moved for each in move if each is not None and each.customer}
        )
        days: defaultdict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        for was, now in moved:
            self._deltas.move(
                rfm_order.cells(self._shop.shop, was), rfm_order.cells(self._shop.shop, now)
            )
            for each, sign in ((was, -1), (now, 1)):
                if each is None or not each.customer:
                    continue
                change = days[self._aliases.kept(each.customer), each.day]
                change[0] += sign
                change[1] += sign * each.revenue
        self.days(days)

    def merge(self, event: CustomersMerged) -> None:
        """All purchase days of the customer that is gone become those of the customer that is kept."""
        for gone in self._aliases.merge(event):
            moving: dict[tuple[str, int], Sequence[int]] = {}
            for row in days_of(self._transaction, self._shop.shop, [gone])[gone]:
                moving[gone, row.day] = [-row.orders, -row.revenue]
                moving[self._aliases.kept(gone), row.day] = [row.orders, row.revenue]
            self.days(moving)

    def days(self, changes: Mapping[tuple[str, int], Sequence[int]]) -> None:
        """Add `changes` ((customer, day) -> orders, revenue) to purchase days, and let their customers follow."""
        name = self._shop.shop
        keys = [(name, *key) for key in sorted(changes) if any(changes[key])]
        if not keys:
            return
        before = self._transaction.load(DAYS, keys)
        saved: list[DayRow] = []
        emptied: list[Key] = []
        by_customer: defaultdict[str, list[DayChange]] = defaultdict(list)
        for key in keys:
            _, customer, day = key
            orders, revenue = changes[customer, day]
            old = before.get(key)
            if old is not None:
                orders, revenue = old.orders + orders, old.revenue + revenue
            new = DayRow(name, customer, day, orders, revenue)
            by_customer[customer].append((old, new))
            if orders:
                saved.append(new)
            elif old is not None:
                emptied.append(key)
        self._transaction.save(DAYS, saved)
        self._transaction.delete(DAYS, emptied)
        self._customers(by_customer)

    def _customers(self, by_customer: Mapping[str, Sequence[DayChange]]) -> None:
        name, exact = self._shop.shop, bool(self._shop.exact)
        before = self._transaction.load(CUSTOMERS, [(name, customer) for customer in by_customer])
        moved = [
            (
                customer,
                old := before.get((name, customer)),
                rfm_customer.moved(name, customer, old, days, self._cutoff),
            )
            for customer, days in by_customer.items()
        ]
        anew = days_of(
            self._transaction, name, [customer for customer, _, new in moved if new is None]
        )
        saved: list[CustomerRow] = []
        gone: list[Key] = []
        for customer, old, new in moved:
            if new is None:
                new = rfm_customer.from_days(name, customer, anew[customer], self._cutoff)
            self._deltas.move(
                rfm_customer.cells(old, exact=exact), rfm_customer.cells(new, exact=exact)
            )
            if new is not None:
                saved.append(new)
            elif old is not None:
                gone.append((name, customer))
        self._transaction.save(CUSTOMERS, saved)
        self._transaction.delete(CUSTOMERS, gone)
