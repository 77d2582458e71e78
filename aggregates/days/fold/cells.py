"""The cells of sales: shop-days, and cohorts by the month of the first order. Each dimension (`by`)
has cells of its own, so that an answer reads only those that it shows."""

from typing import Final, NamedTuple

from aggregates.days.fold.sale import Sale
from processors.engine.processor import Counted
from stream.store.contract import Cells, Entities

CHANNEL, COUNTRY, CAMPAIGN = "channel", "country", "campaign"
DAY_CELLS: Final = Cells(
    "day_cell",
    ("shop", "by_what", "day", "value", "currency"),
    ("orders", "revenue", "refunds", "new_customers", "new_revenue", "returning_revenue"),
)
"""`by_what` is "" for the whole day; `value` is the channel, country or campaign. `revenue` is what
the merchant keeps. Orders of nobody known are neither new nor returning."""
COHORT_CELLS: Final = Cells(
    "cohort_cell",
    ("shop", "by_what", "value", "cohort", "month", "currency"),
    ("customers", "orders", "revenue"),
)
"""`customers` who ordered in `month`, of those whose first order was in the month `cohort`."""


class FirstRow(NamedTuple):
    """Columns of `day_customer`: a customer's first sale, and where it came from."""

    shop: str
    customer: str
    order_id: str
    processed_ms: int
    cohort: int
    """Its month (`month_of`)."""
    channel: str
    campaign: str
    currency: str
    """Of the first sale."""
    orders: int
    """What the customer bought in the month `cohort`, in `currency` (`first_month`)."""
    revenue: int


class MonthRow(NamedTuple):
    """Columns of `day_customer_month`: what a customer bought in one month; minor units.

    The month of the first sale, in its currency, has no row: `day_customer` says what was bought
    in it. Most customers have no other.
    """

    shop: str
    customer: str
    month: int
    currency: str
    orders: int
    revenue: int

    @property
    def key(self) -> tuple[str, str, int, str]:
        """The columns of the primary key."""
        return self.shop, self.customer, self.month, self.currency


def first_month(row: FirstRow) -> MonthRow:
    """The month of a customer's first sale."""
    return MonthRow(row.shop, row.customer, row.cohort, row.currency, row.orders, row.revenue)


FIRSTS: Final = Entities("day_customer", FirstRow, 2)
MONTHS: Final = Entities("day_customer_month", MonthRow, 4)


def sale_cells(shop: str, sale: Sale | None, *, first: bool) -> list[Counted]:
    """The days' cells of a sale; `first` where it is its customer's first."""
    if sale is None:
        return []
    new, returning = first, bool(sale.customer) and not first
    measures = (
        1,
        sale.net,
        sale.refunds,
        int(new),
        sale.net if new else 0,
        sale.net if returning else 0,
    )
    day, currency = sale.day, sale.currency
    return [
        (DAY_CELLS, (shop, "", day, "", currency), measures),
        (DAY_CELLS, (shop, CHANNEL, day, sale.channel, currency), measures),
        (DAY_CELLS, (shop, COUNTRY, day, sale.country, currency), measures),
        (DAY_CELLS, (shop, CAMPAIGN, day, sale.campaign, currency), measures),
    ]


def cohort_cells(first: FirstRow | None, row: MonthRow | None) -> list[Counted]:
    """The cohorts' cells of a customer's month."""
    if first is None or row is None or not row.orders:
        return []
    measures = (1, row.orders, row.revenue)
    when = (first.cohort, row.month, row.currency)
    return [
        (COHORT_CELLS, (row.shop, "", "", *when), measures),
        (COHORT_CELLS, (row.shop, CHANNEL, first.channel, *when), measures),
        (COHORT_CELLS, (row.shop, CAMPAIGN, first.campaign, *when), measures),
    ]
