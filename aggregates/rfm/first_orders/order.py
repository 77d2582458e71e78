"""The data of a first order from which later orders are predicted: only what it has when placed, so
that a prediction never knows what came later."""

from typing import NamedTuple

from aggregates.budget.fold.attribution import attribute
from processors.orders.row import OrderDetail

MOST_ITEMS = 1_000


class FirstOrder(NamedTuple):
    """A customer's first order. Money in minor units of the shop's currency."""

    value: int
    """As it was placed; later refunds and edits do not change it."""
    items: int
    discount: float
    """Share of the price that was taken off, 0 to 1."""
    coded: bool
    """Whether a discount code was used."""
    source: str
    """Shopify's sales channel: `web`, `pos`, ..."""
    channel: str
    """Of the ad or link that led to it: `meta`, `google`, `(direct)`, ..."""
    country: str


def first_order(
    value: int, detail: OrderDetail, source: str, landing: str, country: str
) -> FirstOrder:
    """From the facts of an order."""
    taken = max(detail.discount or 0, 0)
    listed = (detail.subtotal or 0) + taken
    return FirstOrder(
        value=max(value, 0),
        items=min(sum(line.quantity for line in detail.lines), MOST_ITEMS),
        discount=min(taken / listed, 1.0) if listed > 0 else 0.0,
        coded=bool(detail.discount_codes),
        source=source,
        channel=attribute(landing).channel,
        country=country,
    )
