"""A shop's currency if none is set: that of most of its orders that count, whichever came first."""

from typing import Final

from processors.engine.processor import Counted
from processors.engine.projection import Projection, live_key, of_cells
from processors.orders.row import ORDERS, OrderRow, counts
from stream.store.contract import Cells, Reading

CELLS: Final = Cells("order_currency_cell", ("shop", "currency"), ("orders",))


def cells(row: OrderRow) -> list[Counted]:
    """An order that counts is one of its currency."""
    return [(CELLS, (row.shop, row.currency), (1,))] if counts(row) else []


CURRENCY: Final = Projection("currency", 1, (of_cells(ORDERS, cells),), (CELLS,))


def currency_of_most(reading: Reading, shop: str) -> str:
    """The currency of most orders that count, the alphabet's first of equals; "" without any."""
    sql = (
        "SELECT currency FROM order_currency_cell WHERE shop = :shop AND orders > 0"
        " ORDER BY orders DESC, currency LIMIT 1"
    )
    found = reading.query(sql, shop=live_key(reading, shop, CURRENCY.name))
    return str(found[0][0]) if found else ""
