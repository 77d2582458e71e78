"""The RFM fold: whatever arrives, in whichever order and however often, ends in one state, and
cells are the sum of customers."""

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from aggregates.rfm.fold import customer as rfm_customer
from aggregates.rfm.fold.batch import EARLY
from aggregates.rfm.fold.customer import (
    BTYD_CELLS,
    CUSTOMERS,
    DAYS,
    LAST_DAY_CELLS,
    RFM_CELLS,
    SPEND_CELLS,
    CustomerRow,
    DayRow,
    from_days,
)
from aggregates.rfm.fold.days import PURCHASE_DAYS
from aggregates.rfm.fold.order import LEFT_OUT_CELLS
from aggregates.rfm.fold.shop import SHOPS, RfmShopRow
from processors.engine.projection import rows as rows_of
from processors.engine.projection import shop_of
from processors.orders.currency import CELLS as CURRENCY_CELLS
from processors.orders.processor import OrdersProcessor
from processors.orders.row import ORDERS, counts
from processors.orders.state import net
from processors.shopify.orders import CustomersMerged, OrderEvent, Refund, RefundCreated
from stream.store.contract import Cells, Entities, Key
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, SHOP, distinct_versions, events, order
from tests.support.shops.folding import rfm_orders

OF_CUSTOMERS = (RFM_CELLS, LAST_DAY_CELLS, BTYD_CELLS, SPEND_CELLS)
CELLS = (*OF_CUSTOMERS, CURRENCY_CELLS, LEFT_OUT_CELLS)
TABLES = (
    *("rfm_early", "rfm_shop", "rfm_customer_day", "rfm_customer"),
    *("shop_order", "order_shop", "customer_alias", "projection"),
)
NOON_MS = 12 * 3_600_000
PROPERTY = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def at(day: int) -> int:
    return day * 86_400_000 + NOON_MS


def empty(store: SqlStore) -> None:
    with store.begin() as transaction:
        for table in (*TABLES, *(cells.table for cells in CELLS)):
            transaction.execute(f"DELETE FROM {table}")


def fold(
    store: SqlStore,
    batches: Sequence[Sequence[OrderEvent]],
    day: int = DAY0 + 31,
    processor: OrdersProcessor | None = None,
) -> OrdersProcessor:
    processor = processor or rfm_orders({})
    for batch in batches:
        with store.begin() as transaction:
            processor.apply(transaction, batch, at(day))
    return processor


def ticked(store: SqlStore, processor: OrdersProcessor, day: int = DAY0 + 31) -> None:
    with store.begin() as transaction:
        processor.tick(transaction, at(day))


def nonzero(store: SqlStore, cells: Cells) -> dict[tuple[object, ...], tuple[int, ...]]:
    size = len(cells.key)
    with store.snapshot() as snapshot:
        return {
            tuple(r[:size]): tuple(r[size:])
            for r in snapshot.changes(cells, None).rows
            if any(r[size:])
        }


def state(store: SqlStore) -> dict[str, object]:
    dump: dict[str, object] = {cells.table: nonzero(store, cells) for cells in CELLS}
    with store.snapshot() as snapshot:
        for table in TABLES:
            dump[table] = sorted(map(tuple, snapshot.query(f"SELECT * FROM {table}")))
    return dump


