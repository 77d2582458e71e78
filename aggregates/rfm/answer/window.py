"""Computes RFM cells of another window than `ORDERWIRE_RFM_WINDOW_DAYS` from purchase days, on
request."""

import numpy as np

from aggregates.rfm.answer.cell_arrays import Columns
from aggregates.rfm.fold.customer import MAX_ORDERS, NEWCOMER_DAYS, RFM_CELLS
from aggregates.rfm.fold.days import PURCHASE_DAYS
from stream.store.contract import Reading

_CELLS = (
    "SELECT w.last_day, CASE WHEN w.orders < :most THEN w.orders ELSE :most END AS shown,"
    " CASE WHEN w.last_day - c.first_day <= :newcomer THEN 1 ELSE 0 END AS newcomer,"
    " w.revenue, count(*) AS customers, CAST(sum(w.orders) AS BIGINT) AS order_count"
    " FROM (SELECT customer, max(day) AS last_day, CAST(sum(orders) AS BIGINT) AS orders,"
    f" CAST(sum(revenue) AS BIGINT) AS revenue FROM {PURCHASE_DAYS} AS d"
    " WHERE shop = :shop AND day > :after AND day <= :day AND orders > 0 GROUP BY customer) w"
    " JOIN rfm_customer c ON c.shop = :shop AND c.customer = w.customer"
    " GROUP BY 1, 2, 3, 4"
)


def in_window(reading: Reading, key: str, day: int, days: int) -> Columns:
    """Cells of customers with an order in the `days` up to `day`; `key` names the live rows.

    Reads every purchase day in the window: seconds for a million customers, so not for an answer
    that is asked often.
    """
    rows = reading.query(
        _CELLS,
        shop=key,
        day=day,
        after=day - days,
        most=MAX_ORDERS,
        newcomer=NEWCOMER_DAYS,
    )
    columns = [np.array([row[place] for row in rows], dtype=np.int64) for place in range(6)]
    revenue = columns[3] * columns[4]
    return Columns.of(RFM_CELLS, [*columns, revenue])
