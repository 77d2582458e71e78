"""`serve` with a receiver of webhooks beside Meta: each hears of every sale once, signed."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from simulator.webhook.receiver import WebhookReceiver
from tests.support.delivery.capi_orders import body
from tests.system.harness import PIXEL, System
from tests.system.serve_process import PATIENCE_S, needs_proc

pytestmark = needs_proc

NEW = "whsec_" + b64encode(b"the secret that replaces the old").decode()
OLD = "whsec_" + b64encode(b"the secret that receivers know ..").decode()
SOLD, TEST, CANCELLED = 20, 900, 901


def warehouse(url: str) -> Mapping[str, str | bool]:
    """The account's table, while its secret is rotated: both sign."""
    return {
        "kind": "webhook",
        "url": url,
        "secret": f"{NEW},{OLD}",
        "allow_private_addresses": True,
    }


def answer(hooks: WebhookReceiver, event_type: str) -> list[str]:
    """Orders of which the receiver has an event of this type, as often as it came."""
    return sorted(
        event.body["data"]["order_id"]
        for event in hooks.events.values()
        if event.body["type"] == event_type
        for _ in range(event.times)
    )


def has_all(hooks: WebhookReceiver, system: System, sold: list[str]) -> bool:
    """Whether both have every sale, and once."""
    to_meta = sorted(system.graph.account.kept_ids(PIXEL))
    return answer(hooks, "order.paid") == sold and to_meta == sold


@pytest.mark.timeout(300)
async def test_a_receiver_of_webhooks_hears_of_every_sale_beside_meta(tmp_path: Path) -> None:
    roles = ("receive", "process", "query")
    async with WebhookReceiver((OLD,)) as hooks:
        accounts = {"warehouse": warehouse(hooks.url)}
        async with System(tmp_path, roles=roles, destinations=accounts) as system:
            await system.start()
            made = system.now - timedelta(minutes=1)
            changes: dict[int, dict[str, Any]] = {number: {} for number in range(1, SOLD + 1)}
            changes[TEST] = {"test": True}
            changes[CANCELLED] = {"cancelled_at": made.isoformat()}
            orders = {number: body(number, made, **its) for number, its in changes.items()}
            sent = await system.send(
                system.delivery("orders/paid", orjson.dumps(order), f"{number}-{repeat}")
                for repeat in range(2)
                for number, order in orders.items()
            )
            assert not sent.traffic.unexpected
            sold = sorted(str(number) for number in range(1, SOLD + 1))
            async with asyncio.timeout(PATIENCE_S):
                while not has_all(hooks, system, sold):  # noqa: ASYNC110 - stand-ins
                    await asyncio.sleep(0.05)
            await system.settled()

            assert answer(hooks, "order.cancelled") == [str(CANCELLED)]
            assert answer(hooks, "order.paid") == sold
            assert not hooks.conflicts
            assert set(hooks.answers) == {"204"}
            _, found = await system.fresh("/v1/destinations")
            assert {each["name"]: each["outcomes"]["sent"] for each in found["items"]} == {
                "meta": SOLD,
                "warehouse": SOLD + 1,
            }
            status, one = await system.api("/v1/destinations/warehouse/orders/1")
            assert (status, one["outcome"], len(one["attempts"])) == (200, "sent", 1)
            for secret in (NEW, OLD):
                assert secret not in system.output()
                assert secret not in orjson.dumps([found, one]).decode()
            assert await system.stop() == 0
