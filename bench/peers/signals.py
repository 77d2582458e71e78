"""From the webhook to Meta's stand-in at a steady rate: how long it takes, and what is sent twice
when the sender is killed -9 on the way. The stand-in sees both times, so all are measured alike.

All systems are there for the whole comparison, and are loaded one after the other, in rounds that
go forth and back. What is repeated after a kill is waited for together.
"""

import asyncio
import base64
import hmac
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from aiohttp import ClientSession

from bench.peers.events import FIRST, bodies
from bench.peers.systems import Installed, by_hand, orderwire
from bench.peers.table import table
from bench.receiving._webhooks import SECRET, SHOP
from simulator.meta.graph import GraphStandIn
from simulator.meta.replies import EventsCall, GraphReply
from simulator.servers.broker import KafkaBroker
from simulator.servers.postgres import PostgresServer

RATE_PER_S = 100
WARM_UP = 100
KILLS = 3
SLOW_S = 0.15
BEHIND_S = 5.0
"""What has not arrived so long after the last webhook has fallen behind the rate."""
SILENT_S, PATIENCE_S = 12.0, 90.0
"""A group waits 6 s or more for a member that was killed."""

Starts = Callable[[str, Path], AbstractAsyncContextManager[Installed]]
"""Starts a system, given the stand-in's address and a folder."""


class Line:
    """One system between the webhooks and a stand-in of its own."""

    def __init__(self) -> None:
        self.system: Installed
        self.delay_s = 0.0
        """How long the stand-in takes to answer."""
        self.posted_s: dict[str, float] = {}
        """By order."""
        self.arrived_s: defaultdict[str, list[float]] = defaultdict(list)
        self.quick_ms: list[float] = []
        self.slow_ms: list[float] = []
        self.killed: list[str] = []
        """Orders of the round in which its sender was killed."""

    def saw(self, call: EventsCall) -> GraphReply | None:
        """The stand-in's script."""
        now_s = time.monotonic()
        for event in call.events:
            self.arrived_s[str(event["custom_data"]["order_id"])].append(now_s)
        return GraphReply(delay_s=self.delay_s) if self.delay_s else None

    async def post(self, count: int, kills: int = 0) -> list[str]:
        """Post so many orders at the rate; which ones."""
        first = FIRST + len(self.posted_s)
        async with ClientSession() as session, asyncio.TaskGroup() as posts:

            async def deliver(delivery: str, body: bytes) -> None:
                signature = base64.b64encode(hmac.digest(SECRET, body, "sha256")).decode()
                headers = {
                    "X-Shopify-Hmac-Sha256": signature,
                    "X-Shopify-Topic": "orders/paid",
                    "X-Shopify-Shop-Domain": SHOP,
                    "X-Shopify-Webhook-Id": delivery,
                    "Content-Type": "application/json",
                }
                url = self.system.webhooks
                async with session.post(url, data=body, headers=headers) as answer:
                    assert answer.status == 200, answer.status

            began_s = time.monotonic()
            orders = bodies(count, 1_000, first, age_days=1, first=first)
            for number, (delivery, _, body, _) in enumerate(orders):
                await asyncio.sleep(max(0.0, began_s + number / RATE_PER_S - time.monotonic()))
                self.posted_s[str(first + number)] = time.monotonic()
                posts.create_task(deliver(delivery, body))
                if kills and number and number % (count // (kills + 1)) == 0:
                    self.system.kill()
        return [str(first + number) for number in range(count)]

    async def arrived(self, orders: Sequence[str], patience_s: float) -> list[float]:
        """Milliseconds from webhook to stand-in of each of them, infinite for those that do not
        come in time."""
        deadline_s = time.monotonic() + patience_s
        for order in orders:
            while order not in self.arrived_s and time.monotonic() < deadline_s:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return [
            1e3 * (self.arrived_s[order][0] - self.posted_s[order])
            if order in self.arrived_s
            else float("inf")
            for order in orders
        ]

    async def round(self, count: int) -> None:
        """At the rate, against a stand-in that answers immediately and against a slow one."""
        self.quick_ms += await self.arrived(await self.post(count), BEHIND_S)
        self.delay_s = SLOW_S
        orders = await self.post(count)
        self.slow_ms += await self.arrived(orders, BEHIND_S)
        self.delay_s = 0.0
        await self.arrived(orders, PATIENCE_S)

    def repeated(self) -> str:
        """What the stand-in got twice of the orders of the last round."""
        twice = sum(len(self.arrived_s[order]) > 1 for order in self.killed)
        lost = sum(not self.arrived_s[order] for order in self.killed)
        return f"{twice} of {len(self.killed)}" + (f", {lost} lost" if lost else "")


def run(peers: str, count: int, rounds: int) -> str:
    """The times, and what came twice."""
    with KafkaBroker() as broker, PostgresServer() as server:
        on_kafka = {
            "ORDERWIRE_LOG_URL": f"kafka://{broker.bootstrap}",
            "ORDERWIRE_STORE_URL": server.create_database("peers_signals"),
            "ORDERWIRE_KAFKA_TOPIC_PREFIX": "peers-signals-",
        }

        def on_both(graph: str, folder: Path) -> AbstractAsyncContextManager[Installed]:
            return orderwire(graph, folder, on_kafka)

        def hand(at_once: int) -> Starts:
            return lambda graph, folder: by_hand(graph, folder, broker.bootstrap, peers, at_once)

        systems: dict[str, Starts] = {
            "orderwire, SQLite": lambda graph, folder: orderwire(graph, folder, {}),
            "orderwire, Kafka + PostgreSQL": on_both,
            "FastAPI + aiokafka, 16 requests under way": hand(16),
            "the same, one request after the other": hand(1),
        }
        lines = asyncio.run(_measured(list(systems.values()), count, rounds))
    return table(
        (
            f"webhook to Meta at {RATE_PER_S} orders/s",
            "p50 / p99",
            f"the same, Meta answering after {1e3 * SLOW_S:.0f} ms",
            f"sent twice, sender killed -9 {KILLS} times",
        ),
        [
            (title, _quantiles(line.quick_ms), _quantiles(line.slow_ms), line.repeated())
            for title, line in zip(systems, lines, strict=True)
        ],
    )


async def _measured(systems: Sequence[Starts], count: int, rounds: int) -> list[Line]:
    async with AsyncExitStack() as stack:
        lines = []
        for start in systems:
            line, folder = Line(), stack.enter_context(TemporaryDirectory(prefix="bench-peers-"))
            graph = await stack.enter_async_context(GraphStandIn(script=line.saw))
            line.system = await stack.enter_async_context(start(graph.url, Path(folder)))
            await line.arrived(await line.post(WARM_UP), PATIENCE_S)
            lines.append(line)
        order = list(lines)
        for _ in range(rounds):
            for line in order:
                await line.round(count // rounds)
            order.reverse()
        for line in lines:
            line.killed = await line.post(count, KILLS)
        for line in lines:
            await line.arrived(line.killed, PATIENCE_S)
        await asyncio.sleep(SILENT_S)  # what is repeated comes later
        return lines


def _quantiles(times_ms: Sequence[float]) -> str:
    ascending = sorted(times_ms)
    p50, p99 = (ascending[int(len(ascending) * share)] for share in (0.5, 0.99))
    return "falls behind" if p99 == float("inf") else f"{p50:.0f} / {p99:.0f} ms"
