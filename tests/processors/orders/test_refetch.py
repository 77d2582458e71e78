"""What Shopify Events named and did not bring waits until a whole state comes."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from random import Random
from typing import Any

import msgspec

from processors.orders.refetch import FORGOTTEN_AFTER_MS, RefetchRow
from simulator.shop import changes
from simulator.shop.delivery import triggered_at
from simulator.shop.sale import Sale
from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.shopify.twin_orders import classic_entry, entry, event_entry, graphql, sale
from tests.support.shops.folding import rfm_orders

NOW_MS = 1_795_300_000_000
shops = count()


class Shop:
    """One shop's orders, folded into a store."""

    def __init__(self, store: SqlStore) -> None:
        self.name, self._store = f"refetch-{next(shops)}.myshopify.com", store
        self._orders, self.now_ms = rfm_orders(), NOW_MS

    def fold(self, *entries: Entry) -> list[RefetchRow]:
        """What waits after these."""
        events = [event for each in entries if (event := self._orders.decode(each)) is not None]
        with self._store.begin() as transaction:
            self._orders.apply(transaction, events, self.now_ms)
        with self._store.snapshot() as snapshot:
            names = ", ".join(RefetchRow._fields)
            sql = f"SELECT {names} FROM order_refetch WHERE shop = :shop ORDER BY gid"
            return [RefetchRow(*row) for row in snapshot.query(sql, shop=self.name)]

    def tick(self) -> None:
        with self._store.begin() as transaction:
            self._orders.tick(transaction, self.now_ms)

    def without_data(self, one: Sale, **changed: Any) -> Entry:
        return entry("Order", graphql(one).event() | {"data": None, **changed}, one, shop=self.name)

    def deleted(self, one: Sale) -> Entry:
        return self.without_data(one, action="delete")


def gids(rows: Sequence[RefetchRow]) -> list[str]:
    return [row.gid for row in rows]


def later(one: Sale, minutes: int) -> Sale:
    changes.touch(one, one.created + timedelta(minutes=minutes))
    return one


def test_an_order_without_data_waits_until_a_state_triggered_no_earlier_comes(
    store: SqlStore,
) -> None:
    shop, one = Shop(store), later(sale(1), 5)
    missing = shop.without_data(one, query_errors=[{"message": "denied"}])
    (row,) = shop.fold(missing)
    assert (row.gid, row.lacking) == (f"gid://shopify/Order/{one.order_id}", "query_errors")
    assert (row.since_ms, row.due_ms, row.tries) == (missing.record.time_ms,) * 2 + (0,)
    assert row.triggered == triggered_at(one.triggered)
    assert gids(shop.fold(classic_entry(sale(1), shop=shop.name))) == [row.gid]
    assert shop.fold(event_entry(later(one, 6), shop=shop.name)) == []


def test_a_newer_state_that_is_known_already_is_not_waited_for(store: SqlStore) -> None:
    shop, one = Shop(store), later(sale(1), 5)
    missing = shop.without_data(one)
    shop.fold(classic_entry(later(one, 6), shop=shop.name))
    assert shop.fold(missing) == []


def test_order_of_arrival_within_one_batch_does_not_matter(store: SqlStore) -> None:
    shop, one = Shop(store), later(sale(1), 5)
    missing = shop.without_data(one)
    whole = event_entry(later(one, 6), shop=shop.name)
    assert shop.fold(whole, missing) == []
    assert shop.fold(missing, whole) == []


def test_an_order_cut_short_waits_for_the_one_that_is_fetched(store: SqlStore) -> None:
    shop = Shop(store)
    one = next(one for one in map(sale, range(100)) if len(one.lines) > 1)
    (row,) = shop.fold(event_entry(one, lines=1, shop=shop.name))
    assert row.lacking == "cut_short"
    fetched = event_entry(
        one, shop=shop.name, origin="refetch", triggered_at="2026-12-01T00:00:00Z"
    )
    assert shop.fold(fetched) == []


def test_a_deleted_order_is_not_waited_for(store: SqlStore) -> None:
    shop, one = Shop(store), sale(1)
    assert len(shop.fold(shop.without_data(one))) == 1
    assert shop.fold(shop.deleted(one)) == []


def test_a_refund_without_data_waits_for_the_refund(store: SqlStore) -> None:
    shop, one = Shop(store), next(one for one in map(sale, range(100)) if one.units > 1)
    one.financial_status = "paid"
    changes.gesture(Random(1), one, one.created, 900_000_000_000)
    body = graphql(one).refund_event(one.refunds[0])
    rows = shop.fold(entry("Refund", body | {"data": None}, one, shop=shop.name))
    assert gids(rows) == ["gid://shopify/Refund/900000000000"]
    assert shop.fold(entry("Refund", body, one, shop=shop.name)) == []


def test_what_has_waited_for_two_months_is_forgotten_within_the_hour(store: SqlStore) -> None:
    shop, old, new = Shop(store), sale(1), sale(2)
    assert len(shop.fold(shop.without_data(old))) == 1
    shop.tick()
    shop.now_ms += FORGOTTEN_AFTER_MS
    young = shop.without_data(new)
    record = msgspec.structs.replace(young.record, time_ms=shop.now_ms)
    assert len(shop.fold(msgspec.structs.replace(young, record=record))) == 2
    shop.tick()
    assert gids(shop.fold()) == [f"gid://shopify/Order/{new.order_id}"]


def test_a_second_delivery_without_data_keeps_the_first_one_s_time(store: SqlStore) -> None:
    shop, one = Shop(store), sale(1)
    (first,) = shop.fold(shop.without_data(one))
    (second,) = shop.fold(shop.without_data(later(one, 9)))
    assert second.since_ms == first.since_ms
    assert second.triggered > first.triggered
