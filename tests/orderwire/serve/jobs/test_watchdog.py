"""The watchdog restores subscriptions and raises an alarm for silent topics."""

import asyncio
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from ingest.shopify.admin.subscriptions import Wanted
from orderwire.operation.shopify.subscribing import forget, keep
from orderwire.serve.jobs.watchdog import NotSubscribed, TopicSilent, Watchdog
from orderwire.serve.schedule.job import Done, Turn
from simulator.admin.stand_in import AdminStandIn
from stream.store.sql.store import SqlStore
from tests.support.shopify.admin_client import admin_of, books, client_of, kept
from tests.support.shopify.twin_orders import SHOP, sale

URL = "https://orders.example/webhooks/shopify"
WANTED = (Wanted("ORDERS_CREATE", ("id", "updated_at")), Wanted("CARTS_UPDATE"))
ORDER = kept(sale(1))
ORDERED_MS = int(datetime.fromisoformat(ORDER["createdAt"]).timestamp() * 1000)
NOW_MS = ORDERED_MS + int(timedelta(minutes=20).total_seconds() * 1000)


class Shop:
    """The store's side of a shop."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.execute("DELETE FROM delivery_count")
        self.execute("DELETE FROM roles")
        with store.begin() as transaction:
            forget(transaction, SHOP)

    def execute(self, sql: str, **parameters: object) -> None:
        with self.store.begin() as transaction:
            transaction.execute(sql, **parameters)

    def subscribe(self, since_ms: int = 0) -> None:
        with self.store.begin() as transaction:
            keep(transaction, SHOP, URL, since_ms)

    def delivered(self, topic: str, at_ms: int) -> None:
        self.execute(
            "INSERT INTO delivery_count (shop, topic, last_ms, day, today)"
            " VALUES (:shop, :topic, :at, 0, 1)",
            shop=SHOP,
            topic=topic,
            at=at_ms,
        )

    def receiver(self, started_ms: int = 0) -> None:
        self.execute(
            "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details,"
            " metrics) VALUES ('receive', 'r', 1, :started, 0, :now, '{}', '')",
            started=started_ms,
            now=NOW_MS,
        )

    async def look(self, admin: AdminStandIn, wanted: tuple[Wanted, ...] = WANTED) -> Done:
        watchdog = Watchdog(self.store, lambda _: client_of(admin), lambda _: wanted)
        return await asyncio.to_thread(watchdog.run, Turn(SHOP, NOW_MS))


@pytest.fixture
def shop(store: SqlStore) -> Iterator[Shop]:
    made = Shop(store)
    made.receiver()
    yield made
    Shop(store)


async def test_a_subscription_that_shopify_removed_is_made_again(shop: Shop) -> None:
    shop.subscribe()
    async with admin_of(books()) as (admin, _):
        assert "2 subscriptions restored" in (await shop.look(admin)).note
        assert (await shop.look(admin)).note == ""
        gone = next(iter(admin.books.subscriptions))
        topic = admin.books.subscriptions.pop(gone)["topic"]
        done = await shop.look(admin)
        assert done.note == f"1 subscriptions restored: {topic.lower().replace('_', '/')}"
        assert len(admin.books.subscriptions) == 2


async def test_a_shop_that_was_never_subscribed_by_command_is_left_unchanged(shop: Shop) -> None:
    async with admin_of(books()) as (admin, _):
        await shop.look(admin)
        assert admin.books.subscriptions == {}


async def test_a_subscription_that_shopify_refuses_is_an_alarm(shop: Shop) -> None:
    shop.subscribe()
    async with admin_of(books()) as (admin, _):
        admin.access.scopes -= {"read_customers"}
        with pytest.raises(NotSubscribed, match="customers/merge"):
            await shop.look(admin, (*WANTED, Wanted("CUSTOMERS_MERGE")))


async def test_a_topic_that_is_silent_while_orders_are_made_is_an_alarm(shop: Shop) -> None:
    shop.delivered("orders/create", ORDERED_MS - 60_000)
    async with admin_of(books(ORDER)) as (admin, _):
        with pytest.raises(TopicSilent, match=r"silent: orders/create .*an order of 2026-11-2"):
            await shop.look(admin)
        shop.execute("UPDATE delivery_count SET last_ms = :at", at=ORDERED_MS + 900)
        assert (await shop.look(admin)).note == ""


async def test_a_subscribed_topic_that_never_came_is_an_alarm(shop: Shop) -> None:
    shop.subscribe()
    shop.delivered("Order", ORDERED_MS + 900)
    async with admin_of(books(ORDER)) as (admin, _):
        with pytest.raises(TopicSilent, match=r"orders/create \(last never"):
            await shop.look(admin)


@pytest.mark.parametrize("since", ["subscribed", "listening"])
async def test_orders_from_before_anybody_listened_are_no_alarm(shop: Shop, since: str) -> None:
    later_ms = ORDERED_MS + 1
    shop.subscribe(later_ms if since == "subscribed" else 0)
    if since == "listening":
        shop.execute("UPDATE roles SET started_ms = :at", at=later_ms)
    async with admin_of(books(ORDER)) as (admin, _):
        await shop.look(admin)


async def test_without_a_receiver_at_work_silence_says_nothing(shop: Shop) -> None:
    shop.execute("DELETE FROM roles")
    async with admin_of(books(ORDER)) as (admin, _):
        await shop.look(admin)


def test_subscribing_again_does_not_begin_anew(shop: Shop) -> None:
    shop.subscribe(1_000)
    shop.subscribe(2_000)
    with shop.store.snapshot() as snapshot:
        (row,) = snapshot.query("SELECT uri, since_ms FROM subscribed WHERE shop = :s", s=SHOP)
    assert (row.uri, row.since_ms) == (URL, 1_000)
