"""Cells in memory, as columns of whole numbers per shop, kept current by the store's changes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from aggregates.arrays import Ints
from aggregates.bad_cells import BadCells
from stream.store.contract import Cells, Snapshot

Places: TypeAlias = npt.NDArray[np.int64]

PAGE: Final = 5_000
END_OF_TIME: Final = 2**62
"""Nothing has changed since: asks a snapshot only for its watermark."""
MONEY: Final = frozenset({"monetary", "spend", "revenue", "repeat_revenue"})
"""Columns in minor units, 64 bits wide. Days, numbers of purchase days and of customers fit 32."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The cells of one shop in one table, ascending by key; the shop itself is not among the key
    columns.

    A cell of three key columns and three measures takes 32 bytes (8 for money, 4 for a day or a
    count); as Python objects it would take 300. Columns are never changed in place: a refresh
    replaces them, so readers may compute with theirs.
    """

    key: tuple[Ints, ...]
    measures: tuple[Ints, ...]
    version: int = 0
    """Grows with every change."""

    def __len__(self) -> int:
        return len(self.key[0])

    @classmethod
    def of(cls, cells: Cells, columns: Sequence[Ints], version: int = 0) -> "Columns":
        """From key columns and measures, cells in any order; cells whose measures are all 0 go."""
        size = len(cells.key) - 1
        order = np.lexsort(columns[size - 1 :: -1])
        order = order[_live(columns[size:])[order]]
        return cls(
            tuple(column[order] for column in columns[:size]),
            tuple(column[order] for column in columns[size:]),
            version,
        )

    def merged(self, columns: Sequence[Ints]) -> "Columns":
        """With the present values of the cells in `columns` (key columns and measures); itself if
        nothing changed."""
        size = len(self.key)
        order = np.lexsort(columns[size - 1 :: -1])
        names, values = (
            [column[order] for column in columns[:size]],
            [column[order] for column in columns[size:]],
        )
        at = places(self.key, names)
        known = at < len(self)
        for column, name in zip(self.key, names, strict=True):
            known[known] = column[at[known]] == name[known]
        live = _live(values)
        changed = any(
            not np.array_equal(measure[at[known]], value[known])
            for measure, value in zip(self.measures, values, strict=True)
        )
        if not changed and not (~known & live).any():
            return self
        fresh, gone = ~known & live, known & ~live
        edit = _Edit(len(self), at[fresh], at[gone])
        there = edit.moved(at[known & live])
        key = tuple(
            edit.applied(column, name[fresh]) for column, name in zip(self.key, names, strict=True)
        )
        measures = []
        for measure, value in zip(self.measures, values, strict=True):
            now = edit.applied(measure, value[fresh])
            now[there] = value[known & live]
            measures.append(now)
        return Columns(key, tuple(measures), self.version + 1)


class _Edit:
    """Cells that come and go, in columns that are copied once, in the few slices between them."""

    def __init__(self, cells: int, come: Places, go: Places) -> None:
        """`come` before these places, and what is at the places `go` goes; both ascend."""
        self._come, self._go = come, go
        at = np.concatenate((come, go))
        # What comes before a cell that goes comes before the gap that it leaves.
        order = np.argsort(at, kind="stable")
        ends = at[order].tolist()
        after = (at + (np.arange(len(at)) >= len(come)))[order].tolist()
        self._slices = [
            slice(start, end) for start, end in zip([0, *after], [*ends, cells], strict=True)
        ]
        self._number = np.where(order < len(come), order, -1).tolist()

    def moved(self, places: Places) -> Places:
        """Where cells are afterwards that stay."""
        gone = np.searchsorted(self._go, places)
        moved: Places = places - gone + np.searchsorted(self._come, places, side="right")
        return moved

    def applied(self, column: Ints, new: Ints) -> Ints:
        """A copy, with the numbers `new` of the cells that come."""
        parts = [column[self._slices[0]]]
        for number, kept in zip(self._number, self._slices[1:], strict=True):
            if number >= 0:
                parts.append(new[number : number + 1])
            parts.append(column[kept])
        return np.concatenate(parts)


def places(key: Sequence[Ints], wanted: Sequence[Ints]) -> Places:
    """How many cells come before each of `wanted`: `np.searchsorted`, side left, by several
    columns."""
    cells = len(key[0])
    low, high = (np.searchsorted(key[0], wanted[0], side=side) for side in ("left", "right"))
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) // 2
        at, before = np.minimum(middle, cells - 1), np.zeros(len(low), dtype=bool)
        for column, value in zip(reversed(key[1:]), reversed(wanted[1:]), strict=True):
            there = column[at]
            before = (there < value) | ((there == value) & before)
        high = np.where((low < high) & ~before, middle, high)
        low = np.where((low < high) & before, middle + 1, low)
    return low


@dataclass(frozen=True, slots=True)
class ShopColumns:
    """All shops' cells of one table, as of one refresh."""

    table: str
    shops: Mapping[str, Columns]
    bad: Set[str]
    """Shops with a cell that is no whole number of its column's width."""
    empty: Columns

    def of(self, shop: str) -> Columns:
        """The shop's cells. Raises BadCells."""
        if shop in self.bad:
            raise BadCells(self.table)
        return self.shops.get(shop, self.empty)


