"""What an order is to RFM: whose it is, what it adds to a purchase day, and what is only counted.

Amounts of several currencies cannot be added, so a shop is counted in one: that which is set, else that of most of its orders that count
(the alphabet decides between equals). Nothing else than the orders decides it, so it is the same whichever came first. Orders in another
currency are left out, and counted: `rfm_currency_cell` has the orders of each.
"""

from typing import Final, NamedTuple

from aggregates.rfm.fold.shop import ShopRow
from processors.engine.processor import Counted, Projection
from processors.orders.state import OrderRow, counts, net
from stream.store.contract import Cells, Entities, Reading

ORDERS: Final = Entities("rfm_order", OrderRow, 2)
CURRENCY_CELLS: Final = Cells("rfm_currency_cell", ("shop", "currency"), ("orders",))
LEFT_OUT_CELLS: Final = Cells("rfm_left_out_cell", ("shop", "reason"), ("orders", "revenue"))
NO_CUSTOMER: Final = "no_customer"


class Contribution(NamedTuple):
    """What an order adds to a purchase day; without a customer it is only counted."""

    customer: str
    day: int
    revenue: int
    currency: str
    foreign: bool = False
    """In another currency than the shop's: only counted, too."""


def contribution(row: OrderRow | None, shop: ShopRow) -> Contribution | None:
    """What the order adds; None where it does not count, or not yet."""
    if row is None or not counts(row) or row.day > shop.as_of_day:
        return None
    if row.currency != shop.currency:
        return Contribution("", row.day, 0, row.currency, foreign=True)
    return Contribution(row.subject, row.day, net(row), row.currency)


def cells(shop: str, each: Contribution | None) -> Projection:
    """The cells in which an order counts by itself: all others are its customer's."""
    if each is None:
        return ()
    counted: list[Counted] = [(CURRENCY_CELLS, (shop, each.currency), (1,))]
    if not each.customer and not each.foreign:
        counted.append((LEFT_OUT_CELLS, (shop, NO_CUSTOMER), (1, each.revenue)))
    return counted


def currency_of_most(reading: Reading, shop: str) -> str:
    """The currency of most orders; "" where none counts."""
    sql = "SELECT currency FROM rfm_currency_cell WHERE shop = :shop AND orders > 0 ORDER BY orders DESC, currency LIMIT 1"
    found = reading.query(sql, shop=shop)
    return str(found[0][0]) if found else ""