def assert_cells_are_the_sum_of_customers_and_customers_of_orders(
    store: SqlStore, window_days: int = 365
) -> None:
    """The central equation, from the orders up: everything behind the order rows is made anew and
    compared."""
    with store.snapshot() as snapshot:
        shops = {
            row[0]: RfmShopRow(*row)
            for row in snapshot.query(f"SELECT {', '.join(RfmShopRow._fields)} FROM rfm_shop")
        }
        rows = [row for key in shops for row in rows_of(snapshot, ORDERS, shop_of(key))]
        aliases = {
            (r[0], r[1]): r[2]
            for r in snapshot.query("SELECT shop, deleted, kept FROM customer_alias")
        }
        customers = {
            CustomerRow(*r)[:2]: CustomerRow(*r)
            for r in snapshot.query(f"SELECT {', '.join(CustomerRow._fields)} FROM rfm_customer")
        }
    days: dict[tuple[str, str, int], list[int]] = {}
    left_out: dict[tuple[str, str], tuple[int, int]] = {}
    currencies: dict[tuple[str, str], tuple[int]] = {}
    for row in filter(counts, rows):
        currencies[row.shop, row.currency] = (
            currencies.get((row.shop, row.currency), (0,))[0] + 1,
        )
        if row.day > shops[row.shop].as_of_day:
            continue
        if row.currency != shops[row.shop].currency:
            continue
        if not row.customer:
            orders, revenue = left_out.get((row.shop, "no_customer"), (0, 0))
            left_out[row.shop, "no_customer"] = orders + 1, revenue + net(row)
        else:
            total = days.setdefault(
                (row.shop, aliases.get((row.shop, row.customer), row.customer), row.day), [0, 0]
            )
            total[0] += 1
            total[1] += net(row)
    by_customer: dict[tuple[str, str], list[DayRow]] = {}
    for (shop, customer, day), (orders, revenue) in days.items():
        by_customer.setdefault((shop, customer), []).append(
            DayRow(shop, customer, day, orders, revenue)
        )
    expected = {
        key: from_days(*key, its_days, shops[key[0]].as_of_day - window_days)
        for key, its_days in by_customer.items()
    }
    assert customers == expected
    with store.snapshot() as snapshot:
        columns = ", ".join(DayRow._fields)
        found = [DayRow(*r) for r in snapshot.query(f"SELECT {columns} FROM {PURCHASE_DAYS} AS d")]
        kept = [DayRow(*r) for r in snapshot.query(f"SELECT {columns} FROM rfm_customer_day")]
    assert sorted(found) == sorted(day for its_days in by_customer.values() for day in its_days)
    assert all(customers[day.shop, day.customer].days > 1 for day in kept)
    for cells in OF_CUSTOMERS:
        sums: dict[tuple[object, ...], tuple[int, ...]] = {}
        for customer_row in customers.values():
            for table, key, measures in rfm_customer.cells(
                customer_row, exact=bool(shops[customer_row.shop].exact)
            ):
                if table is not cells:
                    continue
                sums[key] = tuple(
                    a + b
                    for a, b in zip(sums.get(key, (0,) * len(measures)), measures, strict=True)
                )
        assert nonzero(store, cells) == {
            key: measures for key, measures in sums.items() if any(measures)
        }, cells.table
    assert nonzero(store, LEFT_OUT_CELLS) == left_out
    assert nonzero(store, CURRENCY_CELLS) == currencies


@PROPERTY
@given(drawn=st.lists(events(), max_size=25), seed=st.integers(0, 2**32))
def test_any_order_any_duplication_any_batches_end_in_the_same_state(
    store: SqlStore, drawn: list[OrderEvent], seed: int
) -> None:
    answer = distinct_versions(drawn)
    empty(store)
    ticked(store, fold(store, [answer]))
    once = state(store)
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    rng = random.Random(seed)
    again = answer + rng.sample(answer, len(answer) // 2)
    rng.shuffle(again)
    cuts = sorted(rng.sample(range(len(again) + 1), min(3, len(again))))
    empty(store)
    ticked(
        store,
        fold(
            store,
            [again[a:b] for a, b in zip([0, *cuts], [*cuts, len(again)], strict=True) if a < b],
        ),
    )
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    if answer:
        assert state(store) == once


@PROPERTY
@given(drawn=st.lists(events(), max_size=15))
def test_the_equation_holds_after_every_event(store: SqlStore, drawn: list[OrderEvent]) -> None:
    empty(store)
    for event in distinct_versions(drawn):
        fold(store, [[event]])
        assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)


def test_a_clock_advanced_day_by_day_for_400_days_equals_recomputation(store: SqlStore) -> None:
    rng = random.Random(7)
    processor = rfm_orders({})
    number = 0
    for day in range(DAY0, DAY0 + 400):
        if day < DAY0 + 60:
            number += 1
            fold(
                store,
                [
                    [
                        order(
                            f"{number}",
                            customer=f"{rng.randint(1, 12)}",
                            day=day - rng.randint(0, 3),
                            total=rng.randint(1, 9999),
                        )
                    ]
                ],
                day,
                processor,
            )
        with store.begin() as transaction:
            processor.tick(transaction, at(day))
        if day % 29 == 0 or day == DAY0 + 399:
            assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    with store.snapshot() as snapshot:
        assert (
            snapshot.query("SELECT count(*) FROM rfm_customer WHERE expires_day IS NOT NULL")[0][0]
            > 0
        )


def test_midnight_touches_only_customers_whose_orders_leave(store: SqlStore) -> None:
    processor = fold(
        store,
        [[order("1", customer="1", day=DAY0), order("2", customer="2", day=DAY0 + 1)]],
        DAY0 + 1,
    )
    before = nonzero(store, RFM_CELLS)
    with store.begin() as transaction:
        processor.tick(transaction, at(DAY0 + 364))
    assert nonzero(store, RFM_CELLS) == before
    with store.begin() as transaction:
        processor.tick(transaction, at(DAY0 + 365))
    assert set(nonzero(store, RFM_CELLS)) == {(SHOP, DAY0 + 1, 1, 1, 1000)}
    assert sum(n for (n,) in nonzero(store, LAST_DAY_CELLS).values()) == 2


