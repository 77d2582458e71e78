"""An order's data for days and cohorts: when, whose, from where, and how much."""

from datetime import timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from aggregates.budget.fold.attribution import attribute
from processors.orders.row import OrderRow, counts
from processors.orders.state import net, paid_back
from processors.shopify.landing import clean
from stream.times import EPOCH

CHANNEL_CHARACTERS: Final = 60


class Sale(NamedTuple):
    """An order that counts. Money in minor units of `currency`."""

    processed_ms: int
    order_id: str
    """With `processed_ms` the order among a customer's sales: the least is the first."""
    customer: str
    """As the order names them; "" where nobody is known."""
    day: int
    currency: str
    net: int
    refunds: int
    channel: str
    """Shopify's sales channel."""
    country: str
    campaign: str
    """`Attribution.subject`: channel, campaign id and label of the landing site."""


def sale(row: OrderRow | None) -> Sale | None:
    """The sale of an order; None if it does not count."""
    if row is None or not counts(row):
        return None
    return Sale(
        row.processed_ms,
        row.order_id,
        row.customer,
        row.day,
        row.currency,
        net(row),
        paid_back(row),
        channel=clean(row.source_name, CHANNEL_CHARACTERS),
        country=row.country,
        campaign=attribute(row.landing).subject(),
    )


@lru_cache(maxsize=4_096)
def month_of(day: int) -> int:
    """The month of a day, counted from January of the year 0."""
    date = EPOCH + timedelta(days=day)
    return 12 * date.year + date.month - 1
