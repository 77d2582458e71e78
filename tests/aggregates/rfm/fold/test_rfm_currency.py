"""RFM counts one currency a shop, and leaves out and counts orders in others."""

import pytest

from aggregates.rfm.fold.customer import (
    RFM_CELLS,
)
from aggregates.rfm.fold.order import LEFT_OUT_CELLS
from processors.orders.currency import CELLS as CURRENCY_CELLS
from processors.shopify.orders import OrderEvent
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, SHOP, order
from tests.support.shops.folding import rfm_orders
from tests.support.shops.rfm_store import (
    assert_cells_are_the_sum_of_customers_and_customers_of_orders,
    empty,
    fold,
    nonzero,
    state,
    ticked,
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
