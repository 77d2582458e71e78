"""A shop's past is read whole, once, whatever happens on the way."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import stamina

from ingest.shopify.admin.access import ALL_ORDERS
from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.errors import AccessDenied, AdminUnavailable
from ingest.shopify.admin.past.backfill import Backfill, Plan
from ingest.shopify.admin.past.progress import DONE, ORDERS, Progress
from ingest.shopify.admin.tokens import StaticToken
from simulator.admin.access import ALL_SCOPES, Access
from simulator.admin.books import Books
from simulator.admin.stand_in import AdminCall, AdminStandIn
from simulator.servers.stand_in import ScriptedReply
from stream.record import Record
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated
from tests.support.shopify.admin_shop import NOW, SHOP, books

NOW_S = NOW.timestamp()
LOTS: dict[str, Any] = {"maximum": 100_000.0, "restore": 100_000.0}


class World:
    """A store and a list that stands for the log."""

    def __init__(self, store: SqlStore) -> None:
        self.store = store
        self.log: list[Record] = []
        self.fail_after: int | None = None

    def append(self, records: Sequence[Record]) -> None:
        if self.fail_after is not None and len(self.log) >= self.fail_after:
            raise AdminUnavailable("killed")
        self.log += records

    def backfill(self, admin: AdminStandIn) -> Backfill:
        url = f"{admin.url}/admin/api/2026-10/graphql.json"
        client = AdminClient(url, StaticToken("shpat_static"), patience_s=10)
        return Backfill(
            client,
            self.store,
            SHOP,
            self.append,
            threading.Event(),
            poll_s=0.01,
            clock=lambda: NOW_S,
        )

    async def fill(self, admin: AdminStandIn, days: int = 365, *, bulk: bool) -> Plan:
        filling = self.backfill(admin)
        plan = await asyncio.to_thread(lambda: filling.plan(days, by_bulk=bulk))
        await asyncio.to_thread(filling.run, plan)
        return plan

    def orders(self) -> dict[str, dict[str, Any]]:
        found = [orjson.loads(record.body)["data"]["order"] for record in self.log]
        return {order["id"]: order for order in found}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = SqlStore.open(write_migrated(tmp_path / "state.db"))
    yield World(store)
    store.close()


def lines(order: dict[str, Any]) -> Counter[tuple[str, int]]:
    nodes = order["lineItems"]
    nodes = nodes["nodes"] if isinstance(nodes, dict) else nodes
    return Counter((line["id"], line["quantity"]) for line in nodes)


def check(world: World, held: Books) -> None:
    found = world.orders()
    assert found.keys() == {order["id"] for order in held.orders}
    for order in held.orders:
        assert lines(found[order["id"]]) == lines(order)
        assert found[order["id"]]["updatedAt"] == order["updatedAt"]


@pytest.mark.parametrize("bulk", [False, True])
async def test_every_order_of_the_year_is_in_the_log_once_with_all_its_lines(
    world: World, bulk: bool
) -> None:
    held = books(300)
    async with AdminStandIn(held, clock=lambda: NOW_S, **LOTS) as admin:
        plan = await world.fill(admin, bulk=bulk)
        assert plan.expected == 300
        assert len(world.log) == 300
        check(world, held)
        assert admin.bulk.most_at_once <= 4
        # The newest window is read first.
        times = [order["processedAt"] for order in world.orders().values()]
        assert times[0] > times[-1]
    assert {window.state for window in Progress(world.store, SHOP).windows(ORDERS)} == {DONE}


async def test_records_are_those_of_shopify_events_and_are_marked_as_history(world: World) -> None:
    async with AdminStandIn(books(20), clock=lambda: NOW_S, **LOTS) as admin:
        await world.fill(admin, bulk=False)
    record = world.log[0]
    body = orjson.loads(record.body)
    assert record.topic == "orders"
    assert record.headers == {
        "source": "shopify",
        "topic": "Order",
        "shop": SHOP,
        "origin": "backfill",
    }
    assert body["topic"] == "Order"
    assert body["query_variables"]["orderId"] == body["data"]["order"]["id"]
    assert body["data"]["shop"] == {"ianaTimezone": "Europe/Paris"}
    assert len({record.id for record in world.log}) == len(world.log)


async def test_what_was_read_is_not_read_again_and_more_days_read_only_what_is_missing(
    world: World,
) -> None:
    held = books(200)
    async with AdminStandIn(held, clock=lambda: NOW_S, **LOTS) as admin:
        await world.fill(admin, 90, bulk=False)
        first = len(world.log)
        await world.fill(admin, 90, bulk=False)
        assert len(world.log) == first
        await world.fill(admin, 365, bulk=True)
        assert len(world.log) == 200
        check(world, held)


@pytest.mark.parametrize("bulk", [False, True])
async def test_a_backfill_that_fails_at_any_moment_goes_on_where_it_was(
    world: World, bulk: bool
) -> None:
    held = books(300)
    async with AdminStandIn(held, clock=lambda: NOW_S, **LOTS) as admin:
        for stopped_at in (1, 40, 120, 121, 250):
            world.fail_after = stopped_at
            if len(world.log) >= stopped_at or stopped_at == 1:
                with pytest.raises(AdminUnavailable), stamina.set_testing(True, attempts=1):
                    await world.fill(admin, bulk=bulk)
        world.fail_after = None
        await world.fill(admin, bulk=bulk)
    check(world, held)
    assert len(world.log) == 300


async def test_a_window_that_fails_is_halved_and_one_that_shopify_cancels_is_run_again(
    world: World,
) -> None:
    held = books(300)

    def script(number: int) -> str | None:
        return {2: "INTERNAL_SERVER_ERROR", 5: "CANCELED", 7: "TIMEOUT"}.get(number)

    admin = AdminStandIn(held, bulk_script=script, clock=lambda: NOW_S, **LOTS)
    async with admin:
        await world.fill(admin, bulk=True)
        assert len(admin.bulk.operations) == len(Progress(world.store, SHOP).windows(ORDERS)) + 3
    check(world, held)


async def test_a_query_that_bulk_refuses_access_to_ends_it_and_says_why(world: World) -> None:
    admin = AdminStandIn(
        books(50), bulk_script=lambda _: "ACCESS_DENIED", clock=lambda: NOW_S, **LOTS
    )
    async with admin:
        with pytest.raises(AccessDenied):
            await world.fill(admin, bulk=True)


async def test_without_read_all_orders_only_sixty_days_count_as_filled(world: World) -> None:
    access = Access(lambda: NOW_S, scopes=ALL_SCOPES - {ALL_ORDERS})
    async with AdminStandIn(books(200), access=access, clock=lambda: NOW_S, **LOTS) as admin:
        plan = await world.fill(admin, 365, bulk=False)
    assert plan.shortened
    oldest = min(window.from_s for window in Progress(world.store, SHOP).windows(ORDERS))
    assert oldest >= NOW_S - 61 * 86_400


@pytest.mark.parametrize("bulk", [False, True])
async def test_without_customers_and_products_orders_come_without_them(
    world: World, bulk: bool
) -> None:
    access = Access(lambda: NOW_S, scopes=frozenset({"read_orders", "read_all_orders"}))
    async with AdminStandIn(books(30), access=access, clock=lambda: NOW_S, **LOTS) as admin:
        await world.fill(admin, bulk=bulk)
    order = next(iter(world.orders().values()))
    assert "customer" not in order
    assert "variant" not in order["lineItems"]["nodes"][0]


async def test_a_page_costs_less_than_a_query_may_and_lines_behind_the_first_page_are_fetched(
    world: World,
) -> None:
    held = books(10)
    order = next(iter(held.orders))
    line = order["lineItems"][0]
    many = [{**line, "id": f"gid://shopify/LineItem/{number}"} for number in range(120)]
    held.orders.keep({**order, "lineItems": many})
    async with AdminStandIn(held, clock=lambda: NOW_S, **LOTS) as admin:
        await world.fill(admin, bulk=False)
        assert "OrderLines" in admin.calls
    assert len(world.orders()[order["id"]]["lineItems"]["nodes"]) == 120


async def test_more_orders_than_shopify_pages_through_are_read_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.shopify.admin.past.paged.PAGE", 7)
    monkeypatch.setattr("ingest.shopify.admin.past.checkouts.PAGE", 7)
    monkeypatch.setattr("ingest.shopify.admin.past.paged.DEEPEST", 20)
    monkeypatch.setattr("simulator.admin.fields.orders.DEEPEST", 21)
    held = books(120)
    async with AdminStandIn(held, clock=lambda: NOW_S, **LOTS) as admin:
        await world.fill(admin, bulk=False)
    check(world, held)


async def test_a_page_that_is_not_answered_at_first_is_asked_for_again(world: World) -> None:
    held = books(100)

    def script(call: AdminCall) -> ScriptedReply | None:
        return ScriptedReply(502) if call.number % 3 == 0 else None

    async with AdminStandIn(held, script=script, clock=lambda: NOW_S, **LOTS) as admin:
        with stamina.set_testing(True, attempts=5):
            await world.fill(admin, bulk=False)
    check(world, held)
