"""Days and cohorts: whatever arrives, in whichever order and however often, ends in the same cells,
which are those that brute force finds; a rebuild ends in them too."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from aggregates.days.fold.cells import COHORT_CELLS, DAY_CELLS, FIRSTS, MONTHS
from aggregates.days.fold.projection import NAME, projection
from processors.engine import rebuild
from processors.engine.projection import live_key
from processors.orders.currency import CURRENCY
from processors.orders.processor import OrdersProcessor
from processors.orders.row import ORDERS, OrderRow
from processors.shopify.orders import CustomersMerged, Order, OrderEvent
from simulator.proof.sums import unequal
from stream.store.contract import Cells
from stream.store.sql.store import SqlStore
from tests.support.examples import on_each_store
from tests.support.oracles import oracle_days
from tests.support.shopify.orders import DAY0, SHOP, distinct_versions, events, order

TABLES = (
    *("shop_order", "order_shop", "customer_alias", "projection", "order_currency_cell"),
    *(FIRSTS.table, MONTHS.table, DAY_CELLS.table, COHORT_CELLS.table),
)
LANDINGS = (None, "/", "/?utm_source=ig&utm_campaign=Summer", "/?utm_source=ig&utm_id=7")


def processor() -> OrdersProcessor:
    return OrdersProcessor({}, (CURRENCY, projection()))


def fold(store: SqlStore, batches: Sequence[Sequence[OrderEvent]]) -> None:
    folding = processor()
    for batch in batches:
        with store.begin() as transaction:
            folding.apply(transaction, batch, (DAY0 + 100) * 86_400_000)


def empty(store: SqlStore) -> None:
    with store.begin() as transaction:
        for table in TABLES:
            transaction.execute(f"DELETE FROM {table}")


def cells(store: SqlStore, table: Cells) -> dict[tuple[Any, ...], tuple[int, ...]]:
    size = len(table.key)
    with store.snapshot() as snapshot:
        key = live_key(snapshot, SHOP, NAME)
        return {
            tuple(row[1:size]): tuple(row[size:])
            for row in snapshot.changes(table, None).rows
            if row[0] == key and any(row[size:])
        }


def expected(store: SqlStore, table: Cells) -> dict[tuple[Any, ...], tuple[int, ...]]:
    with store.snapshot() as snapshot:
        rows = [OrderRow._make(r) for r in snapshot.query(f"SELECT {COLUMNS} FROM shop_order")]
        kept = dict(snapshot.query("SELECT deleted, kept FROM customer_alias"))
    brute = oracle_days.day_cells if table is DAY_CELLS else oracle_days.cohort_cells
    return {key: tuple(found) for key, found in brute(rows, kept).items() if any(found)}


COLUMNS = ", ".join(OrderRow._fields)


def differ(store: SqlStore) -> list[str]:
    return [
        line
        for table in (DAY_CELLS, COHORT_CELLS)
        for line in unequal(table.table, cells(store, table), expected(store, table), "brute force")
    ]


def everything(store: SqlStore) -> list[Any]:
    """Cells and rows of the live generation, without its name."""
    found: list[Any] = [cells(store, table) for table in (DAY_CELLS, COHORT_CELLS)]
    with store.snapshot() as snapshot:
        key = live_key(snapshot, SHOP, NAME)
        for table in (FIRSTS, MONTHS):
            columns = ", ".join(table.row._fields[1:])
            sql = f"SELECT {columns} FROM {table.table} WHERE shop = :shop"
            found.append(sorted(map(tuple, snapshot.query(sql, shop=key))))
    return found


def rebuilt(store: SqlStore) -> None:
    made = projection()
    with store.begin() as transaction:
        rebuild.request(transaction, made, SHOP, 0)
    while rebuild.run(store, made, SHOP, 0):
        pass


def varied(event: OrderEvent, seed: int) -> OrderEvent:
    """The same in one of some channels, countries and campaigns, in months that lie apart."""
    if not isinstance(event, Order):
        return event
    rng = random.Random(f"{seed} {event.order_id} {event.version}")
    return replace(
        event,
        landing_site=rng.choice(LANDINGS),
        country=rng.choice(["", "FR", "US"]),
        source_name=rng.choice(["web", "pos"]),
    )


@on_each_store(
    sqlite=40,
    postgresql=5,
    answer=st.lists(events(days=70), max_size=14),
    seed=st.integers(0, 1_000),
    splits=st.lists(st.integers(0, 14), max_size=3),
)
def test_whatever_arrives_cells_are_what_brute_force_finds(
    store: SqlStore, answer: list[OrderEvent], seed: int, splits: list[int]
) -> None:
    empty(store)
    answer = [varied(event, seed) for event in distinct_versions(answer)]
    edges = sorted({0, len(answer), *(each for each in splits if each < len(answer))})
    fold(store, [answer[a:b] for a, b in itertools.pairwise(edges)])
    assert differ(store) == []
    before = everything(store)
    shuffled = list(answer)
    random.Random(seed).shuffle(shuffled)
    empty(store)
    fold(store, [[each] for each in (*shuffled, *answer)])
    assert everything(store) == before
    rebuilt(store)
    assert everything(store) == before


def measures(store: SqlStore, day: int) -> tuple[int, ...]:
    return cells(store, DAY_CELLS)["", DAY0 + day, "", "USD"]


def test_a_cancelled_first_order_makes_the_next_one_the_first(store: SqlStore) -> None:
    empty(store)
    fold(store, [[order("1"), order("2", day=DAY0 + 40, total=500)]])
    assert measures(store, 0) == (1, 1000, 0, 1, 1000, 0)
    assert measures(store, 40) == (1, 500, 0, 0, 0, 500)
    fold(store, [[order("1", version=2, cancelled=True)]])
    assert measures(store, 40) == (1, 500, 0, 1, 500, 0)
    assert differ(store) == []


def test_an_older_order_that_arrives_late_moves_the_customer_to_its_month(store: SqlStore) -> None:
    empty(store)
    fold(store, [[order("2", day=DAY0 + 40), order("3", day=DAY0 + 80)]])
    fold(store, [[order("1", day=DAY0)]])
    first = oracle_days.month(DAY0)
    assert {key[2:4] for key in cells(store, COHORT_CELLS)} == {
        (first, oracle_days.month(DAY0 + gap)) for gap in (0, 40, 80)
    }
    assert differ(store) == []


def test_two_customers_merged_are_new_once(store: SqlStore) -> None:
    empty(store)
    merge = CustomersMerged(shop=SHOP, kept_id="2", deleted_id="1")
    fold(store, [[order("1"), order("2", customer="2", day=DAY0 + 40)], [merge]])
    assert measures(store, 40)[3:] == (0, 0, 1000)
    assert differ(store) == []
    rebuilt(store)
    assert differ(store) == []


def test_orders_are_folded_while_a_rebuild_is_under_way(store: SqlStore) -> None:
    empty(store)
    answer = [order(f"{n:02}", customer=f"{n % 7}", day=DAY0 + n) for n in range(40)]
    fold(store, [answer[::2]])
    made = projection()
    with store.begin() as transaction:
        rebuild.request(transaction, made, SHOP, 0)
    page, rebuild.PAGE = rebuild.PAGE, 3  # type: ignore[misc]
    try:
        for each in answer[1::2]:
            rebuild.run(store, made, SHOP, 0)
            fold(store, [[each]])
        while rebuild.run(store, made, SHOP, 0):
            pass
    finally:
        rebuild.PAGE = page  # type: ignore[misc]
    with store.snapshot() as snapshot:
        assert live_key(snapshot, SHOP, NAME) == f"{SHOP}#1"
    assert differ(store) == []


def test_a_customer_of_very_many_orders_costs_a_page_of_them(store: SqlStore) -> None:
    empty(store)
    answer = [order(f"{n:05}", customer="1", day=DAY0 + n % 90) for n in range(3_000)]
    fold(store, [answer[n : n + 500] for n in range(0, len(answer), 500)])
    asked: list[str] = []
    with store.begin() as transaction:
        query = transaction.query

        def counted(sql: str, **parameters: Any) -> list[Any]:
            found = query(sql, **parameters)
            asked.extend(["row"] * len(found) if "shop_order" in sql else [])
            return found

        transaction.query = counted  # type: ignore[method-assign]
        processor().apply(transaction, [order("00000", customer="1", version=2, cancelled=True)], 0)
    assert len(asked) < 200
    assert ORDERS.table == "shop_order"
    assert cells(store, DAY_CELLS)["", DAY0, "", "USD"][3] == 1
