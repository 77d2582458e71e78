"""One shop's answer among many: it reads that shop's rows, and each shop's numbers stay its own."""

import pytest

from aggregates.rfm.answer.overview import KEPT, RfmArrays, RfmView
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, order
from tests.support.shops.folding import rfm_orders

SHOPS = tuple(f"shop-{number}.myshopify.com" for number in range(5))


def filled(store: SqlStore) -> None:
    """Shop n has n + 1 orders of customers, n without one and n in a second currency."""
    orders = []
    for number, shop in enumerate(SHOPS):
        orders += [order(f"{n}", shop=shop, customer=f"{n}", day=DAY0) for n in range(number + 1)]
        orders += [order(f"n{n}", shop=shop, customer=None, day=DAY0) for n in range(number)]
        orders += [
            order(f"f{n}", shop=shop, customer="1", day=DAY0, currency="CHF") for n in range(number)
        ]
    with store.begin() as transaction:
        rfm_orders({}).apply(transaction, orders, DAY0 * 86_400_000)


def counts(view: RfmView) -> tuple[int, int, int]:
    orders_without_customer, _, foreign = view.left_out
    return int(view.last_days.measures[0].sum()), orders_without_customer, foreign


def test_each_shop_is_counted_by_itself_whoever_else_is_asked_for(store: SqlStore) -> None:
    filled(store)
    arrays = RfmArrays(store)
    for asked in ((2,), (0, 4), range(5)):
        for number in asked:
            arrays.ask(SHOPS[number])
        arrays.refresh()
        for number in asked:
            assert counts(arrays.view(SHOPS[number])) == (number + 1, number, number)
            with arrays.snapshot_view(SHOPS[number]) as (_, view):
                assert counts(view) == (number + 1, number, number)


def test_a_shop_is_known_from_the_refresh_after_its_question_on(store: SqlStore) -> None:
    filled(store)
    arrays = RfmArrays(store)
    arrays.refresh()
    with pytest.raises(LookupError):
        arrays.view(SHOPS[1])
    assert not arrays.ask(SHOPS[1])
    for _ in range(KEPT):
        arrays.refresh()
        with arrays.snapshot_view(SHOPS[2]) as (_, view):
            assert counts(view) == (3, 2, 2)
        assert counts(arrays.view(SHOPS[1])) == (2, 1, 1)
    arrays.refresh()
    with pytest.raises(LookupError):
        arrays.view(SHOPS[1])