def test_refunds_lower_money_only_and_are_counted_once_in_whatever_shape(
    store: SqlStore,
) -> None:
    fold(
        store, [[RefundCreated(shop=SHOP, order_id="1", refund=Refund("r1", 300), currency="USD")]]
    )
    assert nonzero(store, RFM_CELLS) == {}
    fold(store, [[order("1", total=1000)]])
    assert nonzero(store, RFM_CELLS) == {(SHOP, DAY0, 1, 1, 700): (1, 1, 700)}
    fold(
        store,
        [
            [
                order(
                    "1",
                    version=2,
                    total=1000,
                    current=700,
                    refunds=(Refund("r1", 300),),
                    status="partially_refunded",
                )
            ]
        ],
    )
    assert nonzero(store, RFM_CELLS) == {(SHOP, DAY0, 1, 1, 700): (1, 1, 700)}
    fold(
        store,
        [
            [
                order(
                    "1",
                    version=3,
                    total=1000,
                    current=0,
                    refunds=(Refund("r1", 300), Refund("r2", 700)),
                    status="refunded",
                )
            ]
        ],
    )
    assert nonzero(store, RFM_CELLS) == {(SHOP, DAY0, 1, 1, 0): (1, 1, 0)}


def test_an_order_may_change_its_customer(store: SqlStore) -> None:
    fold(
        store,
        [
            [order("1", customer="1"), order("2", customer="1", day=DAY0 + 2)],
            [order("2", version=2, customer="2", day=DAY0 + 2)],
        ],
    )
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    assert set(nonzero(store, RFM_CELLS)) == {
        (SHOP, DAY0, 1, 1, 1000),
        (SHOP, DAY0 + 2, 1, 1, 1000),
    }


def test_a_merge_joins_two_customers_whenever_it_comes(store: SqlStore) -> None:
    merge = CustomersMerged(shop=SHOP, kept_id="2", deleted_id="1")
    fold(
        store,
        [
            [order("1", customer="1")],
            [merge],
            [order("2", customer="2", day=DAY0 + 1), order("3", customer="1", day=DAY0 + 2)],
        ],
    )
    assert nonzero(store, RFM_CELLS) == {(SHOP, DAY0 + 2, 3, 1, 3000): (1, 3, 3000)}


def test_guests_are_known_by_a_hash_and_orders_of_nobody_are_left_out_and_counted(
    store: SqlStore,
) -> None:
    fold(
        store,
        [
            [
                order("1", customer=None, email=" A@Example.com"),
                order("2", customer=None, email="a@example.com", day=DAY0 + 1),
            ]
        ],
    )
    fold(store, [[order("3", customer=None, total=50)]])
    assert set(nonzero(store, LAST_DAY_CELLS)) == {(SHOP, 1, DAY0 + 1)}
    assert nonzero(store, LEFT_OUT_CELLS) == {(SHOP, "no_customer"): (1, 50)}
    with store.snapshot() as snapshot:
        assert "@" not in str(snapshot.query("SELECT * FROM rfm_customer")) + str(
            snapshot.query("SELECT * FROM shop_order")
        )


def test_orders_in_another_currency_cannot_be_added_so_they_are_left_out_and_counted(
    store: SqlStore,
) -> None:
    fold(
        store,
        [
            [order("0", currency="CAD", test=True)],
            [order("1")],
            [order("2", currency="EUR"), order("3", currency="EUR")],
        ],
    )
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    assert nonzero(store, RFM_CELLS) == {(SHOP, DAY0, 1, 1, 1000): (1, 1, 1000)}
    assert nonzero(store, CURRENCY_CELLS) == {(SHOP, "USD"): (1,), (SHOP, "EUR"): (2,)}
    assert nonzero(store, LEFT_OUT_CELLS) == {}


def currency_of(store: SqlStore) -> str:
    with store.snapshot() as snapshot:
        return str(snapshot.query("SELECT currency FROM rfm_shop")[0][0])


