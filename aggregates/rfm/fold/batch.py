"""Folds a batch of orders into purchase days, customers and cells, in one transaction."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from aggregates.rfm.fold import customer as rfm_customer
from aggregates.rfm.fold import order as rfm_order
from aggregates.rfm.fold.customer import CUSTOMERS, DAYS, CustomerRow, DayChange, DayRow
from aggregates.rfm.fold.days import days_of
from aggregates.rfm.fold.order import Contribution, contribution
from aggregates.rfm.fold.shop import RfmShopRow
from processors.engine.processor import Deltas
from processors.engine.projection import Change, Scope
from processors.orders.aliases import Aliases
from processors.orders.row import ORDERS, OrderRow
from stream.store.contract import Entities, Key, Transaction

PAGE: Final = 5_000
"""Orders that a recount reads at a time."""


class EarlyRow(NamedTuple):
    """Columns of `rfm_early`: an order of a day that has not begun."""

    shop: str
    day: int
    order_id: str


EARLY: Final = Entities("rfm_early", EarlyRow, 3)


class Batch:
    """The changes of a transaction to one generation; `save` at the end."""

    def __init__(self, transaction: Transaction, scope: Scope, shop: RfmShopRow) -> None:
        self._transaction, self._scope, self._shop = transaction, scope, shop
        self._cutoff = shop.as_of_day - shop.window_days
        self._deltas, self._aliases = Deltas(), Aliases(transaction, scope.shop)

    def save(self) -> None:
        """Add the changes of cells."""
        self._deltas.save(self._transaction)

    def orders(self, changes: Sequence[Change[OrderRow]]) -> None:
        """Count changed orders."""
        shop = self._shop
        early = [
            EarlyRow(shop.shop, row.day, row.order_id)
            for _, row in changes
            if row is not None and row.day > shop.as_of_day
        ]
        self._transaction.save(EARLY, early)
        self.move(
            (
                None if old is None else contribution(old, shop),
                None if new is None else contribution(new, shop),
            )
            for old, new in changes
        )

    def due(self, since_day: int) -> None:
        """Count the orders of the days after `since_day` that came before their day."""
        key, until = self._shop.shop, self._shop.as_of_day
        sql = "SELECT shop, day, order_id FROM rfm_early WHERE shop = :shop AND day <= :until"
        early = [EarlyRow(*row) for row in self._transaction.query(sql, shop=key, until=until)]
        ids = {(self._scope.shop, each.order_id) for each in early}
        found = self._transaction.load(ORDERS, ids).values()
        self._transaction.delete(EARLY, early)
        self.move([(None, contribution(row, self._shop)) for row in found if row.day > since_day])

    def move(self, moves: Iterable[tuple[Contribution | None, Contribution | None]]) -> None:
        """Subtract what orders contributed, and add what they contribute now."""
        moved = [(was, now) for was, now in moves if was != now]
        self._aliases.look_up(
            {each.customer for move in moved for each in move if each is not None and each.customer}
        )
        days: defaultdict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
        key = self._shop.shop
        for was, now in moved:
            self._deltas.move(rfm_order.cells(key, was), rfm_order.cells(key, now))
            for each, sign in ((was, -1), (now, 1)):
                if each is None or not each.customer:
                    continue
                change = days[self._aliases.kept(each.customer), each.day]
                change[0] += sign
                change[1] += sign * each.revenue
        self.days(days)

    def merge(self, gone: str, kept: str) -> None:
        """Move all purchase days of the deleted customer `gone` to `kept`."""
        moving: dict[tuple[str, int], Sequence[int]] = {}
        for row in days_of(self._transaction, self._shop.shop, [gone])[gone]:
            moving[gone, row.day] = [-row.orders, -row.revenue]
            moving[kept, row.day] = [row.orders, row.revenue]
        self.days(moving)

    def days(self, changes: Mapping[tuple[str, int], Sequence[int]]) -> None:
        """Add `changes` ((customer, day) -> orders, revenue) to purchase days, and update their
        customers."""
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


def orders_of(
    transaction: Transaction, scope: Scope, where: str, **values: str | int
) -> Iterator[list[OrderRow]]:
    """All orders that a generation counts and that match `where`, page by page."""
    last, until = "", ""
    if scope.cursor is not None:
        index, key = scope.cursor
        if index < 0:
            return
        until = "" if index > 0 else " AND order_id <= :until"
        values |= {"until": str(key[1])} if until else {}
    sql = (
        f"SELECT {', '.join(OrderRow._fields)} FROM shop_order"
        f" WHERE shop = :shop AND order_id > :last{until} AND {where}"
        " ORDER BY order_id LIMIT :page"
    )
    while found := transaction.query(sql, shop=scope.shop, last=last, page=PAGE, **values):
        rows = [OrderRow(*row) for row in found]
        yield rows
        last = rows[-1].order_id
