"""Reads purchase days of many customers in few statements."""

from collections.abc import Collection
from typing import Final

from aggregates.rfm.fold.customer import DayRow
from processors.engine.statements import one_of
from stream.store.contract import Reading

CUSTOMERS_PER_QUERY: Final = 512


def days_of(reading: Reading, shop: str, customers: Collection[str]) -> dict[str, list[DayRow]]:
    """All purchase days of each customer; an empty list if there are none."""
    found: dict[str, list[DayRow]] = {customer: [] for customer in sorted(customers)}
    wanted = list(found)
    for start in range(0, len(wanted), CUSTOMERS_PER_QUERY):
        chunk = wanted[start : start + CUSTOMERS_PER_QUERY]
        among, names = one_of("customer", chunk)
        sql = (
            "SELECT shop, customer, day, orders, revenue FROM rfm_customer_day"
            f" WHERE shop = :shop AND {among}"
        )
        for row in reading.query(sql, shop=shop, **names):
            found[row[1]].append(DayRow(*row))
    return found
