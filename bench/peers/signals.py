"""From the webhook to Meta's stand-in at a steady rate: how long it takes, and what is sent twice
when the sender is killed -9 on the way. The stand-in sees both times, so all are measured alike."""

import asyncio
import base64
import hmac
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from aiohttp import ClientSession

from bench._webhooks import SECRET, SHOP
from bench.peers import environment
from bench.peers.events import FIRST, bodies
from bench.peers.receivers import create_topic
from orderwire.settings.sources import child_environment
from simulator.meta.graph import GraphStandIn
from simulator.meta.replies import EventsCall, GraphReply
from simulator.servers.broker import KafkaBroker, free_port
from simulator.servers.postgres import PostgresServer
from simulator.servers.serve import role_of

PIXEL = "1234567890"
RATE_PER_S = 100
WARM_UP = 100
KILLS = 3
SLOW_S = 0.15
SILENT_S, PATIENCE_S = 12.0, 90.0
"""A group waits 6 s or more for a member that was killed."""


class Installed(NamedTuple):
    """A system under test."""

    webhooks: str
    kill: Callable[[], None]
    """Kills its sender with -9 and sees to it that it starts again."""


System = Callable[[str, Path], AbstractAsyncContextManager[Installed]]
"""Starts one, given the stand-in's address and a folder."""


