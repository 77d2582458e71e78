"""Shops are added and removed in orderwire.toml while orders of another shop arrive: no role is
started again, and nothing of the other shop is lost."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import orjson
import pytest

from processors.orders.row import ORDERS
from simulator.proof.oracle import ExpectedOrder, expected_orders
from simulator.proof.verify import meta_differs
from simulator.servers.broker import KafkaBroker
from tests.system.checks import assert_aggregates_are_sums, entity_rows
from tests.system.harness import PIXEL, SECRET, SHOP, System
from tests.system.serve_process import PATIENCE_S, needs_proc
from tests.system.test_kafka_postgres import system_on

pytestmark = needs_proc

COMING, LEAVING = "coming.myshopify.com", "leaving.myshopify.com"
ROLES = ("receive", "process", "query")


async def until(true: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await true():
        assert time.monotonic() < deadline, f"{what}: not after {PATIENCE_S} s"
        await asyncio.sleep(0.1)


async def answered(system: System, shop: str, number: int) -> int:
    """The status that a paid order of a shop gets."""
    at = system.now.isoformat()
    body = {
        "id": number,
        "created_at": at,
        "updated_at": at,
        "currency": "EUR",
        "total_price": "10.00",
        "financial_status": "paid",
        "line_items": [],
    }
    one = system.delivery("orders/paid", orjson.dumps(body), f"{shop}-{number}", shop=shop)
    return await system.post("/webhooks/shopify", one.body, one.headers)


async def known(system: System, shop: str) -> bool:
    status, _ = await system.api(f"/v1/rfm?shop={shop}")
    return status == 200


async def errors(system: System) -> dict[str, str | None]:
    _, answer = await system.api("/v1/status")
    return {role["role"]: role["settings_error"] for role in answer["roles"]}


def at_meta(system: System, orders: dict[str, ExpectedOrder]) -> bool:
    now = datetime.now(UTC)
    summary = system.graph.account.summary(events=True)
    return meta_differs(summary, orders.values(), PIXEL, now, now) == []


@pytest.mark.timeout(900)
async def test_a_shop_is_added_and_one_removed_while_orders_of_another_arrive(
    tmp_path: Path,
) -> None:
    await come_and_go(System(tmp_path, roles=ROLES, other_shops=[LEAVING]))


@pytest.mark.timeout(900)
async def test_a_shop_is_added_and_one_removed_on_kafka_and_postgresql_too(
    tmp_path: Path, kafka_broker: KafkaBroker, own_postgres_url: str
) -> None:
    await come_and_go(
        system_on(tmp_path, kafka_broker, own_postgres_url, roles=ROLES, other_shops=[LEAVING])
    )


async def come_and_go(installation: System) -> None:
    async with installation as system:
        await system.start()
        assert system.serve is not None
        pids = {role: await system.serve.pid_when_running(role) for role in ROLES}
        await until(lambda: known(system, LEAVING), "the shop of the start is known")
        assert await answered(system, COMING, 1) == 401
        sending = asyncio.create_task(
            system.send(islice(system.shop().stream(system.now, 50), 300), rate=20)
        )
        toml = system.folder / "orderwire.toml"
        good = toml.read_text().replace(LEAVING, COMING)

        toml.write_text(good)
        await until(lambda: known(system, COMING), "the shop that was added is known")

        async def taken() -> bool:
            return await answered(system, COMING, 2) == 200

        async def refused() -> bool:
            return await answered(system, LEAVING, 3) == 401

        await until(taken, "deliveries of the added shop are taken")
        await until(refused, "deliveries of the removed shop are refused")
        await until(lambda: _not(known(system, LEAVING)), "the removed shop is unknown")

        toml.write_text(good + "\n[shops.\n")
        system.serve.signal(signal.SIGHUP)

        async def all_say_so() -> bool:
            return set(map(bool, (await errors(system)).values())) == {True}

        await until(all_say_so, "every role shows the bad edit")
        assert await answered(system, COMING, 4) == 200
        toml.write_text(good)

        async def nobody_says_so() -> bool:
            return set((await errors(system)).values()) == {None}

        await until(nobody_says_so, "the mended file is taken")

        sent = await sending
        assert sent.traffic.unexpected == []
        orders = dict(expected_orders(sent.deliveries))

        async def accepted() -> bool:
            return await asyncio.to_thread(at_meta, system, orders)

        await until(accepted, "Meta has every sale of the other shop")
        await system.settled()
        with system.store() as store:
            assert_aggregates_are_sums(store)
            counted = {(row.shop, row.order_id) for row in entity_rows(store, ORDERS)}
        assert counted == {(SHOP, order) for order in orders} | {(COMING, "2"), (COMING, "4")}
        assert {role: system.serve.pid_of(role) for role in ROLES} == pids
        assert SECRET not in system.output()
        assert await system.stop() == 0


async def _not(true: Awaitable[bool]) -> bool:
    return not await true
