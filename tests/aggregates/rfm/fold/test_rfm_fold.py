"""The RFM fold: whatever arrives, in whichever order and however often, ends in one state, and
cells are the sum of customers."""

import random
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st
from msgspec.structs import replace

from aggregates.rfm.fold import customer as rfm_customer
from aggregates.rfm.fold.batch import EARLY
from aggregates.rfm.fold.customer import (
    CUSTOMERS,
    DAYS,
    LAST_DAY_CELLS,
    RFM_CELLS,
    DayRow,
    from_days,
)
from aggregates.rfm.fold.shop import SHOPS
from processors.orders.row import ORDERS
from processors.shopify.orders import OrderEvent
from stream.store.contract import Entities, Key
from stream.store.sql.store import SqlStore
from tests.support.examples import on_each_store
from tests.support.shopify.orders import DAY0, SHOP, distinct_versions, events, order
from tests.support.shops.folding import rfm_orders
from tests.support.shops.rfm_store import (
    assert_cells_are_the_sum_of_customers_and_customers_of_orders,
    at,
    empty,
    fold,
    nonzero,
    state,
    ticked,
)


@on_each_store(
    sqlite=25,
    postgresql=5,
    drawn=st.lists(events(), max_size=25),
    seed=st.integers(0, 2**32),
)
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


@on_each_store(sqlite=25, postgresql=5, drawn=st.lists(events(), max_size=15))
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
