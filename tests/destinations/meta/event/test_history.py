"""Whether a buyer is new is said only where it is known for certain."""

import sqlite3
from datetime import timedelta
from typing import Any, cast

import pytest
from msgspec.structs import replace

from destinations.meta.event.detail import detail
from destinations.meta.event.history import (
    EXISTING,
    NEW,
    Buyer,
    buyer_of,
    first_orders,
    segment,
)
from processors.checkouts.known_buyers import settle_links
from processors.checkouts.link import LINKS, NEVER, LinkRow, customer_subject
from processors.shopify.orders import Order
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import NOW, NOW_MS, SHOP, seen

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ON_ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


def link(subject: str, first_ms: int, shop: str = SHOP) -> LinkRow:
    return LinkRow(shop, subject, first_ms, "", NEVER, NEVER, "", NEVER)


def buyer(customer: Any, email: str = "zoe@example.com") -> Order:
    return seen(customer=customer, email=email)


def made(hours_before: float) -> dict[str, Any]:
    """A customer that Shopify made so long before now; the order is a minute old."""
    return {"id": 7, "created_at": (NOW - timedelta(hours=hours_before)).isoformat()}


@ON_ONE_STORE
def test_earlier_orders_make_an_existing_customer(store: SqlStore) -> None:
    before, after = NOW_MS - 2 * HOUR_MS, NOW_MS + HOUR_MS
    rows = [
        link(customer_subject("1", None), before),
        link(customer_subject("2", None), NOW_MS - 60_000),
        link(customer_subject("3", None), after),
        link(customer_subject(None, "old@example.com"), before),
        link(customer_subject("4", None), NEVER),
        link(customer_subject("5", None), before, "other.myshopify.com"),
    ]
    orders = {
        "by id": buyer({"id": 1}),
        "this one is the first": buyer({"id": 2}),
        "a later one": buyer({"id": 3}),
        "by address": buyer(None, "Old@example.com "),
        "by address, with an account since": buyer({"id": 9}, "old@example.com"),
        "none": buyer({"id": 4}),
        "of another shop": buyer({"id": 5}),
        "nobody": buyer(None, ""),
    }
    with store.begin() as transaction:
        transaction.save(LINKS, rows)
        known = first_orders(transaction, [buyer_of(order) for order in orders.values()])
    found = {
        name: segment(order, buyer_of(order), detail(order.raw), known)
        for name, order in orders.items()
    }
    assert {name for name, said in found.items() if said == EXISTING} == {
        "by id",
        "by address",
        "by address, with an account since",
    }
    assert set(found.values()) == {EXISTING, None}


@pytest.mark.parametrize(
    ("customer", "said"),
    [(made(0.1), NEW), (made(-0.1), NEW), (made(30), None), ({"id": 7}, None), (None, None)],
)
def test_a_customer_made_with_the_order_is_new(customer: Any, said: str | None) -> None:
    order = buyer(customer)
    assert segment(order, buyer_of(order), detail(order.raw), {}) == said


def test_a_customer_made_with_the_order_is_existing_where_a_guest_of_that_address_ordered() -> None:
    order = buyer(made(0.1))
    known = {(SHOP, customer_subject(None, "zoe@example.com")): NOW_MS - HOUR_MS}
    assert segment(order, buyer_of(order), detail(order.raw), known) == EXISTING


def test_a_buyer_of_long_ago_is_an_existing_customer(store: SqlStore) -> None:
    order = buyer(made(0.1))
    guest = customer_subject(None, "zoe@example.com")
    row = link(guest, NOW_MS - 200 * DAY_MS)._replace(orders=str(NOW_MS - 200 * DAY_MS))
    with store.begin() as transaction:
        transaction.save(LINKS, [row])
        settle_links(transaction, SHOP, "", 500, NOW_MS)
        assert not transaction.load(LINKS, [(SHOP, guest)])
        known = first_orders(transaction, [buyer_of(order)])
    assert segment(order, buyer_of(order), detail(order.raw), known) == EXISTING


@ON_ONE_STORE
def test_of_two_first_orders_in_one_batch_the_later_one_is_an_existing_customer_s(
    store: SqlStore,
) -> None:
    first = buyer(made(0.1))
    second = replace(first, order_id="2", processed_at=first.processed_at + timedelta(minutes=5))
    with store.begin() as transaction:
        known = first_orders(transaction, [buyer_of(second), buyer_of(first)])
    assert segment(first, buyer_of(first), detail(first.raw), known) == NEW
    assert segment(second, buyer_of(second), detail(second.raw), known) == EXISTING


@ON_ONE_STORE
def test_buyers_of_many_shops_are_looked_for_together(store: SqlStore) -> None:
    def asked(shops: int) -> int:
        buyers = [
            Buyer(f"{number}.myshopify.com", [customer_subject("1", None)], NOW_MS)
            for number in range(shops)
        ]
        rows = [
            link(subject, NOW_MS - HOUR_MS, shop)
            for shop, subjects, _ in buyers
            for subject in subjects
        ]
        with store.begin() as transaction:
            transaction.save(LINKS, rows)
        statements: list[str] = []
        with store.begin() as transaction:
            connection = cast(sqlite3.Connection, transaction._driver)
            connection.set_trace_callback(statements.append)
            known = first_orders(transaction, buyers)
            connection.set_trace_callback(None)
        assert set(known.values()) == {NOW_MS - HOUR_MS}
        return len(statements)

    assert asked(30) == asked(1)
