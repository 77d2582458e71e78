"""Days and cohorts by brute force: from orders as they are in the end, in plain loops."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from aggregates.budget.fold.attribution import attribute
from processors.orders.row import OrderRow, counts
from processors.orders.state import net, paid_back


def day_cells(
    rows: Iterable[OrderRow], kept: Mapping[str, str]
) -> dict[tuple[Any, ...], list[int]]:
    """(by, day, value, currency) -> measures of `day_cell`."""
    found: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * 6)
    sales = [row for row in rows if counts(row)]
    for row in sales:
        who = kept.get(row.customer, row.customer)
        own = [each for each in sales if who and kept.get(each.customer, each.customer) == who]
        first = bool(own) and row == min(own, key=lambda each: (each.processed_ms, each.order_id))
        for by, value in dimensions(row).items():
            cell = found[by, row.day, value, row.currency]
            cell[0] += 1
            cell[1] += net(row)
            cell[2] += paid_back(row)
            if first:
                cell[3] += 1
                cell[4] += net(row)
            elif who:
                cell[5] += net(row)
    return dict(found)


def cohort_cells(
    rows: Iterable[OrderRow], kept: Mapping[str, str]
) -> dict[tuple[Any, ...], tuple[int, ...]]:
    """(by, value, cohort, month, currency) -> measures of `cohort_cell`."""
    who: defaultdict[tuple[Any, ...], set[str]] = defaultdict(set)
    sums: defaultdict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    sales = [row for row in rows if counts(row) and row.customer]
    for row in sales:
        name = kept.get(row.customer, row.customer)
        own = [each for each in sales if kept.get(each.customer, each.customer) == name]
        first = min(own, key=lambda each: (each.processed_ms, each.order_id))
        for by, value in dimensions(first).items():
            if by != "country":
                key = (by, value, month(first.day), month(row.day), row.currency)
                who[key].add(name)
                sums[key][0] += 1
                sums[key][1] += net(row)
    return {key: (len(who[key]), *sums[key]) for key in sums}


def dimensions(row: OrderRow) -> dict[str, str]:
    """The value of each dimension."""
    return {
        "": "",
        "channel": row.source_name,
        "country": row.country,
        "campaign": "\t".join(attribute(row.landing)),
    }


def month(day: int) -> int:
    """Months since the year 0."""
    when = date(1970, 1, 1) + timedelta(days=day)
    return when.year * 12 + when.month - 1
