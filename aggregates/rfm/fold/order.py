"""What an order is to RFM: whose it is, what it adds to a purchase day, and what is only counted.

Amounts of several currencies cannot be added, so a shop is counted in one: the one that is set,
else that of most of its orders. Orders in another currency are left out.
"""

from typing import Final, NamedTuple

from aggregates.rfm.fold.shop import ShopRow
from processors.engine.processor import Projection
from processors.orders.row import OrderRow, counts
from processors.orders.state import net
from stream.store.contract import Cells

LEFT_OUT_CELLS: Final = Cells("rfm_left_out_cell", ("shop", "reason"), ("orders", "revenue"))
NO_CUSTOMER: Final = "no_customer"


class Contribution(NamedTuple):
    """What an order adds to a purchase day; without a customer it is only counted."""

    customer: str
    day: int
    revenue: int


def contribution(row: OrderRow | None, shop: ShopRow) -> Contribution | None:
    """What the order adds; None where it does not count, or not yet."""
    if row is None or not counts(row):
        return None
    if row.day > shop.as_of_day or row.currency != shop.currency:
        return None
    return Contribution(row.customer, row.day, net(row))


def cells(shop: str, each: Contribution | None) -> Projection:
    """The cells in which an order counts by itself: all others are its customer's."""
    if each is None or each.customer:
        return ()
    return [(LEFT_OUT_CELLS, (shop, NO_CUSTOMER), (1, each.revenue))]
