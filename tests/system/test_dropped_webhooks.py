"""The whole program with one order in a hundred whose webhooks never came: the day's statement
names exactly those, and `reconcile` has each of their Purchases sent once."""

import asyncio
import time
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from simulator.admin.books import Books, shop
from simulator.admin.stand_in import AdminStandIn
from simulator.servers.broker import KafkaBroker
from tests.support.shopify.admin_books import keep_orders, order_of
from tests.system.checks import assert_aggregates_are_sums
from tests.system.harness import PIXEL, SHOP, System
from tests.system.serve_process import PATIENCE_S, needs_proc
from tests.system.test_kafka_postgres import system_on
from tests.system.traffic import ZONE

pytestmark = needs_proc
DELIVERIES, EVERY = 1_000, 100
WEEK = 7 * 86_400_000
NO_PURCHASE = ("unpaid: ", "a test order", "the order is cancelled")
"""Why an order in Shopify is no Purchase, however it was found."""
LOTS: dict[str, Any] = {"maximum": 100_000.0, "restore": 100_000.0}


def connection(admin: AdminStandIn) -> dict[str, str | float]:
    return {"admin_token": "shpat_static", "admin_url": admin.url}


async def first_look(system: System) -> None:
    """Wait for serve's own first reconcile, which finds an empty shop: the next is in an hour."""
    deadline = time.monotonic() + PATIENCE_S
    with system.store() as store:
        while True:
            with store.snapshot() as snapshot:
                if snapshot.query("SELECT 1 FROM reconciled"):
                    return
            assert time.monotonic() < deadline, system.tail()
            await asyncio.sleep(0.2)


async def statement(system: System) -> dict[str, Any]:
    day = system.now.astimezone(ZONE).date().isoformat()
    printed = await system.command("reconcile", "--statement", day, "--json")
    made: dict[str, Any] = orjson.loads(printed)
    return made


def ids(made: dict[str, Any], part: str) -> set[str]:
    return {one for item in made["items"] for one in item[part]["ids"]}


def orders(made: dict[str, Any]) -> tuple[int, int]:
    """Those that Shopify has, and the sum of all parts."""
    parts = ("sent", "maybe_accepted", "dead", "waiting", "missing")
    summed = sum(
        sum(item[part]["orders"] for part in parts)
        + sum(part["orders"] for part in item["skipped"].values())
        for item in made["items"]
    )
    return sum(item["shopify"]["orders"] for item in made["items"]), summed


async def dropped_and_found(system: System, books: Books) -> None:
    await system.start()
    await first_look(system)
    stream = list(islice(system.shop().stream(system.now, 50), DELIVERIES))
    made = sorted({one for each in stream if (one := order_of(each))})
    dropped = set(made[7::EVERY])
    assert len(dropped) >= 2
    sent = await system.send(each for each in stream if order_of(each) not in dropped)
    await system.settled()
    with system.store() as store, store.begin() as transaction:
        # The shop's webhooks have come for a week.
        transaction.execute(
            "UPDATE outbox SET sent_ms = sent_ms - :week WHERE sent_ms > 0", week=WEEK
        )
        transaction.execute("UPDATE outbox SET received_ms = received_ms - :week", week=WEEK)
    keep_orders(books, stream)

    before = await statement(system)
    assert ids(before, "missing") == dropped
    assert orders(before) == (len(made), len(made))
    assert f"{len(dropped)} were missed by webhook" in await system.command("reconcile")
    await system.settled()
    assert "0 were missed by webhook" in await system.command("reconcile")
    await system.settled()

    after = await statement(system)
    assert ids(after, "missing") == set()
    assert ids(after, "missed_by_webhook") == dropped
    assert orders(after) == (len(made), len(made))
    with system.store() as store:
        assert_aggregates_are_sums(store)
        with store.snapshot() as snapshot:
            rows = snapshot.query("SELECT order_id, outcome, reason FROM outbox")
    assert len(rows) == len({row.order_id for row in rows}) == len(made)
    at_meta = {event for pixel, name, event in system.graph.account.events if pixel == PIXEL}
    assert at_meta == {row.order_id for row in rows if row.outcome == "sent"}
    assert at_meta & dropped
    found = [row for row in rows if row.order_id in dropped]
    assert all(row.outcome == "sent" or row.reason.startswith(NO_PURCHASE) for row in found)
    assert system.graph.duplicates == 0
    assert sent.traffic.unexpected == []
    assert await system.stop() == 0


async def test_on_sqlite_dropped_orders_are_named_and_sent_once(tmp_path: Path) -> None:
    books = Books(shop(SHOP, str(ZONE)))
    async with (
        AdminStandIn(books, **LOTS) as admin,
        System(tmp_path, shop=connection(admin)) as system,
    ):
        await dropped_and_found(system, books)


async def test_on_kafka_and_postgresql_dropped_orders_are_named_and_sent_once(
    tmp_path: Path, kafka_broker: KafkaBroker, own_postgres_url: str
) -> None:
    books = Books(shop(SHOP, str(ZONE)))
    async with (
        AdminStandIn(books, **LOTS) as admin,
        system_on(tmp_path, kafka_broker, own_postgres_url, shop=connection(admin)) as system,
    ):
        await dropped_and_found(system, books)
