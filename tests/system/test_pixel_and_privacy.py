"""The whole program: a Purchase waits for the browser's half and takes it along, and a person who
was redacted is nowhere in the files of a running installation."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from tests.support.delivery import capi_orders
from tests.system.checks import assert_aggregates_are_sums
from tests.system.harness import PIXEL, SHOP, System
from tests.system.serve_process import PATIENCE_S, needs_proc

pytestmark = needs_proc
EMAIL, CUSTOMER = "ada.lovelace@example.com", 7_333_222_111
WAIT_S = 8.0


def order(system: System, number: int) -> bytes:
    told: dict[str, Any] = capi_orders.body(
        9_000_000_000 + number,
        system.now - timedelta(minutes=1),
        checkout_token=f"c0ffee00c0ffee00c0ffee00c0ffe{number:03d}",
        email=EMAIL,
        customer={"id": CUSTOMER, "email": EMAIL},
        note_attributes=[],
    )
    return orjson.dumps(told)


async def paid(system: System, number: int) -> None:
    body = order(system, number)
    await system.send([system.delivery("orders/paid", body, f"w-{number}")])


async def post(system: System, number: int) -> None:
    body = {
        "shop": SHOP,
        "event": "checkout_completed",
        "checkout_token": f"c0ffee00c0ffee00c0ffee00c0ffe{number:03d}",
        "fbp": f"fb.1.1795363100000.{number}",
        "consent": {"marketing": True},
    }
    async with aiohttp.ClientSession() as session:
        url = f"{system.receiver_url}/pixel"
        async with session.post(url, data=orjson.dumps(body)) as answer:
            assert answer.status == 204


async def sent(system: System, number: int) -> float:
    """When Meta first had the order's event, Unix seconds; waits for it."""
    key = (PIXEL, "Purchase", str(9_000_000_000 + number))
    deadline = time.monotonic() + PATIENCE_S
    while key not in system.graph.account.events:
        assert time.monotonic() < deadline, system.tail()
        await asyncio.sleep(0.02)
    return system.graph.account.events[key].first_s


async def until_stored(system: System, what: str) -> None:
    """Wait until the store has a row of `what`, the end of a statement."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with system.store() as store, store.snapshot() as snapshot:
            if snapshot.query(f"SELECT 1 FROM {what}"):
                return
        assert time.monotonic() < deadline, system.tail()
        await asyncio.sleep(0.1)


def traces(folder: Path) -> list[str]:
    """Files of the installation in which the person is named."""
    names = (EMAIL, str(CUSTOMER), "c0ffee00c0ffee00c0ffee00")
    held = {path.name: path.read_bytes() for path in folder.glob("*.db*")}
    return [
        f"{who} in {name}" for name, text in held.items() for who in names if who.encode() in text
    ]


async def until_redacted(system: System) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with system.store() as store, store.snapshot() as snapshot:
            states = [row.state for row in snapshot.query("SELECT state FROM redaction")]
        if states == ["erased"]:
            return
        assert time.monotonic() < deadline, (states, system.tail())
        await asyncio.sleep(0.2)


async def test_the_browsers_half_is_waited_for_and_a_redacted_person_is_nowhere(
    tmp_path: Path,
) -> None:
    async with System(tmp_path, shop={"browser_wait_s": WAIT_S}) as system:
        await system.start()
        await paid(system, 1)
        await sent(system, 1)
        # The facts come first, and meet a sale that is unpaid: the shop has shown its pixel.
        unpaid = orjson.dumps(orjson.loads(order(system, 2)) | {"financial_status": "pending"})
        await post(system, 2)
        await until_stored(system, "browser_fact")
        await system.send([system.delivery("orders/create", unpaid, "w-unpaid")])
        await until_stored(system, "browser_shop WHERE shown_ms > 0")

        started_s = time.time()
        await paid(system, 3)
        waited_s = await sent(system, 3) - started_s
        assert waited_s >= WAIT_S - 0.1

        await paid(system, 4)
        await post(system, 4)
        await sent(system, 4)
        with system.store() as store, store.snapshot() as snapshot:
            (row,) = snapshot.query("SELECT browser FROM outbox WHERE order_id = '9000000004'")
        assert row.browser == 1

        asked = {
            "shop_domain": SHOP,
            "customer": {"id": CUSTOMER, "email": EMAIL},
            "orders_to_redact": [],
        }
        await system.send([system.delivery("customers/redact", orjson.dumps(asked), "w-redact")])
        await until_redacted(system)
        assert await system.stop() == 0
        assert traces(tmp_path) == []
        with system.store() as store:
            assert_aggregates_are_sums(store)
            with store.snapshot() as snapshot:
                (counted,) = snapshot.query(
                    "SELECT COUNT(*) AS orders, COUNT(DISTINCT customer) AS customers"
                    " FROM shop_order WHERE customer LIKE 'x:%'"
                )
        assert (counted.orders, counted.customers) == (4, 1)