class Wire:
    """What reached the stand-in, by order."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """How long the stand-in takes to answer."""
        self.arrived_s: defaultdict[str, list[float]] = defaultdict(list)

    def saw(self, call: EventsCall) -> GraphReply | None:
        now_s = time.monotonic()
        for event in call.events:
            self.arrived_s[str(event["custom_data"]["order_id"])].append(now_s)
        return GraphReply(delay_s=self.delay_s) if self.delay_s else None


async def measure(system: Installed, wire: Wire, count: int, kills: int = 0) -> list[float]:
    """Post `count` orders and wait until all have arrived, or nothing does any more; milliseconds
    of each that did, ascending."""
    posted_s: dict[str, float] = {}
    first = FIRST + len(wire.arrived_s)
    async with ClientSession() as session, asyncio.TaskGroup() as posts:

        async def post(delivery: str, body: bytes) -> None:
            headers = {
                "X-Shopify-Hmac-Sha256": base64.b64encode(
                    hmac.digest(SECRET, body, "sha256")
                ).decode(),
                "X-Shopify-Topic": "orders/paid",
                "X-Shopify-Shop-Domain": SHOP,
                "X-Shopify-Webhook-Id": delivery,
                "Content-Type": "application/json",
            }
            async with session.post(system.webhooks, data=body, headers=headers) as answer:
                assert answer.status == 200, answer.status

        began_s = time.monotonic()
        orders = bodies(count, 1_000, first, age_days=1, first=first)
        for number, (delivery, _, body, _) in enumerate(orders):
            await asyncio.sleep(max(0.0, began_s + number / RATE_PER_S - time.monotonic()))
            posted_s[str(first + number)] = time.monotonic()
            posts.create_task(post(delivery, body))
            if kills and number and number % (count // (kills + 1)) == 0:
                system.kill()
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if posted_s.keys() <= wire.arrived_s.keys():
            break
        await asyncio.sleep(0.1)
    if kills:
        await asyncio.sleep(SILENT_S)  # what is repeated comes later
    return sorted(
        1000 * (wire.arrived_s[order][0] - at)
        for order, at in posted_s.items()
        if order in wire.arrived_s
    )


@asynccontextmanager
async def orderwire(
    graph: str, folder: Path, variables: Mapping[str, str]
) -> AsyncIterator[Installed]:
    """`serve` with its defaults."""
    address = f"127.0.0.1:{free_port()}"
    lines = {
        "webhook_secret": SECRET.decode(),
        "pixel_id": PIXEL,
        "access_token": "token",
        "graph_url": graph,
    }
    text = "\n".join(f'{name} = "{value}"' for name, value in lines.items())
    (folder / "orderwire.toml").write_text(f'[shops."{SHOP}"]\n{text}\n')
    settings = {
        "ORDERWIRE_LOG_URL": f"sqlite:///{folder}/log.db",
        "ORDERWIRE_STORE_URL": f"sqlite:///{folder}/state.db",
        "ORDERWIRE_RECEIVER": address,
        "ORDERWIRE_CONFIG": f"{folder}/orderwire.toml",
        "ORDERWIRE_SPOOL": f"{folder}/spool.db",
        "PYTHONPATH": str(environment.ROOT),
        **variables,
    }
    command = [sys.executable, "-m", "orderwire", "serve", "--roles", "receive,process"]
    with _child(command, folder, child_environment(settings)) as serve:

        def kill() -> None:
            for pid in _role(serve.pid):
                os.kill(pid, signal.SIGKILL)  # the supervisor starts it again

        await _accepts(address)
        yield Installed(f"http://{address}/webhooks/shopify", kill)


@asynccontextmanager
async def by_hand(
    graph: str, folder: Path, bootstrap: str, peers: str, at_once: int
) -> AsyncIterator[Installed]:
    """FastAPI and aiokafka in front, and an aiokafka consumer that posts."""
    programs = [peers, "-m", "bench.peers.programs"]
    variables = environment.variables()
    receive = [*programs[:2], f"{programs[2]}.receive_fastapi", "--bootstrap", bootstrap]
    send = [*programs[:2], f"{programs[2]}.send_aiokafka", "--bootstrap", bootstrap]
    send += ["--graph", f"{graph}/v24.0/{PIXEL}/events", "--at-once", str(at_once)]
    async with AsyncExitStack() as stack:
        receiver = stack.enter_context(_child(receive, folder, variables, stdin=subprocess.PIPE))
        assert receiver.stdout is not None
        port = int(await asyncio.to_thread(receiver.stdout.readline))
        sender = [stack.enter_context(_child(send, folder, variables))]

        def kill() -> None:
            sender.pop().kill()
            sender.append(stack.enter_context(_child(send, folder, variables)))

        yield Installed(f"http://127.0.0.1:{port}/webhooks/shopify", kill)


@contextmanager
def _child(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], stdin: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "errors").open("ab") as errors:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=variables,
            stdin=stdin,
            stdout=subprocess.PIPE if stdin else errors,
            stderr=errors,
        )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        process.terminate()
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _role(supervisor: int) -> Iterator[int]:
    """The processes that fold and send, of this supervisor."""
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    for pid in map(int, children):
        if role_of(Path(f"/proc/{pid}")) == "process":
            yield pid


async def _accepts(address: str) -> None:
    host, port = address.split(":")
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            if time.monotonic() > deadline_s:
                raise
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


def run(peers: str, count: int) -> None:
    """Print the times and what came twice."""
    with KafkaBroker() as broker, PostgresServer() as server:
        asyncio.run(create_topic(broker.bootstrap))
        on_kafka = {
            "ORDERWIRE_LOG_URL": f"kafka://{broker.bootstrap}",
            "ORDERWIRE_STORE_URL": server.create_database("peers_signals"),
            "ORDERWIRE_KAFKA_TOPIC_PREFIX": "peers-signals-",
        }
        systems: dict[str, System] = {
            "orderwire, SQLite": lambda graph, folder: orderwire(graph, folder, {}),
            "orderwire, Kafka + PostgreSQL": lambda graph, folder: orderwire(
                graph, folder, on_kafka
            ),
            "FastAPI + aiokafka, 16 at once": lambda graph, folder: by_hand(
                graph, folder, broker.bootstrap, peers, 16
            ),
            "the same, one after the other": lambda graph, folder: by_hand(
                graph, folder, broker.bootstrap, peers, 1
            ),
        }
        print(
            f"\n{count} orders at {RATE_PER_S}/s, webhook to Meta's stand-in\n"
            f"{'':<34}{'p50, p99 ms':>16}{f'Meta after {SLOW_S:g} s':>18}"
            f"{f'sent twice, {KILLS} x kill -9':>28}"
        )
        for title, system in systems.items():
            quick, slow, twice = asyncio.run(_measured(system, count))
            print(f"{title:<34}{quick:>16}{slow:>18}{twice:>28}", flush=True)


async def _measured(system: System, count: int) -> tuple[str, str, str]:
    wire = Wire()
    with TemporaryDirectory(prefix="bench-peers-") as folder:
        async with GraphStandIn(script=wire.saw) as graph, system(graph.url, Path(folder)) as under:
            await measure(under, wire, WARM_UP)
            quick = _quantiles(await measure(under, wire, count), count)
            wire.delay_s = SLOW_S
            slow = _quantiles(await measure(under, wire, count), count)
            wire.delay_s = 0.0
            before = set(wire.arrived_s)
            arrived = await measure(under, wire, count, KILLS)
            again = sum(
                len(times) > 1 for order, times in wire.arrived_s.items() if order not in before
            )
            lost = f", {count - len(arrived)} lost" if len(arrived) < count else ""
    return quick, slow, f"{again} of {count}{lost}"


def _quantiles(times_ms: Sequence[float], count: int) -> str:
    if len(times_ms) < count:
        return f"{count - len(times_ms)} missing"
    return f"{times_ms[count // 2]:.0f}, {times_ms[int(count * 0.99)]:.0f}"
