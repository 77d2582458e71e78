"""Hashed contacts: kept only of shops that allow it, hashes only, the newest of each field,
whatever arrives in whichever order."""

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from destinations.meta.contacts import CONTACTS, ContactRow, Contacts, forget_others
from destinations.meta.event.identity import hashed
from orderwire.serve.feeds import feeds, running
from orderwire.serve.registry import PROCESSORS
from orderwire.settings.program import Settings
from processors.orders.customer import customer_key
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry, Record
from stream.store.contract import Move
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import NOW, body, record, seen
from tests.support.shopify.orders import SHOP
from tests.support.shops.shop_world import SHOP as DEMO
from tests.support.shops.shop_world import deliveries, everything, fold_all, records
from tests.system.checks import PRIVATE

pytest_plugins = ("tests.support.shops.shop_fixtures",)
PROPERTY = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
ALLOWED = Contacts({SHOP: None})
NOBODY: dict[str, Any] = {
    "phone": None,
    "billing_address": None,
    "shipping_address": None,
    "customer": {"id": 7},
    "email": None,
}
IDLE = {"webhook", "ad_issues"}
"""Processors that the shop has nothing for: no webhook account, no Meta app."""


def answer(
    number: int = 1, *, minute: int = 0, topic: str = "orders/paid", **changes: Any
) -> Record:
    made = NOW + timedelta(minutes=minute)
    return record({**body(number, made), **changes}, topic=topic)


def fold(store: SqlStore, *batches: list[Record], processor: Contacts = ALLOWED) -> None:
    for batch in batches:
        events = [
            event for each in batch if (event := processor.decode(Entry(each, 0, 0))) is not None
        ]
        with store.begin() as transaction:
            processor.apply(transaction, events, 0)


def kept(store: SqlStore) -> set[ContactRow]:
    with store.snapshot() as snapshot:
        return {
            ContactRow(*row)
            for row in snapshot.query(f"SELECT {', '.join(ContactRow._fields)} FROM contact")
        }


def hashes(store: SqlStore) -> dict[tuple[str, str], str]:
    return {(row.customer, row.field): row.hash for row in kept(store)}


def test_they_are_hashed_as_for_capi_with_the_orders_country(store: SqlStore) -> None:
    fold(store, [answer()])
    assert hashes(store) == {
        ("7123456789", "em"): hashed("em", "zoe.oconnor@example.com"),
        ("7123456789", "ph"): hashed("ph", "+33 6 12 34 56 78"),
    }


def test_the_shops_own_country_reads_a_number_of_an_order_without_one(store: SqlStore) -> None:
    fold(store, [answer(**{**NOBODY, "phone": "06 12 34 56 78"})])
    assert hashes(store) == {}
    fold(store, [answer(**{**NOBODY, "phone": "06 12 34 56 78"})], processor=Contacts({SHOP: "FR"}))
    assert hashes(store) == {("7", "ph"): hashed("ph", "+33612345678")}


def test_a_number_is_from_whichever_country_of_the_order_it_is_valid_in(store: SqlStore) -> None:
    places = {"billing_address": {"country_code": "US"}, "shipping_address": {"country_code": "FR"}}
    fold(store, [answer(**{**NOBODY, **places, "phone": "06 12 34 56 78"})])
    assert hashes(store) == {("7", "ph"): hashed("ph", "+33612345678")}


def test_a_newer_order_without_a_number_takes_none_away(store: SqlStore) -> None:
    first = answer(1, **{**NOBODY, "phone": "+33612345678", "email": "old@example.com"})
    second = answer(2, minute=1, **{**NOBODY, "email": "new@example.com"})
    fold(store, [second], [first])
    assert hashes(store) == {
        ("7", "em"): hashed("em", "new@example.com"),
        ("7", "ph"): hashed("ph", "+33612345678"),
    }


def test_a_guest_is_known_by_the_key_that_rfm_has(store: SqlStore) -> None:
    changes = {**NOBODY, "customer": None, "email": "Guest@Example.com"}
    fold(store, [answer(**changes)])
    assert hashes(store) == {
        (customer_key(seen(**changes)), "em"): hashed("em", "guest@example.com")
    }


@pytest.mark.parametrize(
    ("changes", "topic"),
    [
        ({"test": True}, "orders/paid"),
        (NOBODY, "orders/paid"),
        ({"customer": None, "email": None}, "orders/paid"),
    ],
    ids=["a test order", "no contact", "nobody's order"],
)
def test_what_says_nothing_is_passed_over(changes: dict[str, Any], topic: str) -> None:
    assert ALLOWED.decode(Entry(answer(topic=topic, **changes), 0, 0)) is None


