"""Folds a batch of sales into days and cohorts, in one transaction.

Any delivery may change which sale of a customer is the first: an older order arrives, or the first
one is cancelled. Then the former first sale counts as a returning one, and the whole customer moves
to another cohort.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aggregates.days.fold.cells import (
    FIRSTS,
    MONTHS,
    FirstRow,
    MonthRow,
    first_month,
)
from aggregates.days.fold.first_sale import FirstSales
from aggregates.days.fold.months import MonthPlace, Months, months_of, with_month
from aggregates.days.fold.sale import Sale, month_of, sale
from aggregates.days.fold.writes import Writes
from processors.engine.projection import Change, Scope
from processors.orders.aliases import merged_into, shops_with_merges
from processors.orders.row import ORDERS, SETTLED, OrderRow
from stream.store.contract import Key, Transaction


class MovedSale(NamedTuple):
    """A sale before and after."""

    was: Sale | None
    now: Sale | None


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
        self._months = Months(transaction, scope.key)
        self._first_sales = FirstSales(transaction, scope)

    def sales(self, moved: Sequence[MovedSale], firsts: Mapping[Key, FirstRow]) -> list[Key]:
        """Count changed sales, whose customers are as merges have them; `firsts` has the rows of
        these customers. Returns the keys of the months that `months` needs."""
        change = self._months.change
        left: dict[str, set[str]] = {}
        came: dict[str, list[Sale]] = {}
        for was, now in moved:
            if was is not None and was.customer:
                left.setdefault(was.customer, set()).add(was.order_id)
                change(was, -1)
            if now is not None and now.customer:
                came.setdefault(now.customer, []).append(now)
                change(now, 1)
        for customer in left | came if left else came:
            old = firsts.get((self._key, customer))
            if old is not None:
                self._before[customer] = old
            self._after[customer] = self._first(customer, old, left, came)
        self._days(moved)
        return self._months.move(self._before, self._after)

    def months(self, rows: Mapping[Key, MonthRow]) -> None:
        """Count the months that changed; `rows` has those with their own row."""
        before, after, writes = self._before, self._after, self._writes
        self._months.count(rows, before, after, writes)
        writes.firsts += [
            row for customer, row in after.items() if row and row != before.get(customer)
        ]
        writes.no_firsts += [
            (self._key, customer) for customer in before if after[customer] is None
        ]

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
            return with_month(self._row(customer, earliest), old)
        if customer not in left or old.order_id not in left[customer]:
            return old
        first = self._first_sales.earliest(customer)
        return None if first is None else with_month(self._row(customer, first), old)

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
        rows = months_of(self._transaction, self._key, [gone, kept])
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


def _is(each: Sale, first: FirstRow | None) -> bool:
    return first is not None and each.order_id == first.order_id
