"""Folds a batch of sales into days and cohorts, in one transaction.

Any delivery may change which sale of a customer is the first: an older order arrives, or the first
one is cancelled. Then the former first sale counts as a returning one, and the whole customer moves
to another cohort.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from aggregates.days.fold.cells import (
    COHORT_CELLS,
    DAY_CELLS,
    FIRSTS,
    MONTHS,
    CohortPlace,
    FirstRow,
    MonthRow,
    SalePlace,
    cohort_cells,
    cohort_place,
    day_cells,
    first_month,
    sale_measures,
    sale_place,
)
from aggregates.days.fold.sale import Sale, month_of, sale
from processors.engine.processor import Deltas
from processors.engine.projection import Change, Scope
from processors.orders.aliases import merged_into, shops_with_merges
from processors.orders.row import ORDERS, SETTLED, OrderRow
from stream.store.contract import Key, Transaction

PAGE = 50
"""Orders of a customer that are read at a time to find the first."""


class MovedSale(NamedTuple):
    """A sale before and after."""

    was: Sale | None
    now: Sale | None


MonthPlace = tuple[str, int, str]
"""A customer's month in one currency."""


def _zeros(measures: int) -> Callable[[], list[int]]:
    return lambda: [0] * measures


@dataclass(slots=True)
class Writes:
    """What batches of several shops write, so that each table is written once.

    Sales are summed by place before each sum is added to the cells of all dimensions.
    """

    sales: defaultdict[SalePlace, list[int]] = field(
        default_factory=lambda: defaultdict(_zeros(len(DAY_CELLS.measures)))
    )
    cohorts: defaultdict[CohortPlace, list[int]] = field(
        default_factory=lambda: defaultdict(_zeros(len(COHORT_CELLS.measures)))
    )
    firsts: list[FirstRow] = field(default_factory=list)
    no_firsts: list[Key] = field(default_factory=list)
    months: list[MonthRow] = field(default_factory=list)
    no_months: list[Key] = field(default_factory=list)

    def count(self, shop: str, each: Sale, sign: int, *, first: bool) -> None:
        """Add or subtract a sale, which is its customer's first or not."""
        orders, net, refunds, new, of_new, of_returning = sale_measures(each, first=first)
        sums = self.sales[sale_place(shop, each)]
        sums[0] += sign * orders
        sums[1] += sign * net
        sums[2] += sign * refunds
        sums[3] += sign * new
        sums[4] += sign * of_new
        sums[5] += sign * of_returning

    def count_month(
        self, first: FirstRow | None, month: int, currency: str, bought: tuple[int, int]
    ) -> None:
        """Add a customer's month, with what was bought in it (orders, revenue); or subtract one,
        where there are fewer than no orders."""
        orders, revenue = bought
        if first is not None and orders:
            sums = self.cohorts[cohort_place(first, month, currency)]
            sums[0] += 1 if orders > 0 else -1
            sums[1] += orders
            sums[2] += revenue

    def save(self, transaction: Transaction) -> None:
        """Write all of it."""
        transaction.save(MONTHS, self.months)
        transaction.delete(MONTHS, self.no_months)
        transaction.save(FIRSTS, self.firsts)
        transaction.delete(FIRSTS, self.no_firsts)
        deltas = Deltas()
        for place, sums in self.sales.items():
            deltas.add(day_cells(place, tuple(sums)))
        for cohort, sums in self.cohorts.items():
            deltas.add(cohort_cells(cohort, tuple(sums)))
        deltas.save(transaction)


def count_orders(
    transaction: Transaction, work: Mapping[Scope, Sequence[Change[OrderRow]]]
) -> None:
    """Count changed orders of any number of generations."""
    moved = {scope: _moved(work[scope]) for scope in sorted(work, key=lambda scope: scope.key)}
    if shops_with_merges(transaction, {scope.shop for scope in moved}):
        moved = _as_merged(transaction, moved)
    firsts = transaction.load(
        FIRSTS,
        {
            (scope.key, each.customer)
            for scope, its in moved.items()
            for move in its
            for each in move
            if each is not None and each.customer
        },
    )
    writes = Writes()
    batches = {scope: DaysBatch(transaction, scope, writes) for scope in moved}
    months = [key for scope, its in moved.items() for key in batches[scope].sales(its, firsts)]
    rows = transaction.load(MONTHS, months)
    for batch in batches.values():
        batch.months(rows)
    writes.save(transaction)


