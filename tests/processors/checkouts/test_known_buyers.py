"""Links of buyers shrink to the time of their first order; no checkout's state depends on it."""

import random
from typing import Any

from hypothesis import strategies as st

from processors.checkouts.known_buyers import first_orders, settle_links
from processors.checkouts.link import LINKS, customer_subject
from processors.engine.daily_pass import DailyPass
from processors.orders.processor import OrdersProcessor
from processors.privacy.erasing import EntityErasure
from processors.privacy.export import stored
from processors.privacy.subject import Subject
from processors.shopify.orders import Order
from stream.store.sql.store import SqlStore
from tests.support.examples import on_each_store
from tests.support.shopify.cart_events import (
    DAY,
    SHOP,
    CartEvent,
    assert_equation,
    cart_record,
    checkout,
    checkouts_in,
    emptied,
    ms,
    order,
)
from tests.support.shops.folding import carts_checkouts

CUSTOMERS = ("7", "8", "9")


def events(chance: random.Random) -> list[tuple[float, CartEvent]]:
    """A year and more of few buyers, by the minute of each event."""
    found: list[tuple[float, CartEvent]] = []
    for number in range(40):
        minute = chance.uniform(0, 500 * DAY)
        customer = chance.choice([None, *CUSTOMERS])
        email = None if customer is None else f"{customer}@example.com"
        if chance.random() < 0.6:
            known = chance.choice([customer, None])
            found.append(
                (minute, checkout(f"t{number}", minute, customer=known, email=email, cart="c"))
            )
        if chance.random() < 0.7:
            later = minute + chance.choice([5, 90, 3 * DAY, 8 * DAY])
            token = chance.choice([f"t{number}", None])
            found.append(
                (later, order(f"{number}", later, token=token, customer=customer, email=email))
            )
        if chance.random() < 0.1:
            found.append((minute, cart_record("c", minute)))
    return sorted(found, key=lambda each: each[0])


def states(store: SqlStore) -> list[tuple[Any, ...]]:
    """Checkouts without the recent orders that they copy: older ones are forgotten."""
    return sorted(row._replace(customer_orders="") for row in checkouts_in(store))


def lived(store: SqlStore, timeline: list[tuple[float, CartEvent]], *, settling: bool) -> Any:
    emptied(store)
    with store.begin() as transaction:
        transaction.execute("DELETE FROM known_buyer_page")
    processor, found = carts_checkouts(), []
    # Late deliveries come within days.
    for minute, event in timeline:
        with store.begin() as transaction:
            if isinstance(event, Order):
                processor.follow(transaction, [event], ms(minute))
            else:
                processor.apply(transaction, [event], ms(minute))
            processor.tick(transaction, ms(minute))
        if settling:
            with store.begin() as transaction:
                DailyPass(settle_links, 0)(transaction, ms(minute))
            assert_equation(store)  # Of whole links: tests/aggregates/carts/test_carts_fold.py.
        found.append(states(store))
    return found


@on_each_store(sqlite=10, postgresql=2, seed=st.integers(0, 10**6))
def test_checkouts_are_what_they_were_with_whole_links(store: SqlStore, seed: int) -> None:
    timeline = events(random.Random(seed))
    assert lived(store, timeline, settling=True) == lived(store, timeline, settling=False)


def settled_shop(store: SqlStore) -> None:
    """A buyer of long ago, and one of whom only an abandoned checkout was known."""
    processor = carts_checkouts()
    bought = order("1", 0, token="t1", customer="7", email="7@example.com")
    with store.begin() as transaction:
        OrdersProcessor({}, (), (processor.follow,)).apply(transaction, [bought], ms(0))
        processor.apply(transaction, [checkout("t2", 5, customer="8")], ms(5))
    now_ms = ms(91 * DAY)
    with store.begin() as transaction:
        processor.tick(transaction, now_ms)
        DailyPass(settle_links, 0)(transaction, now_ms)


def test_who_bought_is_known_for_ever_and_who_never_did_is_forgotten(store: SqlStore) -> None:
    settled_shop(store)
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT * FROM cart_link") == []
        subjects = ["customer:7", "customer:8"]
        assert first_orders(snapshot, SHOP, subjects) == {"customer:7": ms(0)}
        guest = customer_subject(None, "7@example.com")
        assert first_orders(snapshot, SHOP, [guest]) == {guest: ms(0)}
    minute = 200 * DAY
    with store.begin() as transaction:
        carts_checkouts().apply(transaction, [checkout("t3", minute, customer="7")], ms(minute))
    (row,) = checkouts_in(store)
    assert (row.is_returning, row.first_order_ms) == (1, ms(0))


def test_young_links_and_those_with_a_checkout_stay(store: SqlStore) -> None:
    processor = carts_checkouts()
    with store.begin() as transaction:
        processor.follow(transaction, [order("1", 0, customer="7")], ms(0))
        processor.apply(transaction, [checkout("t2", 60 * DAY, customer="7")], ms(60 * DAY))
        DailyPass(settle_links, 0)(transaction, ms(91 * DAY))
        assert transaction.load(LINKS, [(SHOP, "customer:7")])
        processor.follow(transaction, [order("2", 100 * DAY, customer="9")], ms(100 * DAY))
        DailyPass(settle_links, 0)(transaction, ms(151 * DAY))
        assert transaction.load(LINKS, [(SHOP, "customer:9")])


def test_a_known_buyer_is_exported_and_erased(store: SqlStore) -> None:
    settled_shop(store)
    subject = Subject(key="abcd", customers=("7",), orders=("1",))
    with store.snapshot() as snapshot:
        assert stored(snapshot, SHOP, subject)["links"] == [
            {"subject": "customer:7", "first_order_ms": ms(0)}
        ]
    EntityErasure(store, ()).erase(SHOP, subject, ms(92 * DAY))
    with store.begin() as transaction:
        assert first_orders(transaction, SHOP, ["customer:7"]) == {}
        (link,) = transaction.query("SELECT subject, first_order_ms FROM cart_link")
        assert link.first_order_ms == ms(0)
        assert "7" not in link.subject.split(":")
    everybody = Subject(key="abcd", everybody=True)
    EntityErasure(store, ()).erase(SHOP, everybody, ms(92 * DAY))
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT * FROM known_buyer_page") == []
