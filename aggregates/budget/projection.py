"""The projection of orders and spend reports into campaign-days (`aggregates/budget/cells.py`)."""

from typing import Final

from aggregates.budget.cells import CELLS, order_cells, spend_cells
from aggregates.budget.fold.spend import SPEND
from processors.engine.projection import Projection, of_cells
from processors.orders.row import ORDERS

NAME: Final = "budget"
VERSION: Final = 1


def projection() -> Projection:
    """For the processors of orders and of spend, and for rebuilds."""
    sources = (of_cells(ORDERS, order_cells), of_cells(SPEND, spend_cells))
    return Projection(NAME, VERSION, sources, (CELLS,))