def _moved(changes: Sequence[Change[OrderRow]]) -> list[MovedSale]:
    moved = [
        MovedSale(sale(old) if old is not None else None, sale(new) if new is not None else None)
        for old, new in changes
    ]
    return [each for each in moved if each.was != each.now]


def _as_merged(
    transaction: Transaction, moved: Mapping[Scope, Sequence[MovedSale]]
) -> dict[Scope, list[MovedSale]]:
    """The same sales, of those whom their customers were merged into."""
    named = {
        (scope.shop, each.customer)
        for scope, its in moved.items()
        for move in its
        for each in move
        if each is not None and each.customer
    }
    kept = merged_into(transaction, named)

    def merged(shop: str, each: Sale | None) -> Sale | None:
        if each is None or (shop, each.customer) not in kept:
            return each
        return each._replace(customer=kept[shop, each.customer])

    return {
        scope: [MovedSale(merged(scope.shop, was), merged(scope.shop, now)) for was, now in its]
        for scope, its in moved.items()
    }


class DaysBatch:
    """The changes of a transaction to one generation: `sales`, then `months`."""

    def __init__(self, transaction: Transaction, scope: Scope, writes: Writes) -> None:
        self._transaction, self._scope, self._key = transaction, scope, scope.key
        self._writes = writes
        self._before: dict[str, FirstRow] = {}
        self._after: dict[str, FirstRow | None] = {}
        self._changes: defaultdict[MonthPlace, list[int]] = defaultdict(lambda: [0, 0])

    def sales(self, moved: Sequence[MovedSale], firsts: Mapping[Key, FirstRow]) -> list[Key]:
        """Count changed sales, whose customers are as merges have them; `firsts` has the rows of
        these customers. Returns the keys of the months that `months` needs."""
        left: dict[str, set[str]] = {}
        came: dict[str, list[Sale]] = {}
        for was, now in moved:
            if was is not None and was.customer:
                left.setdefault(was.customer, set()).add(was.order_id)
                self._change(was, -1)
            if now is not None and now.customer:
                came.setdefault(now.customer, []).append(now)
                self._change(now, 1)
        for customer in left | came if left else came:
            old = firsts.get((self._key, customer))
            if old is not None:
                self._before[customer] = old
            self._after[customer] = self._first(customer, old, left, came)
        self._days(moved)
        self._move_months()
        return [
            (self._key, *place)
            for place in self._changes
            if (old := self._before.get(place[0])) is not None and not _is_first(place, old)
        ]

    def _change(self, each: Sale, sign: int) -> None:
        """A sale in its customer's month."""
        change = self._changes[each.customer, month_of(each.day), each.currency]
        change[0] += sign
        change[1] += sign * each.net

    def _first(
        self,
        customer: str,
        old: FirstRow | None,
        left: Mapping[str, set[str]],
        came: Mapping[str, Sequence[Sale]],
    ) -> FirstRow | None:
        """The customer's first sale, after it was `old`; with what was bought in its month as far
        as `old` says so."""
        earliest = min(came[customer]) if customer in came else None
        if old is None:
            return None if earliest is None else self._row(customer, earliest)
        if earliest is not None and (earliest.processed_ms, earliest.order_id) <= (
            old.processed_ms,
            old.order_id,
        ):
            return _with_month(self._row(customer, earliest), old)
        if customer not in left or old.order_id not in left[customer]:
            return old
        return _with_month(self._earliest(customer), old)

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

    def _days(self, moved: Sequence[MovedSale]) -> None:
        before, after, count = self._before, self._after, self._writes.count
        for was, now in moved:
            if was is not None:
                count(self._key, was, -1, first=_is(was, before.get(was.customer)))
            if now is not None:
                count(self._key, now, 1, first=_is(now, after.get(now.customer)))
        # Sales that did not change, and are first no longer, or now.
        flipped: dict[str, bool] = {}
        for customer, new in after.items():
            old = before.get(customer)
            if old is not None and (new is None or old.order_id != new.order_id):
                flipped |= {row.order_id: row is new for row in (old, new) if row is not None}
        if flipped:
            changed = {each.order_id for move in moved for each in move if each is not None}
            self._flip({each: now for each, now in flipped.items() if each not in changed})

    def _flip(self, flipped: Mapping[str, bool]) -> None:
        """Sales by order id, and whether each is its customer's first now."""
        keys: list[Key] = [(self._scope.shop, order_id) for order_id in sorted(flipped)]
        for row in SETTLED.load(self._transaction, ORDERS, keys).values():
            first, each = flipped[row.order_id], sale(row)
            if each is not None:
                self._writes.count(self._key, each, -1, first=not first)
                self._writes.count(self._key, each, 1, first=first)

    def _move_months(self) -> None:
        """All months of customers move whose first sale now is of another cohort."""
        changes, before = self._changes, self._before
        moving = {
            customer
            for customer, old in before.items()
            if old is not (new := self._after[customer]) and _cohort(old) != _cohort(new)
        }
        for row in self._months_of(moving):
            changes[_place(row)][0] += 0
        for customer in moving:
            for first in (before[customer], self._after[customer]):
                if first is not None:
                    changes[_place(first_month(first))][0] += 0

    def months(self, rows: Mapping[Key, MonthRow]) -> None:
        """Count the months that changed, or whose customer's first sale is another; `rows` has
        those with their own row."""
        before, after, writes = self._before, self._after, self._writes
        for place, (orders, revenue) in self._changes.items():
            customer, month, currency = place
            old, new = before.get(customer), after[customer]
            kept: MonthRow | None = None
            if old is not None:
                known = kept = rows.get((self._key, *place))
                if _is_first(place, old):
                    known = first_month(old)
                if known is not None:
                    orders, revenue = known.orders + orders, known.revenue + revenue
                    writes.count_month(old, month, currency, (-known.orders, -known.revenue))
            writes.count_month(new, month, currency, (orders, revenue))
            if new is not None and _is_first(place, new):
                after[customer] = new._replace(orders=orders, revenue=revenue)
            elif orders:
                writes.months.append(
                    MonthRow(self._key, customer, month, currency, orders, revenue)
                )
                continue
            if kept is not None:
                writes.no_months.append(kept.key)
        writes.firsts += [
            row for customer, row in after.items() if row and row != before.get(customer)
        ]
        writes.no_firsts += [
            (self._key, customer) for customer in before if after[customer] is None
        ]

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
            their_first = theirs if row.customer == gone else ours
            self._writes.count_month(
                their_first, row.month, row.currency, (-row.orders, -row.revenue)
            )
            place = (kept, row.month, row.currency)
            orders, revenue = row.orders, row.revenue
            if (before := sums.get(place)) is not None:
                orders, revenue = orders + before.orders, revenue + before.revenue
            sums[place] = MonthRow(self._key, *place, orders, revenue)
        for row in sums.values():
            self._writes.count_month(first, row.month, row.currency, (row.orders, row.revenue))
        of_first = sums.pop((kept, first.cohort, first.currency))
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
    return row.customer, row.month, row.currency


def _is_first(place: MonthPlace, first: FirstRow) -> bool:
    """Whether it is the month of the first sale, in its currency."""
    _, month, currency = place
    return month == first.cohort and currency == first.currency


def _with_month(first: FirstRow | None, old: FirstRow | None) -> FirstRow | None:
    """The first sale, with what `old` says was bought in its month."""
    if first is None or old is None or first is old:
        return first
    if (first.cohort, first.currency) != (old.cohort, old.currency):
        return first
    return first._replace(orders=old.orders, revenue=old.revenue)


def _is(each: Sale, first: FirstRow | None) -> bool:
    return first is not None and each.order_id == first.order_id
