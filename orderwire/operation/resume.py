"""Letting what has stopped go on: `orderwire replay --resume`.

What still fails up to the end of the log, as it is now, is parked without a limit; behind that the
limits count again. Safe whether `serve` runs or not: a running processor notices within a second.
"""

from collections.abc import Mapping

from processors.engine.stops import StoppedShop, go_on, stopped_shops
from stream.log.contract import Span
from stream.store.contract import Store


def find(store: Store, processor: str | None, shop: str | None) -> list[StoppedShop]:
    """What has stopped: of this processor and this shop, or of any. Raises StoreError."""
    with store.snapshot() as snapshot:
        return [
            row
            for row in stopped_shops(snapshot, processor)
            if row.stopped and shop in (None, row.shop)
        ]


def resume(store: Store, rows: list[StoppedShop], spans: Mapping[str, Mapping[int, Span]]) -> None:
    """Let these go on. `spans`: what their topics hold. Raises StoreError."""
    with store.begin() as transaction:
        for row in rows:
            span = spans[row.topic].get(row.partition)
            go_on(transaction, row, limited_from=row.next if span is None else span.next)
