"""Reads purchase days of many customers in few statements."""

from collections.abc import Collection
from typing import Final

from aggregates.rfm.fold.customer import DAYS, DayRow
from processors.engine.statements import one_of
from stream.store.contract import Reading

CUSTOMERS_PER_QUERY: Final = 512
COLUMNS: Final = ", ".join(DayRow._fields)
PURCHASE_DAYS: Final = (
    f"(SELECT {COLUMNS} FROM rfm_customer_day UNION ALL"
    " SELECT shop, customer, first_day AS day, first_day_orders AS orders,"
    " first_day_revenue AS revenue FROM rfm_customer WHERE days = 1)"
)
"""All purchase days, as a table with the columns of `DayRow`."""


def days_of(reading: Reading, shop: str, customers: Collection[str]) -> dict[str, list[DayRow]]:
    """All purchase days of each customer; an empty list if there are none."""
    return _read(reading, f"{PURCHASE_DAYS} AS d", shop, customers)


def rows_of(reading: Reading, shop: str, customers: Collection[str]) -> dict[str, list[DayRow]]:
    """Those that have a row of their own."""
    return _read(reading, DAYS.table, shop, customers)


def _read(
    reading: Reading, table: str, shop: str, customers: Collection[str]
) -> dict[str, list[DayRow]]:
    found: dict[str, list[DayRow]] = {customer: [] for customer in sorted(customers)}
    wanted = list(found)
    for start in range(0, len(wanted), CUSTOMERS_PER_QUERY):
        chunk = wanted[start : start + CUSTOMERS_PER_QUERY]
        among, names = one_of("customer", chunk)
        sql = f"SELECT {COLUMNS} FROM {table} WHERE shop = :shop AND {among}"
        for row in reading.query(sql, shop=shop, **names):
            found[row[1]].append(DayRow(*row))
    return found
