"""Folds a batch of sales into days and cohorts, in one transaction.

Any delivery may change which sale of a customer is the first: an older order arrives, or the first
one is cancelled. Then the former first sale counts as a returning one, and the whole customer moves
to another cohort.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from aggregates.days.fold.cells import (
    FIRSTS,
    MONTHS,
    FirstRow,
    MonthRow,
    cohort_cells,
    first_month,
    sale_cells,
)
from aggregates.days.fold.sale import Sale, month_of, sale
from processors.engine.processor import Deltas
from processors.engine.projection import Change, Scope
from processors.orders.aliases import merged_into
from processors.orders.row import ORDERS, SETTLED, OrderRow
from stream.store.contract import Key, Transaction

PAGE = 50
"""Orders of a customer that are read at a time to find the first."""


class MovedSale(NamedTuple):
    """A sale before and after."""

    was: Sale | None
    now: Sale | None


class MonthPlace(NamedTuple):
    """A customer's month in one currency."""

    customer: str
    month: int
    currency: str


@dataclass(slots=True)
class Writes:
    """What batches of several shops write, so that each table is written once."""

    deltas: Deltas = field(default_factory=Deltas)
    firsts: list[FirstRow] = field(default_factory=list)
    no_firsts: list[Key] = field(default_factory=list)
    months: list[MonthRow] = field(default_factory=list)
    no_months: list[Key] = field(default_factory=list)

    def save(self, transaction: Transaction) -> None:
        """Write all of it."""
        transaction.save(MONTHS, self.months)
        transaction.delete(MONTHS, self.no_months)
        transaction.save(FIRSTS, self.firsts)
        transaction.delete(FIRSTS, self.no_firsts)
        self.deltas.save(transaction)


def count_orders(
    transaction: Transaction, work: Mapping[Scope, Sequence[Change[OrderRow]]]
) -> None:
    """Count changed orders of any number of generations."""
    moved = {scope: _moved(work[scope]) for scope in sorted(work, key=lambda scope: scope.key)}
    named = {
        (scope.shop, each.customer)
        for scope, its in moved.items()
        for move in its
        for each in move
        if each is not None and each.customer
    }
    kept, writes = merged_into(transaction, named), Writes()
    batches = {scope: DaysBatch(transaction, scope, writes, kept) for scope in moved}
    keys = {
        (scope.key, customer)
        for scope, its in moved.items()
        for customer in batches[scope].customers(its)
    }
    firsts = transaction.load(FIRSTS, keys)
    for scope, its in moved.items():
        batches[scope].orders(its, firsts)
    writes.save(transaction)


def _moved(changes: Sequence[Change[OrderRow]]) -> list[MovedSale]:
    moved = [MovedSale(sale(old), sale(new)) for old, new in changes]
    return [each for each in moved if each.was != each.now]