def test_a_deleted_order_shows_no_contact() -> None:
    assert ALLOWED.decode(Entry(record({"id": 1001}, topic="orders/delete"), 0, 0)) is None


def test_of_a_shop_that_does_not_allow_it_not_even_the_body_is_read() -> None:
    assert ALLOWED.decode(Entry(record(body(), shop="other.myshopify.com"), 0, 0)) is None
    broken = Record(
        "orders",
        "k",
        "w",
        0,
        {"source": "shopify", "shop": "other.myshopify.com", "topic": "orders/paid"},
        b"{",
    )
    assert ALLOWED.decode(Entry(broken, 0, 0)) is None


ANY = st.builds(
    lambda number, minute, customer, email, phone: answer(
        number,
        minute=minute,
        **{**NOBODY, "customer": {"id": customer}, "email": email, "phone": phone},
    ),
    st.integers(1, 4),
    st.integers(0, 2),
    st.integers(1, 2),
    st.sampled_from([None, "a@example.com", "b@example.com", "no address"]),
    st.sampled_from([None, "+33612345678", "+33612345679"]),
)


@PROPERTY
@given(drawn=st.lists(ANY, max_size=15), seed=st.integers(0, 2**32))
def test_any_order_any_duplication_any_batches_end_in_the_same_state(
    store: SqlStore, drawn: list[Record], seed: int
) -> None:
    with store.begin() as transaction:
        forget_others(transaction, ())
    fold(store, drawn)
    once = kept(store)
    rng = random.Random(seed)
    again = drawn + rng.sample(drawn, len(drawn) // 2)
    rng.shuffle(again)
    cut = rng.randint(0, len(again))
    with store.begin() as transaction:
        forget_others(transaction, ())
    fold(store, again[:cut], again[cut:])
    assert kept(store) == once


def test_what_is_no_longer_allowed_is_forgotten_and_read_anew_when_it_is_again(
    store: SqlStore,
) -> None:
    rows = [ContactRow(shop, "1", "em", "h", 1, "", "") for shop in ("a", "b", "c")]
    with store.begin() as transaction:
        transaction.save(CONTACTS, rows)
        for name in ("contacts", "rfm"):
            transaction.advance(name, "orders", {0: Move(None, 5, 5)}, 1)
        assert forget_others(transaction, ["c", "a"]) == 1
        assert {p.processor for p in transaction.positions()} == {"contacts", "rfm"}
    assert kept(store) == {rows[0], rows[2]}
    with store.begin() as transaction:
        assert forget_others(transaction, ()) == 2
        assert {p.processor for p in transaction.positions()} == {"rfm"}
    assert kept(store) == set()


async def test_where_no_shop_asks_for_them_nothing_runs_and_nothing_is_kept(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    at_work = set(PROCESSORS) - {"contacts", *IDLE}
    assert set(running(shop_settings)) == set(feeds(shop_settings)) == at_work
    await log.append(records(deliveries(30)))
    await fold_all(shop_settings, log, store)
    assert kept(store) == set()
    with store.snapshot() as snapshot:
        assert "contacts" not in {position.processor for position in snapshot.positions()}


async def test_where_a_shop_asks_no_table_has_an_address_or_a_number(
    shop_settings: Settings, store: SqlStore, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPIFY_KEEP_HASHED_CONTACTS", "true")
    allowing = Settings.load()
    assert set(running(allowing)) == set(PROCESSORS) - IDLE
    shop_deliveries = deliveries(60)
    await log.append(records(shop_deliveries))
    await fold_all(allowing, log, store)
    rows = kept(store)
    assert {row.shop for row in rows} == {DEMO}
    assert {row.field for row in rows} == {"em", "ph"}
    assert all(len(row.hash) == 64 and int(row.hash, 16) for row in rows)
    private = {
        value.decode() for delivery in shop_deliveries for value in PRIVATE.findall(delivery.body)
    }
    dump = repr(everything(store))
    assert private
    assert not [value for value in private if value in dump or value.lower() in dump]


def test_a_merge_moves_no_rows() -> None:
    """Whoever reads follows the alias, so a merge that comes before, after or between ends in one
    state."""
    merge = {
        "admin_graphql_api_customer_kept_id": "gid://shopify/Customer/1",
        "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/2",
        "status": "completed",
    }
    entry = Entry(record(merge, topic="customers/merge"), 0, 0)
    assert ALLOWED.decode(entry) is None
