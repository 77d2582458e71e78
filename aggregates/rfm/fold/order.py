"""An order's contribution to RFM. A shop is counted in one currency, the one that is set, else that
of most of its orders; orders in another are left out."""

from typing import Final, NamedTuple

from aggregates.rfm.fold.shop import RfmShopRow
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


def contribution(row: OrderRow | None, shop: RfmShopRow) -> Contribution | None:
    """The order's contribution; None if it does not count, or not yet."""
    if row is None or row.day > shop.as_of_day or row.currency != shop.currency:
        return None
    if not counts(row):
        return None
    return Contribution(row.customer, row.day, net(row))


def cells(shop: str, each: Contribution | None) -> Projection:
    """The cells in which an order counts by itself: all others are its customer's."""
    if each is None or each.customer:
        return ()
    return [(LEFT_OUT_CELLS, (shop, NO_CUSTOMER), (1, each.revenue))]
