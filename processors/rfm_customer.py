"""The RFM entity: a customer, as the sum of their purchase days.

Orders add to purchase days, purchase days make the customer, so the next event of a customer with 50,000 orders costs what any other
costs: it changes one day and the sums. Only where a first or last day empties (a cancellation, a change of customer) is the customer made
anew from their days, of which a year has 365.

Terms: recency, frequency, monetary over the window (analytics 1.3); x, first day, last day and the spend of repeat days for BG/NBD and
Gamma-Gamma (analytics 2.1; orders of one day are one purchase, all days ever).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from processors.money_bins import bin_edge, mid_week
from processors.processor import Projection
from stream.store import Cells, Entities

MAX_ORDERS = 32
"""Orders in the window are capped at this in cells: the frequency cut-offs of a real shop lie far below."""


class DayRow(NamedTuple):
    """Columns of `rfm_customer_day`: what a customer bought on one day of the shop; minor units."""

    shop: str
    customer: str
    day: int
    orders: int
    revenue: int


class CustomerRow(NamedTuple):
    """Columns of `rfm_customer`. Days since 1970-01-01; minor units."""

    shop: str
    customer: str
    guest: int
    first_day: int
    last_day: int
    days: int
    """Distinct purchase days ever."""
    first_day_revenue: int
    revenue_ever: int
    orders: int
    """In the window."""
    revenue: int
    """In the window."""
    expires_day: int | None
    """The earliest purchase day in the window: when it leaves, this row changes."""


DAYS = Entities("rfm_customer_day", DayRow, 3)
CUSTOMERS = Entities("rfm_customer", CustomerRow, 2)

RFM_CELLS = Cells("rfm_cell", ("shop", "last_day", "orders", "monetary"), ("customers", "order_count", "revenue"))
LAST_DAY_CELLS = Cells("rfm_last_day_cell", ("shop", "guest", "last_day"), ("customers",))
BTYD_CELLS = Cells("rfm_btyd_cell", ("shop", "x", "first_day", "last_day"), ("customers", "repeat_revenue"))
SPEND_CELLS = Cells("rfm_spend_cell", ("shop", "x", "spend"), ("customers", "revenue"))


def is_guest(customer: str) -> bool:
    """Guests are known by a hash of their e-mail address."""
    return customer.startswith("g:")


def cells(row: CustomerRow | None, *, exact: bool) -> Projection:
    """In which cells a customer counts; `exact` while the shop is small."""
    if row is None or row.days == 0:
        return {}
    x, repeat = row.days - 1, row.revenue_ever - row.first_day_revenue
    first, last = (row.first_day, row.last_day) if exact else (mid_week(row.first_day), mid_week(row.last_day))
    counted: dict[Cells, dict[tuple[str | int, ...], tuple[int, ...]]] = {
        LAST_DAY_CELLS: {(row.shop, row.guest, row.last_day): (1,)},
        BTYD_CELLS: {(row.shop, x, first, last): (1, repeat)},
    }
    if row.orders:
        monetary = row.revenue if exact else bin_edge(row.revenue)
        counted[RFM_CELLS] = {(row.shop, row.last_day, min(row.orders, MAX_ORDERS), monetary): (1, row.orders, row.revenue)}
    if x:
        counted[SPEND_CELLS] = {(row.shop, x, repeat if exact else bin_edge(repeat)): (1, repeat)}
    return counted


def from_days(shop: str, customer: str, days: Iterable[DayRow], cutoff: int) -> CustomerRow | None:
    """The customer that these purchase days make; None without any. The window holds days after `cutoff`."""
    bought = sorted((row.day, row.orders, row.revenue) for row in days if row.orders)
    if not bought:
        return None
    inside = [row for row in bought if row[0] > cutoff]
    return CustomerRow(
        shop=shop,
        customer=customer,
        guest=int(is_guest(customer)),
        first_day=bought[0][0],
        last_day=bought[-1][0],
        days=len(bought),
        first_day_revenue=bought[0][2],
        revenue_ever=sum(revenue for _, _, revenue in bought),
        orders=sum(orders for _, orders, _ in inside),
        revenue=sum(revenue for _, _, revenue in inside),
        expires_day=inside[0][0] if inside else None,
    )


def moved(row: CustomerRow | None, changes: Mapping[int, tuple[DayRow | None, DayRow]], cutoff: int) -> CustomerRow | None:
    """The customer after some days changed (day -> before, after); None where they must be made anew `from_days`.

    `after` with no orders is a day emptied; revenue follows orders, so it is empty as well.
    """
    if row is None:
        if any(before is not None for before, _ in changes.values()):
            return None
        bought = [new for _, new in changes.values()]
        return from_days(bought[0].shop, bought[0].customer, bought, cutoff)
    first, last, days, first_revenue = row.first_day, row.last_day, row.days, row.first_day_revenue
    ever, orders, revenue, expires = row.revenue_ever, row.orders, row.revenue, row.expires_day
    for day, (before, after) in changes.items():
        had_orders, had_revenue = (before.orders, before.revenue) if before is not None else (0, 0)
        if had_orders and not after.orders:
            if day in (first, last, expires):
                return None
            days -= 1
        elif after.orders and not had_orders:
            days += 1
        if after.orders and day <= first:
            first, first_revenue = day, after.revenue
        last = max(last, day) if after.orders else last
        ever += after.revenue - had_revenue
        if day > cutoff:
            orders += after.orders - had_orders
            revenue += after.revenue - had_revenue
            if after.orders and (expires is None or day < expires):
                expires = day
    return row._replace(
        first_day=first,
        last_day=last,
        days=days,
        first_day_revenue=first_revenue,
        revenue_ever=ever,
        orders=orders,
        revenue=revenue,
        expires_day=expires,
    )
