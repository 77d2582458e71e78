"""Days and cohorts, kept up to date with every order."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from aggregates.days.fold.batch import DaysBatch, count_orders
from aggregates.days.fold.cells import (
    COHORT_CELLS,
    DAY_CELLS,
    FIRSTS,
    MONTHS,
    FirstRow,
    cohort_cells,
    cohort_place,
    sale_cells,
)
from aggregates.days.fold.sale import Sale, month_of, sale
from aggregates.days.fold.writes import Writes
from processors.engine.processor import Counted
from processors.engine.projection import Change, Projection, Scope, Source, rows
from processors.orders.row import ORDERS, OrderRow
from stream.store.contract import Reading, Transaction

NAME: Final = "days"
VERSION: Final = 1
TABLES: Final = (FIRSTS, MONTHS, DAY_CELLS, COHORT_CELLS)


def projection() -> Projection:
    """As the processor of orders and a rebuild use it."""
    source = Source(ORDERS, _apply, _expected)
    return Projection(NAME, VERSION, (source,), TABLES, merged=_merged)


def _apply(
    transaction: Transaction, work: Mapping[Scope, Sequence[Change[OrderRow]]], now_ms: int
) -> None:
    count_orders(transaction, work)


def _merged(transaction: Transaction, scope: Scope, customers: Sequence[tuple[str, str]]) -> None:
    writes = Writes()
    batch = DaysBatch(transaction, scope, writes)
    for gone, kept in customers:
        batch.merge(gone, kept)
    writes.save(transaction)


def _expected(reading: Reading, scope: Scope) -> Iterator[Counted]:
    """All cells of a generation, from its orders as they are."""
    names = reading.query("SELECT deleted, kept FROM customer_alias WHERE shop = :s", s=scope.shop)
    kept = dict(names)
    by_customer: defaultdict[str, list[Sale]] = defaultdict(list)
    for row in rows(reading, ORDERS, scope.shop):
        each = sale(row) if scope.covers(0, (row.shop, row.order_id)) else None
        if each is not None and not each.customer:
            yield from sale_cells(scope.key, each, first=False)
        elif each is not None:
            by_customer[kept.get(each.customer, each.customer)].append(each)
    for customer, sales in by_customer.items():
        first = min(sales)
        for each in sales:
            yield from sale_cells(scope.key, each, first=each is first)
        yield from _cohort(scope.key, customer, first, sales)


def _cohort(shop: str, customer: str, first: Sale, sales: Sequence[Sale]) -> Iterator[Counted]:
    months: defaultdict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
    for each in sales:
        month = months[month_of(each.day), each.currency]
        month[0] += 1
        month[1] += each.net
    row = FirstRow(
        shop,
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
    for (month_number, currency), (orders, revenue) in months.items():
        yield from cohort_cells(cohort_place(row, month_number, currency), (1, orders, revenue))
