"""A thousand shops in one `serve`, idle: `python -m bench.serving.shops [sqlite] [postgresql]`.

Bars: docs/architecture.md, "Numbers to hold". Beside it the same with one shop, in the same run.
A cold shop is one whose `/v1/rfm` nobody has asked for since the start.
"""

import asyncio
import base64
import hmac
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import ClientSession

from bench.peers.events import bodies
from bench.serving.memory import ORDERWIRE, child, resident, roles
from simulator.servers.broker import free_port
from simulator.servers.postgres import PostgresServer

SHOPS, ORDERS_EACH, COLD_ASKED = 1_000, 3, 100
IDLE_S, SETTLE_S, START_S = 20.0, 15.0, 120.0
CONNECTIONS = 16
SECRET = "bench-secret"


class Addresses(NamedTuple):
    """Of one `serve`."""

    receiver: str
    api: str


class Found(NamedTuple):
    """What one number of shops showed."""

    first_start_s: float
    start_s: float
    idle_cores: float
    memory_mb: float
    metrics_ms: float
    metrics_kb: float
    cold_rfm_ms: float
    refused: int
    """Lines of the log that speak of a conflict."""


def name_of(number: int) -> str:
    """The domain of a shop."""
    return f"shop-{number:04}.myshopify.com"


def configured(shops: int) -> str:
    """`orderwire.toml` with so many of them, without a destination."""
    return "".join(
        f'[shops."{name_of(number)}"]\nwebhook_secret = "{SECRET}"\n' for number in range(shops)
    )


@contextmanager
def serving(folder: Path, store_url: str) -> Iterator[tuple[int, Addresses, float]]:
    """(process, addresses, seconds until ready)."""
    addresses = Addresses(*(f"127.0.0.1:{free_port()}" for _ in range(2)))
    variables = {
        "ORDERWIRE_LOG_URL": f"sqlite:///{folder}/log.db",
        "ORDERWIRE_STORE_URL": store_url,
        "ORDERWIRE_CONFIG": f"{folder}/orderwire.toml",
        "ORDERWIRE_RECEIVER": addresses.receiver,
        "ORDERWIRE_API": addresses.api,
    }
    began_s = time.monotonic()
    with child([ORDERWIRE, "serve"], folder, "serve", **variables) as serve:
        asyncio.run(_ready(addresses))
        yield serve.pid, addresses, time.monotonic() - began_s


async def _ready(addresses: Addresses) -> None:
    urls = (f"http://{addresses.api}/readyz", f"http://{addresses.receiver}/healthz")
    deadline_s = time.monotonic() + START_S
    async with ClientSession() as session:
        for url in urls:
            while not await _is_well(session, url):
                assert time.monotonic() < deadline_s, f"{url} is not ready after {START_S:g} s"
                await asyncio.sleep(0.05)


async def _is_well(session: ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except OSError:
        return False


async def deliver(addresses: Addresses, shops: int) -> None:
    """Some orders of each shop, and wait until all are folded."""
    free = asyncio.Semaphore(CONNECTIONS)
    async with ClientSession() as session:

        async def post(shop: str, number: str, body: bytes) -> None:
            signature = base64.b64encode(hmac.digest(SECRET.encode(), body, "sha256")).decode()
            headers = {
                "X-Shopify-Topic": "orders/paid",
                "X-Shopify-Shop-Domain": shop,
                "X-Shopify-Hmac-Sha256": signature,
                "X-Shopify-Webhook-Id": f"{shop}-{number}",
                "Content-Type": "application/json",
            }
            url = f"http://{addresses.receiver}/webhooks/shopify"
            async with free, session.post(url, data=body, headers=headers) as answer:
                assert answer.status == 200, answer.status

        async with asyncio.TaskGroup() as posts:
            for delivery, _, body, _ in bodies(ORDERS_EACH, 2, 1):
                for number in range(shops):
                    posts.create_task(post(name_of(number), delivery, body))
        deadline_s = time.monotonic() + START_S
        while not await _is_well(session, f"http://{addresses.api}/readyz"):
            assert time.monotonic() < deadline_s, "the orders were not folded"
            await asyncio.sleep(0.2)
    await asyncio.sleep(SETTLE_S)


def cpu_s(supervisor: int) -> float:
    """Seconds of CPU that `serve` and its roles have used."""
    ticks = 0
    for pid in roles(supervisor).values():
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def asked(addresses: Addresses, shops: int) -> tuple[float, float, float]:
    """(median ms of `/metrics`, its kB, median ms of `/v1/rfm` of cold shops)."""
    async with ClientSession() as session:

        async def timed(url: str) -> tuple[float, int]:
            began_s = time.perf_counter()
            async with session.get(url) as answer:
                body = await answer.read()
                assert answer.status == 200, f"{url}: {answer.status}"
            return 1000 * (time.perf_counter() - began_s), len(body)

        metrics = [await timed(f"http://{addresses.api}/metrics") for _ in range(20)]
        step = max(1, shops // COLD_ASKED)
        cold = [
            await timed(f"http://{addresses.api}/v1/rfm?shop={name_of(number)}")
            for number in range(0, shops, step)
        ]
    return (
        statistics.median(ms for ms, _ in metrics),
        metrics[0][1] / 1e3,
        statistics.median(ms for ms, _ in cold),
    )


def measure(shops: int, store_url: str, folder: Path) -> Found:
    """Start on an empty store, take orders, start again, wait, and ask."""
    (folder / "orderwire.toml").write_text(configured(shops))
    with serving(folder, store_url) as (_, addresses, first_start_s):
        asyncio.run(deliver(addresses, shops))
    with serving(folder, store_url) as (pid, addresses, start_s):
        time.sleep(SETTLE_S)
        before_s = cpu_s(pid)
        time.sleep(IDLE_S)
        idle = (cpu_s(pid) - before_s) / IDLE_S
        memory = sum(each.pss for each in resident(roles(pid)).values())
        metrics_ms, metrics_kb, cold_ms = asyncio.run(asked(addresses, shops))
    refused = len(re.findall("onflict", (folder / "serve.log").read_text()))
    return Found(first_start_s, start_s, idle, memory, metrics_ms, metrics_kb, cold_ms, refused)


def main(wanted: list[str]) -> None:
    """Print both numbers of shops on each store."""
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, load before {os.getloadavg()[0]:.1f}\n"
        f"{'':<26}{'first start':>12}{'start s':>9}{'idle, of a core':>17}{'memory MB':>11}"
        f"{'/metrics ms':>13}{'kB':>6}{'cold /v1/rfm ms':>17}{'conflicts':>11}"
    )
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer()) if "postgresql" in wanted else None
        for store in wanted:
            for shops in (1, SHOPS):
                folder = Path(
                    stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-shops-"))
                )
                url = f"sqlite:///{folder}/state.db"
                if store == "postgresql" and server is not None:
                    url = server.create_database(f"shops_{shops}")
                found = measure(shops, url, folder)
                print(
                    f"{f'{store}, {shops:,} shops':<26}{found.first_start_s:>12.1f}"
                    f"{found.start_s:>9.1f}{found.idle_cores:>17.1%}{found.memory_mb:>11.0f}"
                    f"{found.metrics_ms:>13.1f}{found.metrics_kb:>6.0f}"
                    f"{found.cold_rfm_ms:>17.1f}{found.refused:>11}",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:] or ["sqlite", "postgresql"])
