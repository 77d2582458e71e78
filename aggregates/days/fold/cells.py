"""The cells of sales: shop-days, and cohorts by the month of the first order. Each dimension (`by`)
has cells of its own, so that an answer reads only those that it shows."""

from typing import Final, NamedTuple

from aggregates.days.fold.sale import Sale
from processors.engine.processor import Counted, Measures
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


SalePlace = tuple[str, int, str, str, str, str]
"""Shop, day, currency, channel, country and campaign of sales: a batch has few different ones."""
CohortPlace = tuple[str, int, int, str, str, str]
"""Shop, cohort, month and currency of customers' months; channel and campaign of the first sale."""


def sale_place(shop: str, sale: Sale) -> SalePlace:
    """Where a sale counts."""
    return shop, sale.day, sale.currency, sale.channel, sale.country, sale.campaign


def sale_measures(sale: Sale, *, first: bool) -> tuple[int, int, int, int, int, int]:
    """With how much a sale counts; `first` where it is its customer's first."""
    if first:
        return 1, sale.net, sale.refunds, 1, sale.net, 0
    return 1, sale.net, sale.refunds, 0, 0, sale.net if sale.customer else 0


def day_cells(place: SalePlace, measures: Measures) -> list[Counted]:
    """The days' cells of the sales of one place."""
    shop, day, currency, channel, country, campaign = place
    return [
        (DAY_CELLS, (shop, "", day, "", currency), measures),
        (DAY_CELLS, (shop, CHANNEL, day, channel, currency), measures),
        (DAY_CELLS, (shop, COUNTRY, day, country, currency), measures),
        (DAY_CELLS, (shop, CAMPAIGN, day, campaign, currency), measures),
    ]


def sale_cells(shop: str, sale: Sale, *, first: bool) -> list[Counted]:
    """The days' cells of a sale."""
    return day_cells(sale_place(shop, sale), sale_measures(sale, first=first))


def cohort_place(first: FirstRow, month: int, currency: str) -> CohortPlace:
    """Where a customer's month counts."""
    return first.shop, first.cohort, month, currency, first.channel, first.campaign


def cohort_cells(place: CohortPlace, measures: Measures) -> list[Counted]:
    """The cohorts' cells of customers' months of one place."""
    shop, cohort, month, currency, channel, campaign = place
    return [
        (COHORT_CELLS, (shop, "", "", cohort, month, currency), measures),
        (COHORT_CELLS, (shop, CHANNEL, channel, cohort, month, currency), measures),
        (COHORT_CELLS, (shop, CAMPAIGN, campaign, cohort, month, currency), measures),
    ]
