"""The store's contract, as tests. A database passes it by handing `store` and `reopened` to the
class (`tests/stream/store/sql/test_store.py`)."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from processors.orders.row import ORDERS, blank
from stream.store.contract import (
    Cells,
    Changes,
    Fenced,
    Move,
    Store,
    StoreUnavailable,
    Unstorable,
)

CELLS = Cells(
    "rfm_cell",
    ("shop", "last_day", "orders", "newcomer", "monetary"),
    ("customers", "order_count", "revenue"),
    followed=True,
)
UNFOLLOWED = Cells("parked_cell", ("shop", "reason"), ("records",))
CELL = ("a", 1, 2, 0, 3)


def cells(store: Store) -> dict[tuple[object, ...], tuple[int, ...]]:
    with store.snapshot() as snapshot:
        return {tuple(row[:5]): tuple(row[5:]) for row in snapshot.changes(CELLS, None).rows}


class StoreContract:
    def test_an_entity_saved_is_loaded_again(self, store: Store) -> None:
        with store.begin() as transaction:
            transaction.load(ORDERS, [("a", "1"), ("a", "2")])
            transaction.save(ORDERS, [blank("a", "2")._replace(refunds="é"), blank("a", "1")])
        with store.begin() as transaction:
            found = transaction.load(ORDERS, [("a", "1"), ("a", "2"), ("b", "1")])
        assert found == {
            ("a", "1"): blank("a", "1"),
            ("a", "2"): blank("a", "2")._replace(refunds="é"),
        }

    def test_rows_of_several_shops_are_found_without_a_lock(self, store: Store) -> None:
        rows = [blank("a", "1"), blank("b", "1"), blank("b", "2")]
        with store.begin() as transaction:
            transaction.save(ORDERS, rows)
        with store.begin() as transaction, store.snapshot() as snapshot:
            transaction.load(ORDERS, [("a", "1")])
            found = snapshot.find(ORDERS, [("a", "1"), ("b", "2"), ("b", "3"), ("c", "1")])
            assert found == {("a", "1"): rows[0], ("b", "2"): rows[2]}
            assert snapshot.find(ORDERS, []) == {}

    def test_saving_again_replaces_and_deleting_removes(self, store: Store) -> None:
        with store.begin() as transaction:
            transaction.save(ORDERS, [blank("a", "1"), blank("a", "2")])
            transaction.save(ORDERS, [blank("a", "1")._replace(total=2**62)])
            transaction.delete(ORDERS, [("a", "2")])
        with store.begin() as transaction:
            assert transaction.load(ORDERS, [("a", "1"), ("a", "2")]) == {
                ("a", "1"): blank("a", "1")._replace(total=2**62)
            }

    def test_a_row_saved_beside_what_was_loaded_is_replaced_as_a_whole(self, store: Store) -> None:
        old = [blank("a", "1")._replace(name="#1"), blank("a", "2")._replace(name="#2")]
        new = [
            old[0]._replace(total=7),  # No indexed column changes.
            old[1]._replace(total=8, name="#3", processed_ms=5),
            blank("a", "3")._replace(name="#4"),
        ]
        with store.begin() as transaction:
            transaction.save(ORDERS, old)
        with store.begin() as transaction:
            keys = [row[:2] for row in new]
            transaction.save(ORDERS, new, transaction.load(ORDERS, keys))
        with store.begin() as transaction:
            assert transaction.load(ORDERS, keys) == {row[:2]: row for row in new}
            for row in new:
                found = transaction.query(
                    "SELECT order_id FROM shop_order WHERE shop = 'a' AND name = :name",
                    name=row.name,
                )
                assert [each.order_id for each in found] == [row.order_id]

    def test_thousands_of_keys_are_one_load(self, store: Store) -> None:
        rows = [blank("a", str(number)) for number in range(7_001)]
        with store.begin() as transaction:
            transaction.load(ORDERS, [row[:2] for row in rows])
            transaction.save(ORDERS, rows)
        with store.begin() as transaction:
            assert len(transaction.load(ORDERS, [row[:2] for row in rows])) == 7_001

    def test_a_savepoint_that_raises_undoes_its_block_and_nothing_else(self, store: Store) -> None:
        with store.begin() as transaction:
            transaction.load(ORDERS, [("a", "1"), ("a", "2")])
            transaction.save(ORDERS, [blank("a", "1")])
            transaction.add(CELLS, {CELL: (1, 1, 1)})
            with pytest.raises(KeyError), transaction.savepoint():
                transaction.save(ORDERS, [blank("a", "2")])
                transaction.delete(ORDERS, [("a", "1")])
                transaction.add(CELLS, {CELL: (1, 1, 1)})
                raise KeyError
            with transaction.savepoint():
                transaction.save(ORDERS, [blank("a", "1")._replace(total=7), blank("a", "2")])
        with store.begin() as transaction:
            assert transaction.load(ORDERS, [("a", "1"), ("a", "2")]) == {
                ("a", "1"): blank("a", "1")._replace(total=7),
                ("a", "2"): blank("a", "2"),
            }
        assert cells(store) == {CELL: (1, 1, 1)}

    def test_a_transaction_goes_on_after_a_value_refused_within_a_savepoint(
        self, store: Store
    ) -> None:
        with store.begin() as transaction:
            with pytest.raises(Unstorable), transaction.savepoint():
                transaction.execute("INSERT INTO revisions (n) VALUES (NULL)")
            transaction.add(CELLS, {CELL: (1, 1, 1)})
        assert cells(store) == {CELL: (1, 1, 1)}

    def test_a_transaction_that_raises_leaves_nothing(self, store: Store) -> None:
        with pytest.raises(KeyError), store.begin() as transaction:
            transaction.advance("p", "orders", {0: Move(None, 5, 5)}, 1)
            transaction.save(ORDERS, [blank("a", "1")])
            transaction.add(CELLS, {CELL: (1, 1, 1)})
            raise KeyError
        with store.begin() as transaction:
            assert transaction.load(ORDERS, [("a", "1")]) == {}
            assert transaction.positions() == []
        assert cells(store) == {}

    def test_differences_add_up(self, store: Store) -> None:
        for delta in ((1, 2, -3), (4, 0, 10), (-5, -2, -7)):
            with store.begin() as transaction:
                transaction.add(CELLS, {CELL: delta, ("b", 1, 1, 0, 1): (0, 0, 0)})
        assert cells(store) == {CELL: (0, 0, 0)}

    def test_additions_from_many_threads_lose_nothing(self, store: Store) -> None:
        def add(number: int) -> None:
            with store.begin() as transaction:
                transaction.add(CELLS, {CELL: (1, number, 0), ("a", 1, 2, 0, number): (1, 0, 0)})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(10, 60)))
        assert cells(store)[CELL] == (50, sum(range(10, 60)), 0)
        assert len(cells(store)) == 51

    def test_a_position_moves_only_from_where_it_was_loaded(self, store: Store) -> None:
        with store.begin() as transaction:
            transaction.advance("p", "orders", {0: Move(None, 5, 5), 3: Move(None, 9, 2)}, 100)
        with store.begin() as transaction:
            transaction.advance("p", "orders", {0: Move(5, 8, 3)}, 90)
            position = transaction.positions("p")[0]
        assert (position.next, position.records, position.event_time_ms) == (8, 8, 100)
        for move in (Move(5, 9, 1), Move(None, 9, 1), Move(9, 10, 1)):
            with pytest.raises(Fenced), store.begin() as transaction:
                transaction.save(ORDERS, [blank("a", "1")])
                transaction.advance("p", "orders", {0: move}, 1)
        with store.begin() as transaction:
            assert transaction.load(ORDERS, [("a", "1")]) == {}

    def test_a_batch_of_several_partitions_is_fenced_where_one_of_them_was_moved_by_another(
        self, store: Store
    ) -> None:
        with store.begin() as transaction:
            transaction.advance("p", "orders", {0: Move(None, 5, 5), 1: Move(None, 5, 5)}, 1)
        for other in (Move(4, 8, 3), Move(None, 8, 3)):
            with pytest.raises(Fenced), store.begin() as transaction:
                transaction.advance(
                    "p", "orders", {0: Move(5, 8, 3), 1: other, 2: Move(None, 1, 1)}, 1
                )
        with store.snapshot() as snapshot:
            assert [(p.partition, p.next) for p in snapshot.positions()] == [(0, 5), (1, 5)]

    def test_rival_owners_of_one_position_count_each_record_once(self, store: Store) -> None:
        fenced = threading.Event()

        def own(_: int) -> None:
            while True:
                with store.snapshot() as snapshot:
                    known = {p.partition: p.next for p in snapshot.positions("p")}
                here = known.get(0)
                if here == 40:
                    return
                try:
                    with store.begin() as transaction:
                        transaction.advance("p", "orders", {0: Move(here, (here or 0) + 1, 1)}, 1)
                        transaction.add(CELLS, {CELL: (1, 0, 0)})
                except Fenced:
                    fenced.set()

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(own, range(3)))
        assert cells(store)[CELL] == (40, 0, 0)

    def test_owners_that_create_or_change_one_entity_do_not_overwrite_each_other(
        self, store: Store
    ) -> None:
        def increase(_: int) -> None:
            for _attempt in range(100):
                try:
                    with store.begin() as transaction:
                        keys = [("a", "1"), ("a", "2"), ("b", "1")]
                        found = transaction.load(ORDERS, keys)
                        rows = [found.get(key) or blank(*key) for key in keys]
                        transaction.save(
                            ORDERS, [row._replace(total=row.total + 1) for row in rows]
                        )
                    return
                except StoreUnavailable:
                    continue
            raise AssertionError("no attempt got through")

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(increase, range(24)))
        with store.begin() as transaction:
            assert {
                row.total
                for row in transaction.load(ORDERS, [("a", "1"), ("a", "2"), ("b", "1")]).values()
            } == {24}

    def test_a_snapshot_sees_one_state(self, store: Store) -> None:
        with store.begin() as transaction:
            transaction.add(CELLS, {CELL: (1, 0, 0)})
        with store.snapshot() as snapshot:
            before = snapshot.changes(CELLS, None).rows
            with store.begin() as transaction:
                transaction.add(CELLS, {CELL: (1, 0, 0)})
                transaction.advance("p", "orders", {0: Move(None, 1, 1)}, 1)
            assert snapshot.changes(CELLS, None).rows == before
            assert snapshot.positions() == []

    def test_a_reader_of_changes_ends_with_the_whole(self, store: Store) -> None:
        known: dict[tuple[object, ...], tuple[int, ...]] = {}
        watermark: int | None = None
        for number in range(20):
            with store.begin() as transaction:
                transaction.add(
                    CELLS,
                    {
                        ("a", number % 7, 0, 0, 0): (1, number, 0),
                        ("a", number % 3, 1, 0, 0): (-1, 0, 1),
                    },
                )
            with store.snapshot() as snapshot:
                changes = snapshot.changes(CELLS, watermark)
            assert changes.complete == (number == 0)
            known.update({tuple(row[:5]): tuple(row[5:]) for row in changes.rows})
            watermark = changes.watermark
            assert known == cells(store)

    def test_a_reader_of_a_table_that_nobody_follows_gets_the_whole_each_time(
        self, store: Store
    ) -> None:
        watermark: int | None = None
        for number in range(1, 4):
            with store.begin() as transaction:
                transaction.add(UNFOLLOWED, {("a", "why"): (1,)})
            with store.snapshot() as snapshot:
                changes = snapshot.changes(UNFOLLOWED, watermark)
                assert snapshot.query("SELECT 1 FROM cell_changes") == []
            assert changes.complete
            assert list(map(tuple, changes.rows)) == [("a", "why", number)]
            watermark = changes.watermark

    def test_a_change_committed_late_is_not_skipped(self, store: Store) -> None:
        """On PostgreSQL transactions do not commit in the order of their ids; on SQLite the second
        waits for the first."""
        first_added, looked = threading.Event(), threading.Event()

        def slow() -> None:
            with store.begin() as transaction:
                transaction.add(CELLS, {("slow", 1, 1, 0, 1): (1, 0, 0)})
                first_added.set()
                looked.wait(0.5)

        def quick() -> None:
            with store.begin() as transaction:
                transaction.add(CELLS, {("quick", 1, 1, 0, 1): (1, 0, 0)})

        with ThreadPoolExecutor(2) as pool:
            one = pool.submit(slow)
            first_added.wait(5)
            two = pool.submit(quick)
            if store.dialect == "postgresql":
                two.result(5)
            with store.snapshot() as snapshot:
                early = snapshot.changes(CELLS, None)
            looked.set()
            one.result(5)
            two.result(5)
        with store.snapshot() as snapshot:
            late = snapshot.changes(CELLS, early.watermark)
        assert {row[0] for row in (*early.rows, *late.rows)} == {"slow", "quick"}

    def test_sweeping_takes_zeros_only_and_shows_readers(self, store: Store) -> None:
        with store.begin() as transaction:
            transaction.add(CELLS, {CELL: (1, 0, 0), ("a", 9, 9, 0, 9): (1, 0, 0)})
        with store.snapshot() as snapshot:
            old = snapshot.changes(CELLS, None).watermark
        with store.begin() as transaction:
            transaction.add(CELLS, {CELL: (-1, 0, 0)})
        with store.begin() as transaction:
            assert transaction.sweep(CELLS) == 1
        assert cells(store) == {("a", 9, 9, 0, 9): (1, 0, 0)}
        with store.snapshot() as snapshot:
            changes = snapshot.changes(CELLS, old)
        assert not changes.complete
        assert (*CELL, 0, 0, 0) in list(map(tuple, changes.rows))

    def test_a_reader_that_looks_after_changes_were_forgotten_gets_the_whole(
        self, store: Store
    ) -> None:
        def add() -> None:
            with store.begin() as transaction:
                transaction.add(CELLS, {CELL: (1, 0, 0)})

        def look(since: int | None) -> Changes:
            with store.snapshot() as snapshot:
                return snapshot.changes(CELLS, since)

        add()
        early = look(None).watermark
        add()
        late = look(early).watermark
        with store.begin() as transaction:
            transaction.forget_changes(2**60)
        assert look(early).complete
        again = look(late)
        add()
        after = look(again.watermark)
        assert not after.complete
        assert list(map(tuple, after.rows)) == [(*CELL, 3, 0, 0)]

    def test_what_was_committed_is_there_after_opening_again(
        self, store: Store, reopened: Callable[[], Store]
    ) -> None:
        with store.begin() as transaction:
            transaction.advance("p", "orders", {0: Move(None, 5, 5)}, 1)
            transaction.add(CELLS, {CELL: (1, 2, 3)})
        store.close()
        again = reopened()
        assert cells(again) == {CELL: (1, 2, 3)}
        with again.snapshot() as snapshot:
            assert [position.next for position in snapshot.positions()] == [5]
        again.close()
