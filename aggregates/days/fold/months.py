"""A batch's changes of customers' months, and the cohorts in which those count."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from aggregates.days.fold.cells import FirstRow, MonthRow, first_month
from aggregates.days.fold.sale import Sale, month_of
from aggregates.days.fold.writes import Writes
from stream.store.contract import Key, Transaction

MonthPlace = tuple[str, int, str]
"""A customer's month in one currency."""


class Months:
    """Of one generation: `change` for every sale, then `move`, then `count`."""

    def __init__(self, transaction: Transaction, key: str) -> None:
        """`key` is the generation's."""
        self._transaction, self._key = transaction, key
        self._changes: defaultdict[MonthPlace, list[int]] = defaultdict(lambda: [0, 0])

    def change(self, each: Sale, sign: int) -> None:
        """A sale comes (1) or goes (-1) in its customer's month."""
        change = self._changes[each.customer, month_of(each.day), each.currency]
        change[0] += sign
        change[1] += sign * each.net

    def move(
        self, before: Mapping[str, FirstRow], after: Mapping[str, FirstRow | None]
    ) -> list[Key]:
        """All months of customers move whose first sale now is of another cohort. Returns the keys
        of the rows that `count` needs."""
        changes = self._changes
        moving = {
            customer
            for customer, old in before.items()
            if old is not (new := after[customer]) and _cohort(old) != _cohort(new)
        }
        for row in months_of(self._transaction, self._key, moving):
            changes[_place(row)][0] += 0
        for customer in moving:
            for first in (before[customer], after[customer]):
                if first is not None:
                    changes[_place(first_month(first))][0] += 0
        return [
            (self._key, *place)
            for place in changes
            if (old := before.get(place[0])) is not None and not _is_first(place, old)
        ]

    def count(
        self,
        rows: Mapping[Key, MonthRow],
        before: Mapping[str, FirstRow],
        after: dict[str, FirstRow | None],
        writes: Writes,
    ) -> None:
        """Count the months that changed, or whose customer's first sale is another; `rows` has
        those with their own row. What was bought in a first sale's month is kept in `after`."""
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


def months_of(transaction: Transaction, key: str, customers: Iterable[str]) -> list[MonthRow]:
    """All months of these customers that have a row of their own."""
    sql = (
        f"SELECT {', '.join(MonthRow._fields)} FROM day_customer_month"
        " WHERE shop = :shop AND customer = :customer"
    )
    return [
        MonthRow._make(row)
        for customer in sorted(customers)
        for row in transaction.query(sql, shop=key, customer=customer)
    ]


def with_month(first: FirstRow | None, old: FirstRow | None) -> FirstRow | None:
    """The first sale, with what `old` says was bought in its month."""
    if first is None or old is None or first is old:
        return first
    if (first.cohort, first.currency) != (old.cohort, old.currency):
        return first
    return first._replace(orders=old.orders, revenue=old.revenue)


def _cohort(row: FirstRow | None) -> tuple[int, str, str, str] | None:
    return None if row is None else (row.cohort, row.channel, row.campaign, row.currency)


def _place(row: MonthRow) -> MonthPlace:
    return row.customer, row.month, row.currency


def _is_first(place: MonthPlace, first: FirstRow) -> bool:
    """Whether it is the month of the first sale, in its currency."""
    _, month, currency = place
    return month == first.cohort and currency == first.currency
