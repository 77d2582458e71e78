"""Resumes what has stopped: `orderwire replay --resume`. Safe whether `serve` runs or not: a
running processor notices within a second."""

from collections.abc import Mapping

from processors.engine.stops import StoppedShop, go_on, stopped_shops
from stream.log.contract import Span
from stream.store.contract import Store


def find(store: Store, processor: str | None, shop: str | None) -> list[StoppedShop]:
    """Stopped processors and shops: of this processor and this shop, or of any. Raises
    StoreError."""
    with store.snapshot() as snapshot:
        return [
            row
            for row in stopped_shops(snapshot, processor)
            if row.stopped and shop in (None, row.shop)
        ]


def resume(store: Store, rows: list[StoppedShop], spans: Mapping[str, Mapping[int, Span]]) -> None:
    """Resume these. Records that still fail up to the present end of the log are parked without a
    limit; after it the limits count again. `spans`: those of their topics. Raises StoreError."""
    with store.begin() as transaction:
        for row in rows:
            span = spans[row.topic].get(row.partition)
            go_on(transaction, row, limited_from=row.next if span is None else span.next)
