"""Orders that are packed: every number, answer and later change is as if they were rows."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aggregates.budget import projection as budget
from aggregates.manifest import FoldSettings
from aggregates.registry import of_table, projections
from processors.engine import rebuild
from processors.engine.daily_pass import HOUR_MS, DailyPass
from processors.engine.processor import ticks_of
from processors.engine.projection import Projection, rows
from processors.orders import packing
from processors.orders.currency import CURRENCY
from processors.orders.processor import OrdersProcessor
from processors.orders.row import ORDERS, SETTLED, OrderRow, blank
from processors.privacy.erasing import EntityErasure
from processors.privacy.finding import counted, found
from processors.privacy.subject import Subject
from processors.shopify.orders import Order, OrderEvent, Refund, RefundCreated
from query.endpoints.orders import find
from simulator.proof.sums import cells_differ
from stream.store import packed
from stream.store.contract import Reading, StoreUnavailable
from stream.store.sql.store import SqlStore
from tests.support.examples import on_each_store
from tests.support.shopify.orders import SHOP, order
from tests.support.shops.aggregate_rows import Rows, rows_of
from tests.support.shops.days_shop import NOW_MS, events_of_shop

LATE_MS = NOW_MS + 400 * 86_400_000


def made() -> list[Projection]:
    """Every projection of orders."""
    return of_table(projections(FoldSettings()), ORDERS.table)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pages of few orders."""
    for module in (packing, packed):
        monkeypatch.setattr(module, "FULL", 7)
    monkeypatch.setattr(rebuild, "PAGE", 9)


def fold(store: SqlStore, events: Sequence[OrderEvent], processor: OrdersProcessor) -> None:
    with store.begin() as transaction:
        processor.apply(transaction, events, NOW_MS)


def pack(store: SqlStore, processor: OrdersProcessor, at_ms: int = LATE_MS) -> None:
    """A pass over all shops."""
    with store.begin() as transaction:
        DailyPass(packing.OrderPacking(processor._projector), 0)(transaction, at_ms)


def entities(reading: Reading) -> dict[str, OrderRow]:
    return {
        row.order_id: row._replace(**SETTLED.dropped, detail=bytes(row.detail))
        for row in rows(reading, ORDERS, SHOP)
    }


def numbers(store: SqlStore) -> dict[str, Rows]:
    """By projection."""
    with store.snapshot() as snapshot:
        assert cells_differ(snapshot) == []
        return {each.name: rows_of(snapshot, each, SHOP) for each in made()}


def emptied(store: SqlStore) -> None:
    with store.begin() as transaction:
        for table in ("shop_order", "settled_order", "projection", "order_shop", "customer_alias"):
            transaction.execute(f"DELETE FROM {table}")
        for projection in made():
            for each in projection.tables:
                transaction.execute(f"DELETE FROM {each.table}")


@on_each_store(sqlite=8, postgresql=3, seed=st.integers(0, 10**6))
def test_orders_packed_at_any_moment_count_as_if_they_were_rows(store: SqlStore, seed: int) -> None:
    chance = random.Random(seed)
    # RFM counts in one currency, which a tick finds out: here there is one only.
    events = [
        replace(each, currency="USD") if isinstance(each, Order) else each
        for each in events_of_shop(seed, 40)
    ]
    events += [
        RefundCreated(
            shop=SHOP, order_id=each.order_id, refund=Refund("late", 100), currency=each.currency
        )
        for each in chance.sample([each for each in events if isinstance(each, Order)], 5)
    ]
    chance.shuffle(events)
    emptied(store)
    processor = OrdersProcessor({}, made())
    fold(store, events, processor)
    with store.snapshot() as snapshot:
        expected = entities(snapshot)
    plain = numbers(store)

    emptied(store)
    processor = OrdersProcessor({}, made())
    for start in range(0, len(events), 9):
        fold(store, events[start : start + 9], processor)
        if chance.random() < 0.5:
            pack(store, processor)
    pack(store, processor)
    with store.snapshot() as snapshot:
        assert entities(snapshot) == expected
        (left,) = snapshot.query("SELECT count(*) FROM shop_order WHERE updated_us >= 0")
        assert left[0] == 0
        pages = snapshot.query("SELECT first_id, last_id FROM settled_order ORDER BY first_id")
        assert all(a.last_id < b.first_id for a, b in pairwise(pages))
    assert numbers(store) == plain
    for projection in made():
        with store.begin() as transaction:
            rebuild.request(transaction, projection, SHOP, NOW_MS)
        while rebuild.run(store, projection, SHOP, NOW_MS):
            pass
    assert numbers(store) == plain


