"""The RFM entity: a customer, as the sum of their purchase days (docs/facts/analytics.md, "Recency,
frequency, monetary", "BG/NBD").

Orders add to purchase days, and purchase days make the customer, so an event of a customer with
50,000 orders changes one day and the sums. Only when a first or last day empties is the customer
recomputed from their days.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aggregates.rfm.fold.day_bins import purchase_days
from aggregates.rfm.fold.money_bins import bin_edge
from processors.engine.processor import Counted, Projection
from stream.store.contract import Cells, Entities

NEVER = 2**62
MAX_ORDERS = 32
"""Orders in the window are capped at this in cells: frequency cut-offs lie far below."""
NEWCOMER_DAYS = 30
"""A customer is a newcomer while the last order is at most this long after the first ever."""


class DayRow(NamedTuple):
    """Columns of `rfm_customer_day`: what a customer bought on one day of the shop; minor units.

    A customer's only day has no row: `rfm_customer` says what was bought on it (`only_day`). Most
    customers have one, and rows and their keys are dear on PostgreSQL.
    """

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
    first_day_orders: int


DAYS = Entities("rfm_customer_day", DayRow, 3)
CUSTOMERS = Entities("rfm_customer", CustomerRow, 2, steady=("expires_day",))

RFM_CELLS = Cells(
    "rfm_cell",
    ("shop", "last_day", "orders", "newcomer", "monetary"),
    ("customers", "order_count", "revenue"),
    followed=True,
)
LAST_DAY_CELLS = Cells(
    "rfm_last_day_cell", ("shop", "guest", "last_day"), ("customers",), followed=True
)
BTYD_CELLS = Cells(
    "rfm_btyd_cell",
    ("shop", "x", "first_day", "last_day"),
    ("customers", "repeat_revenue", "first_offset", "last_offset"),
    followed=True,
)
"""Offsets: the sum over customers of how far their own days lie after the cell's (`day_bins`)."""
SPEND_CELLS = Cells(
    "rfm_spend_cell", ("shop", "x", "spend"), ("customers", "revenue"), followed=True
)


def is_newcomer(first_day: int, last_day: int) -> bool:
    """Whether the first order ever was shortly before the last one."""
    return last_day - first_day <= NEWCOMER_DAYS


def is_guest(customer: str) -> bool:
    """Guests have a hash of their e-mail address as key."""
    return customer.startswith("g:")


def cells(row: CustomerRow | None, *, exact: bool) -> Projection:
    """The cells of a customer; `exact` while the shop is small."""
    if row is None:
        return ()
    (
        shop,
        _,
        guest,
        first_day,
        last_day,
        days,
        first_day_revenue,
        revenue_ever,
        orders,
        revenue,
        _,
        _,
    ) = row
    x, repeat = days - 1, revenue_ever - first_day_revenue
    first_cell, last_cell, first_offset, last_offset = (
        (first_day, last_day, 0, 0) if exact else purchase_days(first_day, last_day, exact=False)
    )
    counted: list[Counted] = [
        (LAST_DAY_CELLS, (shop, guest, last_day), (1,)),
        (
            BTYD_CELLS,
            (shop, x, first_cell, last_cell),
            (1, repeat, first_offset, last_offset),
        ),
    ]
    if orders:
        key = (
            shop,
            last_day,
            orders if orders < MAX_ORDERS else MAX_ORDERS,
            int(is_newcomer(first_day, last_day)),
            revenue if exact else bin_edge(revenue),
        )
        counted.append((RFM_CELLS, key, (1, orders, revenue)))
    if x:
        counted.append((SPEND_CELLS, (shop, x, repeat if exact else bin_edge(repeat)), (1, repeat)))
    return counted


def from_days(shop: str, customer: str, days: Iterable[DayRow], cutoff: int) -> CustomerRow | None:
    """The customer of these purchase days; None without any. The window holds days after
    `cutoff`."""
    bought = sorted((row for row in days if row.orders), key=lambda row: row.day)
    if not bought:
        return None
    first, last = bought[0], bought[-1]
    inside = [row for row in bought if row.day > cutoff]
    return CustomerRow(
        shop=shop,
        customer=customer,
        guest=int(is_guest(customer)),
        first_day=first.day,
        last_day=last.day,
        days=len(bought),
        first_day_revenue=first.revenue,
        revenue_ever=sum(row.revenue for row in bought),
        orders=sum(row.orders for row in inside),
        revenue=sum(row.revenue for row in inside),
        expires_day=inside[0].day if inside else None,
        first_day_orders=first.orders,
    )


def only_day(row: CustomerRow) -> DayRow:
    """The day of a customer who has bought on one only."""
    return DayRow(
        row.shop, row.customer, row.first_day, row.first_day_orders, row.first_day_revenue
    )


DayChange = tuple[DayRow | None, DayRow]
"""A day before and after. `after` with no orders is a day emptied; revenue follows orders, so it is
empty as well."""


def moved(
    shop: str, customer: str, row: CustomerRow | None, changes: Sequence[DayChange], cutoff: int
) -> CustomerRow | None:
    """The customer after some days changed; None if they must be recomputed `from_days`."""
    if row is not None:
        (
            _,
            _,
            guest,
            first,
            last,
            days,
            first_revenue,
            ever,
            orders,
            revenue,
            expires,
            first_orders,
        ) = row
    else:
        guest, first, last, expires = int(is_guest(customer)), NEVER, -NEVER, None
        days = first_revenue = ever = orders = revenue = first_orders = 0
    for before, (_, _, day, now_orders, now_revenue) in changes:
        had_orders, had_revenue = (before.orders, before.revenue) if before is not None else (0, 0)
        if had_orders and (row is None or (not now_orders and day in (first, last, expires))):
            return None
        days += (now_orders > 0) - (had_orders > 0)
        if now_orders:
            if day <= first:
                first, first_revenue, first_orders = day, now_revenue, now_orders
            if day > last:
                last = day
        ever += now_revenue - had_revenue
        if day > cutoff:
            orders += now_orders - had_orders
            revenue += now_revenue - had_revenue
            if now_orders and (expires is None or day < expires):
                expires = day
    return (
        CustomerRow(
            shop,
            customer,
            guest,
            first,
            last,
            days,
            first_revenue,
            ever,
            orders,
            revenue,
            expires,
            first_orders,
        )
        if days
        else None
    )
