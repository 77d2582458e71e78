"""The rows of an aggregate, by the tables that its projection names."""

from typing import Any

from processors.engine.projection import Projection, live_key
from stream.store.contract import Cells, Entities, Reading

Rows = dict[str, list[tuple[Any, ...]]]


def rows_of(reading: Reading, projection: Projection, shop: str) -> Rows:
    """All that a shop's answers are made from: its live generation, without the column `shop` and
    without cells that count nothing."""
    key = live_key(reading, shop, projection.name)
    return {table.table: _rows(reading, table, key) for table in projection.tables}


def _rows(reading: Reading, table: Entities[Any] | Cells, key: str) -> list[tuple[Any, ...]]:
    measures = table.measures if isinstance(table, Cells) else ()
    fields = (*table.key, *measures) if isinstance(table, Cells) else table.row._fields
    found = reading.query(
        f"SELECT {', '.join(fields[1:])} FROM {table.table} WHERE shop = :shop", shop=key
    )
    return sorted(
        (
            tuple(row)
            for row in found
            if not measures or any(getattr(row, measure) for measure in measures)
        ),
        key=repr,
    )
