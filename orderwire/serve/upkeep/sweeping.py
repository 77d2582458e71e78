"""Deletes zero cells of every aggregate twice an hour: entities move from cell to cell, and empty
cells would accumulate for ever."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog

from processors.engine.projection import Projection
from stream.store.contract import Cells, Store, StoreError

EVERY_S: Final = 1_800.0
log = structlog.get_logger()


async def keep_swept(
    store: Store,
    projections: Collection[Projection],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Sweep until cancelled. A table that fails waits for the next time."""
    while True:
        await sleep(EVERY_S)
        await asyncio.to_thread(sweep, store, projections)


def sweep(store: Store, projections: Collection[Projection]) -> int:
    """Delete the zero cells of all projections, each table in its own transaction. Returns how
    many."""
    tables = dict.fromkeys(
        table for each in projections for table in each.tables if isinstance(table, Cells)
    )
    swept = 0
    for cells in tables:
        try:
            with store.begin() as transaction:
                swept += transaction.sweep(cells)
        except StoreError as error:
            log.warning("zero cells not swept", table=cells.table, detail=str(error))
    return swept