@pytest.mark.parametrize("backwards", [False, True])
def test_a_shop_s_currency_is_that_of_most_orders_that_count_whichever_came_first(
    store: SqlStore, backwards: bool
) -> None:
    answer: list[OrderEvent] = [
        order("1", currency="EUR", cancelled=True),
        order("2", currency="EUR"),
        order("3"),
        order("4", customer="2"),
    ]
    processor = rfm_orders({})
    for event in reversed(answer) if backwards else answer:
        fold(store, [[event]], processor=processor)
    ticked(store, processor)
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    assert currency_of(store) == "USD"
    assert nonzero(store, RFM_CELLS) == {(SHOP, DAY0, 1, 1, 1000): (2, 2, 2000)}


def test_a_shop_with_nothing_but_a_cancelled_order_has_no_currency_until_one_counts(
    store: SqlStore,
) -> None:
    processor = fold(
        store,
        [[order("1", currency="EUR")], [order("1", version=2, currency="EUR", cancelled=True)]],
    )
    ticked(store, processor)
    assert currency_of(store) == ""
    ticked(store, fold(store, [[order("2")]], processor=processor))
    assert (currency_of(store), nonzero(store, RFM_CELLS)) == (
        "USD",
        {(SHOP, DAY0, 1, 1, 1000): (1, 1, 1000)},
    )


def test_the_currency_that_is_set_wins_and_setting_it_recounts_what_is_there(
    store: SqlStore,
) -> None:
    answer: list[OrderEvent] = [
        order(f"{n}", customer=f"{n % 3}", currency="USD" if n % 4 else "EUR") for n in range(12)
    ]
    fold(store, [answer[:6], answer[6:]])
    processor = rfm_orders({}, {SHOP: "EUR"})
    ticked(store, processor)
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    recounted = state(store)
    assert (
        currency_of(store),
        sum(orders for _, orders, _ in nonzero(store, RFM_CELLS).values()),
    ) == ("EUR", 3)
    empty(store)
    ticked(store, fold(store, [answer], processor=processor))
    assert state(store) == recounted


@pytest.mark.parametrize(
    ("merges", "kept"),
    [
        ("12", "2"),
        ("12 23", "3"),
        ("23 12", "3"),
        ("12 13", "2"),
        ("13 12", "2"),
        ("12 21", "1"),
        ("21 12", "1"),
        ("13 12 24", "3"),
        ("11", "1"),
    ],
)
def test_merges_that_contradict_each_other_make_one_customer_of_all_they_name(
    store: SqlStore, merges: str, kept: str
) -> None:
    """`12`: customer 1 is deleted, 2 is kept."""
    fold(store, [[order("a", customer="1")]])
    fold(
        store,
        [
            [CustomersMerged(shop=SHOP, deleted_id=deleted, kept_id=into)]
            for deleted, into in map(tuple, merges.split())
        ],
    )
    fold(store, [[order("b", customer="1", day=DAY0 + 1)]])
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT customer, orders FROM rfm_customer") == [(kept, 2)]
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)


def test_an_order_of_a_day_that_has_not_begun_counts_once_it_has(store: SqlStore) -> None:
    processor = fold(store, [[order("1", day=DAY0 + 2), order("2", day=DAY0, total=1)]], DAY0)
    assert nonzero(store, RFM_CELLS) == {(SHOP, DAY0, 1, 1, 1): (1, 1, 1)}
    fold(store, [[order("3", customer="2", day=DAY0 + 1)]], DAY0 + 1, processor)
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    with store.begin() as transaction:
        processor.tick(transaction, at(DAY0 + 2))
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    assert nonzero(store, RFM_CELLS) == {
        (SHOP, DAY0 + 1, 1, 1, 1000): (1, 1, 1000),
        (SHOP, DAY0 + 2, 2, 1, 1001): (1, 2, 1001),
    }


@pytest.mark.parametrize(
    ("offset", "today"), [("+13:00", DAY0 + 1), ("+00:00", DAY0), ("-11:30", DAY0 - 1)]
)
def test_a_shop_without_time_zone_has_its_midnight_where_its_orders_times_have_it(
    store: SqlStore, offset: str, today: int
) -> None:
    zone = datetime.fromisoformat(f"2024-10-04T11:00:00{offset}").tzinfo
    moment = datetime(2024, 10, 4, 11, tzinfo=UTC)
    with store.begin() as transaction:
        answer = replace(order("1", day=today), processed_at=moment.astimezone(zone))
        rfm_orders({}).apply(transaction, [answer], round(moment.timestamp() * 1000))
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT as_of_day FROM rfm_shop") == [(today,)]


