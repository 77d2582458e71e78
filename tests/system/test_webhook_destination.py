"""`serve` with two pixels and a receiver of webhooks: each hears of every sale once, and the
receiver, by signed requests, of refunds and cancellations."""

import asyncio
from base64 import b64encode
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from simulator.meta.graph import GraphStandIn
from simulator.webhook.receiver import WebhookReceiver
from tests.support.delivery.capi_orders import body
from tests.system.harness import PIXEL, System
from tests.system.serve_process import PATIENCE_S, needs_proc

pytestmark = needs_proc

NEW = "whsec_" + b64encode(b"the secret that replaces the old").decode()
OLD = "whsec_" + b64encode(b"the secret that receivers know ..").decode()
SOLD, TEST, CANCELLED = 20, 900, 901
REFUNDED = 7
REFUND = {
    "id": 55,
    "transactions": [{"kind": "refund", "status": "success", "amount": "12.50", "currency": "EUR"}],
}
SECOND_PIXEL, SECOND_TOKEN = "987654321", "EAAsecondtokenofthesameshop"


def warehouse(url: str) -> Mapping[str, str | bool]:
    """The account's table, while its secret is rotated: both sign."""
    return {
        "kind": "webhook",
        "url": url,
        "secret": f"{NEW},{OLD}",
        "allow_private_addresses": True,
    }


def second_pixel(url: str) -> Mapping[str, str | bool]:
    """Another account of Meta's of the same shop."""
    return {
        "kind": "meta",
        "pixel_id": SECOND_PIXEL,
        "access_token": SECOND_TOKEN,
        "graph_url": url,
    }


def answer(hooks: WebhookReceiver, event_type: str) -> list[str]:
    """Orders of which the receiver has an event of this type, as often as it came."""
    return sorted(
        event.body["data"]["order_id"]
        for event in hooks.events.values()
        if event.body["type"] == event_type
        for _ in range(event.times)
    )


def has_all(hooks: WebhookReceiver, system: System, second: GraphStandIn, sold: list[str]) -> bool:
    """Whether all three have every sale, and the receiver the refund."""
    return (
        answer(hooks, "order.paid") == sold
        and sorted(system.graph.account.kept_ids(PIXEL)) == sold
        and sorted(second.account.kept_ids(SECOND_PIXEL)) == sold
        and answer(hooks, "order.refunded") != []
    )


@pytest.mark.timeout(300)
async def test_a_receiver_of_webhooks_hears_of_every_sale_beside_meta(tmp_path: Path) -> None:
    roles = ("receive", "process", "query")
    async with (
        WebhookReceiver((OLD,)) as hooks,
        GraphStandIn(tokens={SECOND_TOKEN: [SECOND_PIXEL]}) as second,
    ):
        accounts = {"warehouse": warehouse(hooks.url), "second": second_pixel(second.url)}
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
            refunded = orders[REFUNDED] | {
                "financial_status": "partially_refunded",
                "updated_at": system.now.isoformat(),
                "refunds": [REFUND],
            }
            await system.send(
                system.delivery("orders/updated", orjson.dumps(refunded), f"refund-{repeat}")
                for repeat in range(2)
            )
            sold = sorted(str(number) for number in range(1, SOLD + 1))
            async with asyncio.timeout(PATIENCE_S):
                while not has_all(hooks, system, second, sold):  # noqa: ASYNC110 - stand-ins
                    await asyncio.sleep(0.05)
            await system.settled()

            assert answer(hooks, "order.cancelled") == [str(CANCELLED)]
            assert answer(hooks, "order.paid") == sold
            assert answer(hooks, "order.refunded") == [str(REFUNDED)]
            (refund,) = [
                event.body["data"]["refund"]
                for event in hooks.events.values()
                if event.body["type"] == "order.refunded"
            ]
            assert refund == {
                "refund_id": str(REFUND["id"]),
                "amount": {"amount": "12.50", "currency_code": "EUR"},
            }
            assert set(second.account.kept_ids(SECOND_PIXEL).values()) == {1}
            assert not second.conflicts()
            assert not hooks.conflicts
            assert set(hooks.answers) == {"204"}
            _, found = await system.fresh("/v1/destinations")
            assert {each["name"]: each["outcomes"]["sent"] for each in found["items"]} == {
                "meta": SOLD,
                "second": SOLD,
                "warehouse": SOLD + 2,
            }
            status, one = await system.api("/v1/destinations/warehouse/orders/1")
            assert (status, one["outcome"], len(one["attempts"])) == (200, "sent", 1)
            for secret in (NEW, OLD, SECOND_TOKEN):
                assert secret not in system.output()
                assert secret not in orjson.dumps([found, one]).decode()
            assert await system.stop() == 0
