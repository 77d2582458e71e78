"""Folds a batch of orders into purchase days, customers and cells, in one transaction."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from aggregates.rfm.fold import customer as rfm_customer
from aggregates.rfm.fold import order as rfm_order
from aggregates.rfm.fold.customer import CUSTOMERS, DAYS, CustomerRow, DayChange, DayRow
from aggregates.rfm.fold.days import days_of, rows_of
from aggregates.rfm.fold.order import Contribution, contribution
from aggregates.rfm.fold.shop import RfmShopRow
from processors.engine.processor import Deltas
from processors.engine.projection import Change, Scope
from processors.orders.aliases import merged_into, shops_with_merges
from processors.orders.row import SETTLED, OrderRow
from stream.store.contract import Entities, Key, Transaction

PAGE: Final = 5_000
"""Orders that a recount reads at a time."""


class EarlyRow(NamedTuple):
    """Columns of `rfm_early`: an order of a day that has not begun."""

    shop: str
    day: int
    order_id: str


EARLY: Final = Entities("rfm_early", EarlyRow, 3)


class Moved(NamedTuple):
    """What an order of `shop` contributes to the generation `key`, before and after."""

    key: str
    shop: str
    was: Contribution | None
    now: Contribution | None


DayKey = tuple[str, str, int]
"""Key of a generation, customer, day."""


class Batch:
    """The changes of a transaction to generations of any number of shops; `save` at the end.

    One statement each for all of them, so that an order costs the same however many shops there
    are. Their rows of `rfm_shop` are locked.
    """

    def __init__(self, transaction: Transaction, shops: Mapping[Scope, RfmShopRow]) -> None:
        self._transaction, self._deltas = transaction, Deltas()
        self._shops = {shop.shop: shop for shop in shops.values()}
        self._cutoffs = {
            key: shop.as_of_day - shop.window_days for key, shop in self._shops.items()
        }

    def save(self) -> None:
        """Add the changes of cells."""
        self._deltas.save(self._transaction)

    def orders(self, work: Mapping[Scope, Sequence[Change[OrderRow]]]) -> None:
        """Count changed orders."""
        early: list[EarlyRow] = []
        moves: list[Moved] = []
        for scope, changes in work.items():
            shop = self._shops[scope.key]
            as_of_day = shop.as_of_day
            for old, new in changes:
                was = None if old is None else contribution(old, shop)
                now = None if new is None else contribution(new, shop)
                if was != now:
                    moves.append(Moved(shop.shop, scope.shop, was, now))
                if new is not None and new.day > as_of_day:
                    early.append(EarlyRow(shop.shop, new.day, new.order_id))
        self._transaction.save(EARLY, early)
        self.move(moves)

    def due(self, scope: Scope, since_day: int, changes: Iterable[Change[OrderRow]] = ()) -> None:
        """Count the orders of the days after `since_day` that came before their day; those of
        `changes`, whose new rows are saved already, as they were."""
        shop = self._shops[scope.key]
        sql = "SELECT shop, day, order_id FROM rfm_early WHERE shop = :shop AND day <= :until"
        found = self._transaction.query(sql, shop=shop.shop, until=shop.as_of_day)
        early = [EarlyRow(*row) for row in found]
        ids = {each.order_id for each in early}
        # Nobody changes them meanwhile: whoever counts orders of the shop waits for its lock.
        orders = SETTLED.by_id(self._transaction, scope.shop, ids)
        for old, new in changes:
            if new is not None and orders.pop(new.order_id, None) is not None and old is not None:
                orders[old.order_id] = old
        self._transaction.delete(EARLY, early)
        self.move(
            Moved(shop.shop, scope.shop, None, contribution(row, shop))
            for row in orders.values()
            if row.day > since_day
        )

    def move(self, moves: Iterable[Moved]) -> None:
        """Subtract what orders contributed, and add what they contribute now."""
        moved = [each for each in moves if each.was != each.now]
        kept = self._merged(moved)
        days: defaultdict[DayKey, list[int]] = defaultdict(lambda: [0, 0])
        for key, shop, was, now in moved:
            for each, sign in ((was, -1), (now, 1)):
                if each is None:
                    continue
                customer, day, revenue = each
                if not customer:
                    count = self._deltas.add if sign > 0 else self._deltas.take
                    count(rfm_order.cells(key, each))
                    continue
                if kept:
                    customer = kept.get((shop, customer), customer)
                change = days[key, customer, day]
                change[0] += sign
                change[1] += sign * revenue
        self.days(days)

    def _merged(self, moved: Sequence[Moved]) -> Mapping[tuple[str, str], str]:
        """The customers that customers of these orders are merged into."""
        if not shops_with_merges(self._transaction, {each.shop for each in moved}):
            return {}
        customers = {
            (each.shop, one.customer)
            for each in moved
            for one in (each.was, each.now)
            if one is not None and one.customer
        }
        return merged_into(self._transaction, customers)

    def merge(self, scope: Scope, gone: str, kept: str) -> None:
        """Move all purchase days of the deleted customer `gone` to `kept`."""
        moving: dict[DayKey, Sequence[int]] = {}
        for row in days_of(self._transaction, scope.key, [gone])[gone]:
            moving[row.shop, gone, row.day] = [-row.orders, -row.revenue]
            moving[row.shop, kept, row.day] = [row.orders, row.revenue]
        self.days(moving)

    def days(self, changes: Mapping[DayKey, Sequence[int]]) -> None:
        """Add `changes` (orders, revenue) to purchase days, and update their customers."""
        keys = [key for key, change in changes.items() if any(change)]
        if not keys:
            return
        before = self._transaction.load(CUSTOMERS, {(key[0], key[1]) for key in keys})
        rows = self._transaction.load(
            DAYS, [key for key in keys if _may_have_row(before.get((key[0], key[1])), key[2])]
        )
        by_customer: defaultdict[tuple[str, str], list[DayChange]] = defaultdict(list)
        for key in keys:
            name, customer, day = key
            orders, revenue = changes[key]
            of_customer = before.get((name, customer))
            old = None
            if of_customer is not None:
                old = rows.get(key) or _only_day(of_customer, day)
            if old is not None:
                orders, revenue = old.orders + orders, old.revenue + revenue
            new = DayRow(name, customer, day, orders, revenue)
            by_customer[name, customer].append((old, new))
        self._customers(before, by_customer)

    def _customers(
        self,
        before: Mapping[Key, CustomerRow],
        by_customer: Mapping[tuple[str, str], Sequence[DayChange]],
    ) -> None:
        moved: dict[tuple[str, str], CustomerRow | None] = {}
        saved: list[DayRow] = []
        emptied: list[Key] = []
        to_make_anew: defaultdict[str, list[str]] = defaultdict(list)
        for key, days in by_customer.items():
            name, customer = key
            old = before.get(key)
            new = rfm_customer.moved(name, customer, old, days, self._cutoffs[name])
            moved[key] = new
            if new is None:
                to_make_anew[name].append(customer)
            if new is None or new.days > 1:
                saved += [now for _, now in days if now.orders]
                emptied += [
                    DAYS.key_of(now) for was, now in days if was is not None and not now.orders
                ]
                if old is not None and old.days == 1:
                    only = rfm_customer.only_day(old)
                    saved += [] if any(now.day == only.day for _, now in days) else [only]
        self._transaction.save(DAYS, saved)
        self._transaction.delete(DAYS, emptied)
        only_left: list[Key] = []
        for name, customers in to_make_anew.items():
            for customer, its_days in rows_of(self._transaction, name, customers).items():
                new = rfm_customer.from_days(name, customer, its_days, self._cutoffs[name])
                moved[name, customer] = new
                if new is not None and new.days == 1:
                    only_left.append((name, customer, new.first_day))
        self._transaction.delete(DAYS, only_left)
        self._save_customers(before, moved)

    def _save_customers(
        self,
        before: Mapping[Key, CustomerRow],
        moved: Mapping[tuple[str, str], CustomerRow | None],
    ) -> None:
        saved: list[CustomerRow] = []
        gone: list[Key] = []
        for key, new in moved.items():
            old, exact = before.get(key), bool(self._shops[key[0]].exact)
            self._deltas.move(
                rfm_customer.cells(old, exact=exact), rfm_customer.cells(new, exact=exact)
            )
            if new is not None:
                saved.append(new)
            elif old is not None:
                gone.append(key)
        self._transaction.save(CUSTOMERS, saved, before)
        self._transaction.delete(CUSTOMERS, gone)


def _may_have_row(row: CustomerRow | None, day: int) -> bool:
    """Whether this day of a customer may have a row of its own; that of a new order has none."""
    return row is not None and row.days > 1 and row.first_day <= day <= row.last_day


def _only_day(row: CustomerRow, day: int) -> DayRow | None:
    """The customer's only day, if it is this one."""
    if row.days != 1 or row.first_day != day:
        return None
    return rfm_customer.only_day(row)


def orders_of(
    transaction: Transaction, scope: Scope, wanted: Callable[[OrderRow], bool]
) -> Iterator[list[OrderRow]]:
    """All orders that a generation counts and that are wanted, page by page."""
    last, until = "", None
    if scope.cursor is not None:
        index, key = scope.cursor
        if index < 0:
            return
        until = None if index > 0 else str(key[1])
    while found := SETTLED.after(transaction, scope.shop, last, PAGE):
        last = found[-1].order_id
        rows = [row for row in found if (until is None or row.order_id <= until) and wanted(row)]
        if rows:
            yield rows
