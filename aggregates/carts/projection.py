"""The projection of checkouts and carts into the cells of `aggregates/carts/cells.py`."""

from typing import Final

from aggregates.carts import cells as cart_cells
from aggregates.carts.cells import BEGUN, begun, cells
from processors.checkouts.idle import HOUR_MS
from processors.checkouts.link import LINKS
from processors.checkouts.row import CHECKOUTS
from processors.engine.projection import Projection, of_cells
from stream.store.contract import Transaction

NAME: Final = "carts"
VERSION: Final = 1
TABLES: Final = (*cart_cells.TABLES, BEGUN)


class _Sweeper:
    """Deletes cells that have become zero, once an hour.

    Every ten minutes have cells of their own, which empty as their checkouts close.
    """

    def __init__(self) -> None:
        self._hour = 0

    def __call__(self, transaction: Transaction, now_ms: int, shop: str | None) -> None:
        if now_ms // HOUR_MS != self._hour:
            self._hour = now_ms // HOUR_MS
            for table in cart_cells.TABLES:
                transaction.sweep(table)


def projection() -> Projection:
    """For the checkouts processor and for rebuilds."""
    sources = (of_cells(CHECKOUTS, cells), of_cells(LINKS, begun))
    return Projection(NAME, VERSION, sources, TABLES, tick=_Sweeper())
