"""Migrations that count checkouts anew: after the next start all is as the fold had it."""

from importlib import import_module

from stream.store.sql.store import SqlStore
from tests.support.shopify.cart_events import cells_in, checkouts_in, fold, ms, tick
from tests.support.shops.carts_shop import before, simulated

landmarks = import_module("stream.store.migrations.versions.0031_cart_landmarks")


def test_checkouts_without_a_state_are_counted_anew_by_the_next_tick(store: SqlStore) -> None:
    now_ms = ms(30 * 24 * 60)
    fold(store, before(simulated(7, 150, 25), now_ms), now_ms)
    tick(store, now_ms)
    rows, cells = checkouts_in(store), cells_in(store)
    assert any(table == "cart_landmark" for table, _ in cells)
    with store.begin() as transaction:
        for statement in landmarks.COUNT_ANEW:
            transaction.execute(statement)
    assert cells_in(store) == {key: of for key, of in cells.items() if key[0] == "cart_begun"}
    tick(store, now_ms)
    assert (checkouts_in(store), cells_in(store)) == (rows, cells)
