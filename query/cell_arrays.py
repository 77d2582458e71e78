"""Cells in memory, as columns of whole numbers per shop: what `/v1/rfm` reckons with, kept up to date by what changed.

A Python object per cell would cost 300 bytes and more; here a cell of three key columns and three measures costs 72: its key packed
into one sortable string of bytes, and a number per column. Columns are never changed in place: a refresh puts new ones in their stead, so
whoever holds a shop's columns may reckon with them at leisure.

A table is read whole once, in pages, since all its rows at once would be the largest thing in the process; from then on
`Snapshot.changes` tells what differs. A cell that has become zero is forgotten.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from query.arrays import Ints
from stream.store import Cells, Snapshot

PAGE: Final = 20_000
END_OF_TIME: Final = 2**62
"""Nothing has changed since: asks a snapshot for its watermark alone."""

Packed: TypeAlias = npt.NDArray[np.bytes_]


def packed(keys: Ints) -> Packed:
    """One string of bytes per row of `keys` [cells, columns]; their order is that of the rows."""
    ordered = (keys.view(np.uint64) ^ np.uint64(1 << 63)).astype(">u8")
    return np.ascontiguousarray(ordered).view(f"S{8 * keys.shape[1]}").ravel()


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The cells of one shop in one table, ascending by key; the shop itself is not among the key columns."""

    packed: Packed
    key: tuple[Ints, ...]
    measures: tuple[Ints, ...]
    version: int = 0
    """Grows with every change."""

    def __len__(self) -> int:
        return len(self.packed)

    @classmethod
    def empty(cls, cells: Cells) -> "Columns":
        return cls.of(cells, np.empty((0, len(cells.key) - 1 + len(cells.measures)), dtype=np.int64))

    @classmethod
    def of(cls, cells: Cells, rows: Ints, version: int = 0) -> "Columns":
        """From `rows` [cells, key columns and measures], in any order; rows without any measure left out."""
        size = len(cells.key) - 1
        rows = rows[rows[:, size:].any(axis=1)]
        names = packed(np.ascontiguousarray(rows[:, :size]))
        order = np.argsort(names, kind="stable")
        return cls(names[order], _columns(rows[order, :size]), _columns(rows[order, size:]), version)

    def merged(self, rows: Ints) -> "Columns":
        """With the cells of `rows` as they are now; itself where that is how they were."""
        size = len(self.key)
        names = packed(np.ascontiguousarray(rows[:, :size]))
        order = np.argsort(names, kind="stable")
        names, rows = names[order], rows[order]
        values = rows[:, size:]
        at = np.searchsorted(self.packed, names)
        known = np.zeros(len(names), dtype=bool)
        inside = at < len(self)
        known[inside] = self.packed[at[inside]] == names[inside]
        live = values.any(axis=1)
        was = np.stack([measure[at[known]] for measure in self.measures], axis=1)
        if np.array_equal(was, values[known]) and not (live & ~known).any():
            return self
        measures = [measure.copy() for measure in self.measures]
        for index, measure in enumerate(measures):
            measure[at[known]] = values[known, index]
        stayed, key = self.packed, list(self.key)
        gone = at[known & ~live]
        if len(gone):
            stayed, key = np.delete(stayed, gone), [np.delete(column, gone) for column in key]
            measures = [np.delete(column, gone) for column in measures]
        fresh = ~known & live
        if fresh.any():
            place = np.searchsorted(stayed, names[fresh])
            stayed = np.insert(stayed, place, names[fresh])
            key = [np.insert(column, place, rows[fresh, index]) for index, column in enumerate(key)]
            measures = [np.insert(column, place, values[fresh, index]) for index, column in enumerate(measures)]
        return Columns(stayed, tuple(key), tuple(measures), self.version + 1)


class CellArrays:
    """All shops' cells of one table. Not thread-safe: whoever refreshes holds a lock; `of` may be asked meanwhile."""

    def __init__(self, cells: Cells) -> None:
        """`cells.key` starts with `shop`; its other columns are whole numbers."""
        self._cells = cells
        self._watermark: int | None = None
        self._shops: dict[str, Columns] = {}
        self._empty = Columns.empty(cells)

    def of(self, shop: str) -> Columns:
        """The shop's cells as last refreshed."""
        return self._shops.get(shop, self._empty)

    def refresh(self, snapshot: Snapshot) -> None:
        """Bring every shop to the state that `snapshot` sees."""
        changes = snapshot.changes(self._cells, END_OF_TIME if self._watermark is None else self._watermark)
        if self._watermark is None:
            self._replace(_pages(snapshot, self._cells))
        elif changes.complete:
            self._replace(_by_shop(changes.rows))
        else:
            for shop, rows in _by_shop(changes.rows):
                self._shops[shop] = self.of(shop).merged(rows)
        self._watermark = changes.watermark

    def _replace(self, pages: Iterable[tuple[str, Ints]]) -> None:
        found: dict[str, list[Ints]] = {}
        for shop, rows in pages:
            found.setdefault(shop, []).append(rows)
        for shop in {*self._shops, *found}:
            rows = np.concatenate(found.pop(shop)) if shop in found else np.empty((0, self._width), dtype=np.int64)
            self._shops[shop] = Columns.of(self._cells, rows, self.of(shop).version + 1)

    @property
    def _width(self) -> int:
        return len(self._cells.key) - 1 + len(self._cells.measures)


def _columns(rows: Ints) -> tuple[Ints, ...]:
    return tuple(np.ascontiguousarray(rows[:, index]) for index in range(rows.shape[1]))


def _by_shop(rows: Sequence[Any]) -> list[tuple[str, Ints]]:
    by_shop: dict[str, list[Any]] = {}
    for row in rows:
        by_shop.setdefault(row[0], []).append(row[1:])
    return [(shop, np.array(its_rows, dtype=np.int64)) for shop, its_rows in by_shop.items()]


def _pages(snapshot: Snapshot, cells: Cells) -> Iterator[tuple[str, Ints]]:
    """The whole table, `PAGE` rows at a time, in the order of its key."""
    columns, key = ", ".join((*cells.key, *cells.measures)), ", ".join(cells.key)
    names = ", ".join(f":{name}" for name in cells.key)
    last: dict[str, Any] | None = None
    while True:
        where = "" if last is None else f"WHERE ({key}) > ({names})"
        rows = snapshot.query(f"SELECT {columns} FROM {cells.table} {where} ORDER BY {key} LIMIT {PAGE}", **(last or {}))
        for shop, its_rows in groupby(rows, key=lambda row: str(row[0])):
            yield shop, np.array([row[1:] for row in its_rows], dtype=np.int64)
        if len(rows) < PAGE:
            return
        last = dict(zip(cells.key, rows[-1], strict=False))