@pytest.mark.parametrize("window_days", [30, 365, 500])
def test_another_window_recounts_what_is_there(store: SqlStore, window_days: int) -> None:
    rng = random.Random(11)
    answer: list[OrderEvent] = [
        order(f"{i}", customer=f"{rng.randint(1, 20)}", day=DAY0 - rng.randint(0, 600))
        for i in range(60)
    ]
    fold(store, [answer], DAY0)
    processor = rfm_orders({}, window_days=window_days)
    with store.begin() as transaction:
        processor.tick(transaction, at(DAY0))
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store, window_days)
    fold(store, [[order("next", customer="3", day=DAY0)]], DAY0, processor)
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store, window_days)


def test_a_large_shop_steps_to_bins_and_stays_the_sum_of_its_customers(store: SqlStore) -> None:
    rng = random.Random(3)
    processor = rfm_orders({}, exact_below=40)
    for batch in range(8):
        answer: list[OrderEvent] = [
            order(
                f"{batch}-{i}",
                customer=f"{rng.randint(1, 60)}",
                day=DAY0 + rng.randint(0, 30),
                total=rng.randint(1, 200_000),
            )
            for i in range(12)
        ]
        fold(store, [answer], processor=processor)
        with store.begin() as transaction:
            processor.tick(transaction, at(DAY0 + 31))
        assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT exact FROM rfm_shop") == [(0,)]


def test_the_next_event_of_a_customer_with_50_000_orders_reads_no_more_than_any_other(
    store: SqlStore,
) -> None:
    """Counted in rows, not seconds: one day and one customer are loaded, whatever stands behind
    them."""
    days = [DayRow(SHOP, "till", DAY0 - day, 137, 137_000) for day in range(365)]
    row = from_days(SHOP, "till", days, DAY0 - 365)
    assert row is not None
    assert row.orders == 50_005
    before = days[0]
    after = before._replace(orders=138, revenue=138_000)
    assert rfm_customer.moved(SHOP, "till", row, [(before, after)], DAY0 - 365) == from_days(
        SHOP, "till", [after, *days[1:]], DAY0 - 365
    )


def test_today_is_the_shop_s(store: SqlStore) -> None:
    processor = rfm_orders({SHOP: ZoneInfo("Pacific/Auckland")})
    fold(store, [[order("1", day=DAY0)]], DAY0, processor)
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT as_of_day FROM rfm_shop") == [(DAY0 + 1,)]
    assert date.fromordinal(DAY0 + date(1970, 1, 1).toordinal()).isoformat() == "2024-10-04"


def test_orders_and_customers_have_the_columns_of_their_tables(store: SqlStore) -> None:
    with store.begin() as transaction:
        tables: list[tuple[Entities[Any], Key]] = [
            (ORDERS, (SHOP, "none")),
            (CUSTOMERS, (SHOP, "none")),
            (DAYS, (SHOP, "none", 0)),
            (EARLY, (SHOP, 0, "none")),
            (SHOPS, (SHOP,)),
        ]
        for entities, key in tables:
            assert transaction.load(entities, [key]) == {}


def test_a_clock_that_was_far_ahead_and_is_put_right_leaves_nothing_behind(store: SqlStore) -> None:
    rng = random.Random(11)
    answer: list[OrderEvent] = [
        order(f"{i}", customer=f"{rng.randint(1, 9)}", day=DAY0 - rng.randint(0, 500))
        for i in range(40)
    ]
    answer.append(order("early", customer="1", day=DAY0 + 3))
    fold(store, [answer], DAY0)
    processor = rfm_orders({})

    def tick(day: int) -> None:
        with store.begin() as transaction:
            processor.tick(transaction, at(day))

    def counted() -> dict[str, object]:
        # Orders that were packed because of the clock stay packed, and count the same.
        return {name: rows for name, rows in state(store).items() if name != "shop_order"}

    tick(DAY0)
    before = counted()
    for ahead in (2, 400, 4_000):
        tick(DAY0 + ahead)
        assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
        tick(DAY0)
        assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
        assert counted() == before


def test_an_order_that_waits_for_its_day_is_counted_once_if_it_changes_with_the_first_batch_of_it(
    store: SqlStore,
) -> None:
    """Also a clock that was a day behind and is right again."""
    processor = rfm_orders({})
    sold = order("early", customer="1", day=DAY0 + 1, total=1_000, version=1)
    paid = order("early", customer="1", day=DAY0 + 1, total=700, version=2)
    fold(store, [[order("first", customer="2", day=DAY0)], [sold]], DAY0, processor)
    ticked(store, processor, DAY0)
    fold(store, [[paid]], DAY0 + 1, processor)
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    with store.snapshot() as snapshot:
        sql = "SELECT orders, revenue FROM rfm_customer WHERE customer = '1'"
        assert snapshot.query(sql) == [(1, 700)]
