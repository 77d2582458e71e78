"""RFM's customers: refunds, merges, guests, and orders that change their customer."""

import pytest

from aggregates.rfm.fold.customer import (
    LAST_DAY_CELLS,
    RFM_CELLS,
)
from aggregates.rfm.fold.order import LEFT_OUT_CELLS
from processors.shopify.orders import CustomersMerged, Refund, RefundCreated
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, SHOP, order
from tests.support.shops.rfm_store import (
    assert_cells_are_the_sum_of_customers_and_customers_of_orders,
    fold,
    nonzero,
)


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