def test_folds_rebuilds_and_packing_beside_each_other_lose_and_double_nothing(
    store: SqlStore,
) -> None:
    states = [
        order(
            f"{n}", version=version, customer=f"{n % 7}", day=NOW_MS // 86_400_000 - n % 90,
            total=100 * n, cancelled=(n + version) % 5 == 0,
        )
        for version in range(1, 6)
        for n in range(1, 60)
    ]  # fmt: skip
    emptied(store)
    fold(store, states, OrdersProcessor({}, made()))
    with store.snapshot() as snapshot:
        expected = entities(snapshot)
    plain = numbers(store)
    emptied(store)

    def again(work: Callable[[], object]) -> None:
        """As the runner does."""
        while True:
            try:
                work()
            except StoreUnavailable:
                continue
            return

    def folding(part: int) -> None:
        processor, mine = OrdersProcessor({}, made()), states[part::2]
        for start in range(0, len(mine), 10):
            again(partial(fold, store, mine[start : start + 10], processor))

    def packing() -> None:
        processor = OrdersProcessor({}, made())
        for _ in range(20):
            again(partial(pack, store, processor))

    def rebuilding() -> None:
        for projection in made():
            again(partial(_requested, store, projection))
            for _ in range(12):
                again(partial(rebuild.run, store, projection, SHOP, NOW_MS))

    fold(store, states[:1], OrdersProcessor({}, made()))
    with ThreadPoolExecutor(4) as pool:
        works = [pool.submit(folding, part) for part in (0, 1)]
        works += [pool.submit(packing), pool.submit(rebuilding)]
        for each in works:
            each.result()
    for projection in made():
        while rebuild.run(store, projection, SHOP, NOW_MS):
            pass
    with store.snapshot() as snapshot:
        assert entities(snapshot) == expected
    assert numbers(store) == plain


def _requested(store: SqlStore, projection: Projection) -> None:
    with store.begin() as transaction:
        rebuild.request(transaction, projection, SHOP, NOW_MS)


def test_a_new_aggregate_counts_what_is_packed(store: SqlStore) -> None:
    processor = OrdersProcessor({}, [CURRENCY])
    fold(store, events_of_shop(1, 30), processor)
    pack(store, processor)
    with store.begin() as transaction:
        rebuild.register(transaction, [budget.projection()])
    with store.snapshot() as snapshot:
        assert [each.name for each in rebuild.pending(snapshot, [budget.projection()])] == [
            "budget"
        ]
    wanted = rebuild.request_all(store, [budget.projection()], "", NOW_MS)
    assert list(wanted.values()) == [30]


def test_a_packed_order_is_found_by_id_and_by_name(store: SqlStore) -> None:
    processor = OrdersProcessor({}, [CURRENCY])
    named = [replace(order(f"{n}"), name=f"#{1000 + n}") for n in range(1, 20)]
    fold(store, named, processor)
    pack(store, processor)
    with store.snapshot() as snapshot:
        for wanted in ("7", "#1007", "1007"):
            row = find(snapshot, SHOP, wanted)
            assert row is not None
            assert (row.order_id, row.name, row.total) == ("7", "#1007", 1000)
        assert find(snapshot, SHOP, "77") is None


def test_a_person_is_erased_from_packed_orders_too(store: SqlStore) -> None:
    processor = OrdersProcessor({}, made())
    buyers = ["1", "2"]
    fold(
        store,
        [
            order(f"{n}", customer=buyers[n % 2], email=f"{buyers[n % 2]}@example.com")
            for n in range(1, 30)
        ],
        processor,
    )
    pack(store, processor)
    with store.snapshot() as snapshot:
        subject = found(snapshot, SHOP, Subject(key="abcd", customers=("1",)))
        assert len(subject.orders) == 14
        assert counted(snapshot, SHOP, subject)["orders"] == 14
    EntityErasure(store, made()).erase(SHOP, subject, NOW_MS)
    pack(store, processor)
    with store.snapshot() as snapshot:
        left = list(rows(snapshot, ORDERS, SHOP))
        assert cells_differ(snapshot) == []
    assert {row.customer for row in left if int(row.order_id) % 2 == 0}.isdisjoint({"1"})
    assert {row.email for row in left if int(row.order_id) % 2 == 0} == {""}
    assert {row.customer for row in left if int(row.order_id) % 2} == {"2"}


def test_young_orders_and_those_changed_of_late_stay_rows(store: SqlStore) -> None:
    processor = OrdersProcessor({}, [CURRENCY])
    old_ms = packing.SETTLED_MS
    now_ms = NOW_MS + old_ms
    late = order("2", version=(now_ms - old_ms + 1) * 1000)
    fold(store, [order("1"), late, order("3", day=NOW_MS // 86_400_000 + 1)], processor)
    with store.begin() as transaction:
        transaction.save(ORDERS, [blank(SHOP, "4")])
        for at_ms in (now_ms - 2 * HOUR_MS, now_ms):
            for tick in ticks_of(processor).values():
                tick(transaction, at_ms, None)
            left = transaction.query("SELECT order_id FROM shop_order")
            assert len(left) == (3 if at_ms == now_ms else 4)
    with store.snapshot() as snapshot:
        rows_left = snapshot.query("SELECT order_id FROM shop_order ORDER BY order_id")
        assert [row[0] for row in rows_left] == ["2", "3", "4"]
        assert len(list(rows(snapshot, ORDERS, SHOP))) == 4


ids = st.text("0123456789ab", min_size=1, max_size=14)


@given(
    st.dictionaries(
        ids,
        st.tuples(st.integers(-1, 2**62), st.text(max_size=5), st.binary(max_size=9)),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from(["", "AB", "ab" * 16, "0g", " 00"]),
)
def test_what_is_packed_is_unpacked_again(
    given_rows: dict[str, tuple[int, str, bytes]], email: str
) -> None:
    made_rows = [
        blank(SHOP, key)._replace(updated_us=number, landing=text, detail=body, email=email)
        for key, (number, text, body) in sorted(given_rows.items())
    ]
    page = SETTLED.pack(made_rows)
    assert SETTLED.unpack(page) == made_rows
    assert (page.first_id, page.last_id) == (made_rows[0].order_id, made_rows[-1].order_id)