class DaysBatch:
    """The changes of a transaction to one generation."""

    def __init__(
        self,
        transaction: Transaction,
        scope: Scope,
        writes: Writes,
        kept: Mapping[tuple[str, str], str] = MappingProxyType({}),
    ) -> None:
        """`kept`: customers that others (shop, customer) are merged into."""
        self._transaction, self._scope, self._key = transaction, scope, scope.key
        self._writes, self._deltas, self._merged_into = writes, writes.deltas, kept

    def customers(self, moved: Iterable[MovedSale]) -> set[str]:
        """Whose sales these are."""
        return {kept for each in moved for one in each if (kept := self._kept(one))}

    def orders(self, moved: Sequence[MovedSale], firsts: Mapping[Key, FirstRow]) -> None:
        """Count changed sales; `firsts` has the rows of their customers."""
        before, after = self._firsts(moved, firsts)
        self._days(moved, before, after)
        self._months(moved, before, after)
        self._save_firsts(before, after)

    def _kept(self, each: Sale | None) -> str:
        """The customer of a sale, as merges have it; "" where nobody is known."""
        if each is None or not each.customer:
            return ""
        if not self._merged_into:
            return each.customer
        return self._merged_into.get((self._scope.shop, each.customer), each.customer)

    def _firsts(
        self, moved: Sequence[MovedSale], firsts: Mapping[Key, FirstRow]
    ) -> tuple[dict[str, FirstRow], dict[str, FirstRow | None]]:
        """The first sale of every customer concerned, before and after."""
        left: defaultdict[str, set[str]] = defaultdict(set)
        came: defaultdict[str, list[Sale]] = defaultdict(list)
        for was, now in moved:
            if was is not None and (customer := self._kept(was)):
                left[customer].add(was.order_id)
            if now is not None and (customer := self._kept(now)):
                came[customer].append(now)
        customers = sorted(left.keys() | came.keys())
        before = {
            customer: row
            for customer in customers
            if (row := firsts.get((self._key, customer))) is not None
        }
        after: dict[str, FirstRow | None] = {}
        for customer in customers:
            old, earliest = before.get(customer), min(came[customer], default=None)
            arrived = None if earliest is None else self._row(customer, earliest)
            if old is None or (arrived is not None and _when(arrived) <= _when(old)):
                first = arrived
            elif old.order_id not in left[customer]:
                first = old
            else:
                first = self._earliest(customer)
            after[customer] = _with_month(first, old)
        return before, after

    def _row(self, customer: str, first: Sale) -> FirstRow:
        return FirstRow(
            self._key,
            customer,
            first.order_id,
            first.processed_ms,
            month_of(first.day),
            first.channel,
            first.campaign,
            first.currency,
            0,
            0,
        )

    def _earliest(self, customer: str) -> FirstRow | None:
        """The customer's first sale among all orders that this generation counts."""
        aliases = self._transaction.query(
            "SELECT deleted FROM customer_alias WHERE shop = :shop AND kept = :kept",
            shop=self._scope.shop,
            kept=customer,
        )
        found = [self._earliest_of(name) for name in {customer, *(row[0] for row in aliases)}]
        first = min((each for each in found if each is not None), default=None)
        return None if first is None else self._row(customer, first)

    def _earliest_of(self, name: str) -> Sale | None:
        """Of the orders that name a customer so; packed ones first (`PackedPages.load`)."""
        packed = [
            each
            for row in SETTLED.of_subject(self._transaction, self._scope.shop, {name})
            if (each := self._counted(row)) is not None
        ]
        unpacked = self._earliest_row(name)
        return min([*packed, *([] if unpacked is None else [unpacked])], default=None)

    def _counted(self, row: OrderRow) -> Sale | None:
        return sale(row) if self._scope.covers(0, (row.shop, row.order_id)) else None

    def _earliest_row(self, name: str) -> Sale | None:
        """By the index `shop_order_customer`."""
        columns = ", ".join(OrderRow._fields)
        after_ms, after_id = -(1 << 62), ""
        while True:
            page = self._transaction.query(
                f"SELECT {columns} FROM shop_order WHERE shop = :shop AND customer = :name"
                " AND (processed_ms, order_id) > (:after_ms, :after_id)"
                " ORDER BY processed_ms, order_id LIMIT :page",
                shop=self._scope.shop,
                name=name,
                after_ms=after_ms,
                after_id=after_id,
                page=PAGE,
            )
            for found in page:
                row = OrderRow._make(found)
                after_ms, after_id = row.processed_ms, row.order_id
                if (counted := self._counted(row)) is not None:
                    return counted
            if len(page) < PAGE:
                return None

    def _days(
        self,
        moved: Iterable[MovedSale],
        before: Mapping[str, FirstRow],
        after: Mapping[str, FirstRow | None],
    ) -> None:
        changed: set[str] = set()
        for was, now in moved:
            changed |= {each.order_id for each in (was, now) if each is not None}
            old, new = before.get(self._kept(was)), after.get(self._kept(now))
            self._deltas.move(
                sale_cells(self._key, was, first=_is(was, old)),
                sale_cells(self._key, now, first=_is(now, new)),
            )
        # Sales that did not change, and are first no longer, or now.
        flipped: dict[str, bool] = {}
        for customer, new in after.items():
            old = before.get(customer)
            if (old and old.order_id) != (new and new.order_id):
                flipped |= {row.order_id: row is new for row in (old, new) if row is not None}
        self._flip({each: now for each, now in flipped.items() if each not in changed})

    def _flip(self, flipped: Mapping[str, bool]) -> None:
        """Sales by order id, and whether each is its customer's first now."""
        keys: list[Key] = [(self._scope.shop, order_id) for order_id in sorted(flipped)]
        for row in SETTLED.load(self._transaction, ORDERS, keys).values():
            first, each = flipped[row.order_id], sale(row)
            self._deltas.move(
                sale_cells(self._key, each, first=not first),
                sale_cells(self._key, each, first=first),
            )

    def _months(
        self,
        moved: Iterable[MovedSale],
        before: Mapping[str, FirstRow],
        after: dict[str, FirstRow | None],
    ) -> None:
        changes: defaultdict[MonthPlace, list[int]] = defaultdict(lambda: [0, 0])
        for each in moved:
            for one, sign in ((each.was, -1), (each.now, 1)):
                if one is not None and (customer := self._kept(one)):
                    change = changes[MonthPlace(customer, month_of(one.day), one.currency)]
                    change[0] += sign
                    change[1] += sign * one.net
        moving = {
            customer
            for customer, new in after.items()
            if (old := before.get(customer)) is not None and _cohort(old) != _cohort(new)
        }
        for row in self._months_of(moving):
            changes[_place(row)][0] += 0  # All of theirs move.
        for customer in moving:
            for first in (before[customer], after[customer]):
                if first is not None:
                    changes[_place(first_month(first))][0] += 0
        rows = self._transaction.load(
            MONTHS,
            [
                (self._key, *place)
                for place in changes
                if place.customer in before and not _is_first(place, before[place.customer])
            ],
        )
        for place, (orders, revenue) in changes.items():
            old, new = before.get(place.customer), after[place.customer]
            kept = known = rows.get((self._key, *place))
            if old is not None and _is_first(place, old):
                known = first_month(old)
            if known is not None:
                orders, revenue = known.orders + orders, known.revenue + revenue
            now = MonthRow(self._key, *place, orders, revenue)
            self._deltas.move(cohort_cells(old, known), cohort_cells(new, now))
            if new is not None and _is_first(place, new):
                after[place.customer] = new._replace(orders=orders, revenue=revenue)
            elif orders:
                self._writes.months.append(now)
                continue
            if kept is not None:
                self._writes.no_months.append(kept.key)

    def _months_of(self, customers: Iterable[str]) -> list[MonthRow]:
        sql = (
            f"SELECT {', '.join(MonthRow._fields)} FROM day_customer_month"
            " WHERE shop = :shop AND customer = :customer"
        )
        return [
            MonthRow._make(row)
            for customer in sorted(customers)
            for row in self._transaction.query(sql, shop=self._key, customer=customer)
        ]

    def _save_firsts(
        self, before: Mapping[str, FirstRow], after: Mapping[str, FirstRow | None]
    ) -> None:
        self._writes.firsts += [
            row for customer, row in after.items() if row and row != before.get(customer)
        ]
        self._writes.no_firsts += [
            (self._key, customer)
            for customer, row in after.items()
            if row is None and customer in before
        ]

    def merge(self, gone: str, kept: str) -> None:
        """All sales of the deleted customer `gone` become those of `kept`."""
        keys: list[Key] = [(self._key, gone), (self._key, kept)]
        found = self._transaction.load(FIRSTS, keys)
        theirs, ours = found.get(keys[0]), found.get(keys[1])
        if theirs is None:
            return
        first = theirs if ours is None else min(theirs, ours, key=_when)
        if ours is not None:
            later = ours if first is theirs else theirs
            self._flip({later.order_id: False})
        rows = self._months_of([gone, kept])
        sums: dict[MonthPlace, MonthRow] = {}
        for row in [*rows, *(first_month(each) for each in (theirs, ours) if each is not None)]:
            self._deltas.take(cohort_cells(theirs if row.customer == gone else ours, row))
            place = MonthPlace(kept, row.month, row.currency)
            orders, revenue = row.orders, row.revenue
            if (before := sums.get(place)) is not None:
                orders, revenue = orders + before.orders, revenue + before.revenue
            sums[place] = MonthRow(self._key, *place, orders, revenue)
        for row in sums.values():
            self._deltas.add(cohort_cells(first, row))
        of_first = sums.pop(MonthPlace(kept, first.cohort, first.currency))
        locked = self._transaction.load(MONTHS, [row.key for row in rows])
        self._transaction.delete(MONTHS, list(locked))
        months = [row for row in sums.values() if row.orders]
        self._transaction.load(MONTHS, [row.key for row in months])
        self._transaction.save(MONTHS, months)
        self._transaction.delete(FIRSTS, [keys[0]])
        first = first._replace(customer=kept, orders=of_first.orders, revenue=of_first.revenue)
        self._transaction.save(FIRSTS, [first])


def _when(row: FirstRow) -> tuple[int, str]:
    return row.processed_ms, row.order_id


def _cohort(row: FirstRow | None) -> tuple[int, str, str, str] | None:
    return None if row is None else (row.cohort, row.channel, row.campaign, row.currency)


def _place(row: MonthRow) -> MonthPlace:
    return MonthPlace(row.customer, row.month, row.currency)


def _is_first(place: MonthPlace, first: FirstRow) -> bool:
    """Whether it is the month of the first sale, in its currency."""
    return place.month == first.cohort and place.currency == first.currency


def _with_month(first: FirstRow | None, old: FirstRow | None) -> FirstRow | None:
    """The first sale, with what `old` says was bought in its month."""
    if first is None or old is None or first is old:
        return first
    if (first.cohort, first.currency) != (old.cohort, old.currency):
        return first
    return first._replace(orders=old.orders, revenue=old.revenue)


def _is(each: Sale | None, first: FirstRow | None) -> bool:
    return each is not None and first is not None and each.order_id == first.order_id
