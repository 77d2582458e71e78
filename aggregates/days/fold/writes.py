"""What batches write to days and cohorts, summed by place, so that each table is written once."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

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
    sale_measures,
    sale_place,
)
from aggregates.days.fold.sale import Sale
from processors.engine.processor import Deltas
from stream.store.contract import Key, Transaction


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