class CellArrays:
    """All shops' cells of one table. Not thread-safe: refreshes need a lock; `present` may be read
    meanwhile.

    A table is read whole once, in pages (all rows together would be the largest object of the
    process); afterwards only `Snapshot.changes`. A cell that has become zero is dropped.
    """

    def __init__(self, cells: Cells) -> None:
        """`cells.key` starts with `shop`; its other columns are whole numbers."""
        self._cells = cells
        self._watermark: int | None = None
        self._shops: dict[str, Columns] = {}
        self._bad: set[str] = set()
        self._empty = Columns.of(cells, _columns(cells, []))
        self.present = ShopColumns(cells.table, {}, frozenset(), self._empty)
        """As last refreshed; replaced, never changed."""

    def of(self, shop: str) -> Columns:
        """The shop's cells as last refreshed. Raises BadCells."""
        return self.present.of(shop)

    def refresh(self, snapshot: Snapshot) -> None:
        """Bring every shop to the state that `snapshot` sees."""
        changes = snapshot.changes(
            self._cells, END_OF_TIME if self._watermark is None else self._watermark
        )
        if self._watermark is None or changes.complete or changes.rows:
            self._shops, self._bad = dict(self._shops), set(self._bad)
        if self._watermark is None:
            self._replace(_pages(snapshot, self._cells))
        elif changes.complete:
            self._replace(_by_shop(changes.rows))
        else:
            for shop, rows in _by_shop(changes.rows):
                if shop in self._bad:
                    self._read_again(snapshot, shop)
                elif (columns := self._read(shop, rows)) is not None:
                    self._shops[shop] = self.of(shop).merged(columns)
        self._watermark = changes.watermark
        self.present = ShopColumns(self._cells.table, self._shops, self._bad, self._empty)

    def _read(self, shop: str, rows: Sequence[Any]) -> list[Ints] | None:
        """Columns of these rows; None if a number is out of range, for this shop only."""
        try:
            return _columns(self._cells, rows)
        except (OverflowError, TypeError, ValueError):
            self._bad.add(shop)
            return None

    def _read_again(self, snapshot: Snapshot, shop: str) -> None:
        """Read all cells of a bad shop, of which some have changed."""
        columns = ", ".join((*self._cells.key, *self._cells.measures))
        sql = f"SELECT {columns} FROM {self._cells.table} WHERE shop = :shop"
        found = self._read(shop, snapshot.query(sql, shop=shop))
        if found is not None:
            self._shops[shop] = Columns.of(self._cells, found, self._version(shop) + 1)
            self._bad.discard(shop)

    def _version(self, shop: str) -> int:
        return self._shops.get(shop, self._empty).version

    def _replace(self, pages: Iterable[tuple[str, Sequence[Any]]]) -> None:
        self._bad.clear()
        found: dict[str, list[Sequence[Ints]]] = {}
        for shop, rows in pages:
            columns = self._read(shop, rows)
            found.setdefault(shop, []).extend([columns] if columns is not None else [])
        for shop in {*self._shops, *found}:
            parts = found.pop(shop, []) or [_columns(self._cells, [])]
            joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
            self._shops[shop] = Columns.of(self._cells, joined, self._version(shop) + 1)


def _columns(cells: Cells, rows: Iterable[Any]) -> list[Ints]:
    """Key columns and measures of rows that begin with their shop."""
    names = (*cells.key[1:], *cells.measures)
    columns: Sequence[Sequence[int]] = list(zip(*rows, strict=True))[1:] or [()] * len(names)
    if any(set(map(type, column)) - {int} for column in columns):
        raise TypeError("a cell is no whole number")  # NumPy would cut a float off.
    return [
        np.array(column, dtype=np.int64 if name in MONEY else np.int32)
        for name, column in zip(names, columns, strict=True)
    ]


def _live(measures: Sequence[Ints]) -> npt.NDArray[np.bool_]:
    """Which cells have any measure."""
    live = np.zeros(len(measures[0]), dtype=bool)
    for measure in measures:
        live |= measure != 0
    return live


def _by_shop(rows: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    by_shop: dict[str, list[Any]] = {}
    for row in rows:
        by_shop.setdefault(row[0], []).append(row)
    return list(by_shop.items())


def _pages(snapshot: Snapshot, cells: Cells) -> Iterator[tuple[str, list[Any]]]:
    """The whole table, `PAGE` rows at a time, in the order of its key."""
    columns, key = ", ".join((*cells.key, *cells.measures)), ", ".join(cells.key)
    names = ", ".join(f":{name}" for name in cells.key)
    last: dict[str, Any] | None = None
    while True:
        where = "" if last is None else f"WHERE ({key}) > ({names})"
        rows = snapshot.query(
            f"SELECT {columns} FROM {cells.table} {where} ORDER BY {key} LIMIT {PAGE}",
            **(last or {}),
        )
        for shop, its_rows in groupby(rows, key=lambda row: str(row[0])):
            yield shop, list(its_rows)
        if len(rows) < PAGE:
            return
        last = dict(zip(cells.key, rows[-1], strict=False))
