"""Cells in memory equal a plain SELECT after any change and at any refresh rate."""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.bad_cells import BadCells
from aggregates.rfm.answer import cell_arrays
from aggregates.rfm.answer.cell_arrays import CellArrays, places
from aggregates.rfm.answer.overview import TABLES, RfmArrays
from aggregates.rfm.fold.customer import RFM_CELLS as CELLS
from stream.store.contract import Key, Store
from stream.store.sql.store import SqlStore
from tests.support.examples import on_each_store

Cell = tuple[str, int, int, int, int]
Deltas = dict[Key, tuple[int, int, int]]

numbers = st.integers(0, 3) | st.integers(0, 2**62)
keys = st.tuples(
    st.sampled_from(["a", "b", "é"]),
    st.integers(0, 3),
    st.integers(0, 2),
    st.integers(0, 1),
    numbers,
)
deltas = st.dictionaries(keys, st.tuples(*[st.integers(-2, 2)] * 3), max_size=8)


def in_memory(arrays: CellArrays) -> dict[Cell, tuple[int, ...]]:
    found: dict[Cell, tuple[int, ...]] = {}
    for shop in ("a", "b", "é"):
        columns = arrays.of(shop)
        rows = zip(*(column.tolist() for column in (*columns.key, *columns.measures)), strict=True)
        shown = {(shop, *row[:4]): row[4:] for row in rows}
        assert len(shown) == len(columns)
        assert list(shown) == sorted(shown)
        found |= shown
    return found


def selected(store: Store) -> dict[Cell, tuple[int, ...]]:
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT shop, last_day, orders, newcomer, monetary, customers, order_count, revenue "
            "FROM rfm_cell"
        )
    return {tuple(row[:5]): tuple(row[5:]) for row in rows if any(row[5:])}


def refreshed(arrays: CellArrays, store: Store) -> dict[Cell, tuple[int, ...]]:
    with store.snapshot() as snapshot:
        arrays.refresh(snapshot)
    return in_memory(arrays)


def test_every_table_of_the_answer_records_its_changes() -> None:
    assert [table.table for table in TABLES if not table.followed] == []


@on_each_store(
    sqlite=40,
    postgresql=5,
    steps=st.lists(
        st.tuples(deltas, st.booleans(), st.sampled_from(["", "sweep", "forget"])), max_size=6
    ),
)
def test_cells_in_memory_equal_a_select_after_any_changes(
    store: SqlStore, steps: Sequence[tuple[Deltas, bool, str]]
) -> None:
    with store.begin() as transaction:
        transaction.execute("DELETE FROM rfm_cell")
    arrays = CellArrays(CELLS)
    for changes, look, further in steps:
        with store.begin() as transaction:
            transaction.add(CELLS, changes)
            if further == "sweep":
                transaction.sweep(CELLS)
            if further == "forget":
                transaction.forget_changes(2**62)
        if look:
            assert refreshed(arrays, store) == selected(store)
    assert refreshed(arrays, store) == selected(store)


@pytest.mark.parametrize("cells", [0, 7, 8, 20])
def test_a_table_is_read_whole_in_pages(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(cell_arrays, "PAGE", 4)
    with store.begin() as transaction:
        transaction.add(
            CELLS,
            {
                ("ab"[number % 2], number // 3, 1, 0, number): (1, 1, number)
                for number in range(cells)
            },
        )
    assert refreshed(CellArrays(CELLS), store) == selected(store)


def test_what_one_holds_stays_as_it_was(store: SqlStore) -> None:
    arrays = CellArrays(CELLS)
    with store.begin() as transaction:
        transaction.add(CELLS, {("a", 1, 1, 0, 1): (1, 1, 1)})
    refreshed(arrays, store)
    held = arrays.of("a")
    with store.begin() as transaction:
        transaction.add(CELLS, {("a", 1, 1, 0, 1): (1, 1, 1), ("a", 0, 1, 0, 1): (1, 1, 1)})
    refreshed(arrays, store)
    assert held.measures[0].tolist() == [1]
    assert arrays.of("a").measures[0].tolist() == [1, 2]
    assert arrays.of("a").version > held.version


def test_nothing_new_leaves_the_columns_as_they_are(store: SqlStore) -> None:
    arrays = CellArrays(CELLS)
    with store.begin() as transaction:
        transaction.add(CELLS, {("a", 1, 1, 0, 1): (1, 1, 1)})
    refreshed(arrays, store)
    before = arrays.of("a")
    refreshed(arrays, store)
    assert arrays.of("a") is before


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_50_000_cells_cost_less_than_37_5_bytes_each(store: SqlStore) -> None:
    rng = np.random.default_rng(1)
    days, orders = (
        rng.integers(20_000, 20_365, 50_000).tolist(),
        rng.integers(1, 33, 50_000).tolist(),
    )
    with store.begin() as transaction:
        transaction.add(
            CELLS,
            {
                ("a", day, many, 0, number): (1, 1, 1)
                for number, (day, many) in enumerate(zip(days, orders, strict=True))
            },
        )
    arrays = CellArrays(CELLS)
    with store.snapshot() as snapshot:
        arrays.refresh(snapshot)
    columns = arrays.of("a")
    assert len(columns) == 50_000
    held = sum(column.nbytes for column in (*columns.key, *columns.measures))
    assert held < 37.5 * len(columns)


@given(
    st.lists(st.tuples(*[st.integers(0, 3)] * 3)), st.lists(st.tuples(*[st.integers(-1, 4)] * 3))
)
def test_cells_are_found_by_all_columns_of_their_key(
    held: list[tuple[int, int, int]], wanted: list[tuple[int, int, int]]
) -> None:
    held = sorted(set(held))
    key, asked = (list(np.array(rows, dtype=np.int64).reshape(-1, 3).T) for rows in (held, wanted))
    assert places(key, asked).tolist() == [bisect_left(held, row) for row in wanted]


def test_a_number_out_of_range_fails_its_own_shop_until_it_is_gone(store: SqlStore) -> None:
    arrays, key = CellArrays(CELLS), (1, 1, 0, 5)
    with store.begin() as transaction:
        transaction.add(CELLS, {("a", *key): (1, 1, 5), ("b", *key): (2**40, 1, 5)})
    for cells in (arrays, CellArrays(CELLS)):
        with store.snapshot() as snapshot:
            cells.refresh(snapshot)
        assert len(cells.of("a")) == 1
        with pytest.raises(BadCells, match="rfm_cell"):
            cells.of("b")
    with store.begin() as transaction:
        transaction.add(CELLS, {("a", *key): (1, 1, 5)})
    with store.snapshot() as snapshot:
        arrays.refresh(snapshot)
    assert arrays.of("a").measures[0].tolist() == [2]
    with pytest.raises(BadCells):
        arrays.of("b")
    with store.begin() as transaction:
        transaction.add(CELLS, {("b", *key): (3 - 2**40, 1, 5)})
    with store.snapshot() as snapshot:
        arrays.refresh(snapshot)
    assert arrays.of("b").measures[0].tolist() == [3]


def test_cells_without_a_generation_are_counted_for_nobody(store: SqlStore) -> None:
    with store.begin() as transaction:
        transaction.add(CELLS, {("a", 1, 1, 0, 100): (1, 1, 100)})
    with RfmArrays(store).snapshot_view("a") as (_, view):
        pass
    assert (view.currency, len(view.cells)) == ("", 0)
