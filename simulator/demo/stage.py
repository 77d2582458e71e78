"""Sets up the demo's folder, log, store, Graph stand-in and `serve`, and takes them down in reverse
order."""

import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from orderwire.serve.start.connections import open_log, open_store
from orderwire.settings.program import Settings, child_environment
from simulator.servers.broker import KafkaBroker, free_port
from simulator.servers.children import Children
from simulator.servers.postgres import PostgresServer
from stream.log.contract import Log
from stream.store.sql.store import SqlStore

SHOP = "demo.myshopify.com"
PIXEL = "1234567890"
ZONE = "Europe/Paris"
BANKROLL, MARGIN = "800", "0.4"
"""Per day in USD, and a fraction of revenue."""
START_S = 60.0

T = TypeVar("T")


class NotReady(Exception):
    """Something was started and does not answer."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens, on loopback."""

    receiver: int
    api: int
    graph: int
    admin: int

    @property
    def webhooks(self) -> str:
        """The receiver's URL for webhooks."""
        return f"http://127.0.0.1:{self.receiver}/webhooks/shopify"

    @property
    def api_url(self) -> str:
        """API and dashboard."""
        return f"http://127.0.0.1:{self.api}"

    @property
    def graph_url(self) -> str:
        """The URL of Meta's stand-in."""
        return f"http://127.0.0.1:{self.graph}"

    @property
    def admin_url(self) -> str:
        """The URL of the Admin API's stand-in."""
        return f"http://127.0.0.1:{self.admin}"


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs."""

    ports: Ports
    settings: Settings
    log: Log
    store: SqlStore
    http: aiohttp.ClientSession

    async def graph_account(self, *, events: bool = False) -> dict[str, Any]:
        """The account of the Graph stand-in. Raises aiohttp.ClientError, TimeoutError."""
        url = f"{self.ports.graph_url}/account{'?events=1' if events else ''}"
        async with self.http.get(url, timeout=aiohttp.ClientTimeout(60 if events else 2)) as answer:
            account: dict[str, Any] = await answer.json()
            return account

    async def answer(self, path: str) -> dict[str, Any]:
        """An answer of the API. Raises aiohttp.ClientError, TimeoutError."""
        async with self.http.get(f"{self.ports.api_url}{path}") as answer:
            answered: dict[str, Any] = await answer.json(content_type=None)
            return answered


def shop_variables(ports: Ports, secret: str, log_url: str, store_url: str) -> dict[str, str]:
    """The demo shop's settings. The demo and its children use only these: no webhook secret or
    pixel of the shell or a `.env` is touched."""
    return {
        "ORDERWIRE_LOG_URL": log_url,
        "ORDERWIRE_STORE_URL": store_url,
        "ORDERWIRE_RECEIVER": f"127.0.0.1:{ports.receiver}",
        "ORDERWIRE_API": f"127.0.0.1:{ports.api}",
        "SHOPIFY_SHOP": SHOP,
        "SHOPIFY_WEBHOOK_SECRET": secret,
        "SHOPIFY_TIMEZONE": ZONE,
        "SHOPIFY_ADMIN_URL": ports.admin_url,
        "SHOPIFY_ADMIN_TOKEN": "shpat_static",
        "META_PIXEL_ID": PIXEL,
        "META_ACCESS_TOKEN": secrets.token_hex(16),
        "META_GRAPH_URL": ports.graph_url,
        "AD_BANKROLL": BANKROLL,
        "AD_MARGIN": MARGIN,
    }


@asynccontextmanager
async def stage(
    folder: Path,
    children: Children,
    *,
    secret: str,
    kafka: bool,
    receiver_port: int | None,
    api_port: int | None,
    trouble: float,
    seed: int,
) -> AsyncIterator[Stage]:
    """Set everything up below `folder`; its processes belong to `children`, which the caller
    watches and ends.

    Raises Missing, Died, NotReady, LogError, StoreError.
    """
    ports = Ports(receiver_port or free_port(), api_port or free_port(), free_port(), free_port())
    async with AsyncExitStack() as stack:
        log_url, store_url = "sqlite:///data/log.db", "sqlite:///data/state.db"
        (folder / "data").mkdir()
        if kafka:
            log_url, store_url = await _servers(stack)
        variables = shop_variables(ports, secret, log_url, store_url)
        environment = child_environment(variables)
        # For commands that somebody tries in this folder.
        settings_file = folder / ".env"
        settings_file.touch(mode=0o600)
        settings_file.write_text("".join(f"{k}={v}\n" for k, v in variables.items()))
        stack.enter_context(chdir(folder))
        stack.callback(children.end)
        python = sys.executable
        weather = [f"--{kind}={share * trouble}" for kind, share in TROUBLES.items()]
        children.start(
            "graph",
            [
                python,
                "-m",
                "simulator.meta.graph",
                f"--port={ports.graph}",
                f"--seed={seed}",
                *weather,
            ],
            environment,
        )
        children.start(
            "admin",
            [python, "-m", "simulator.admin.program", f"--port={ports.admin}", f"--shop={SHOP}"],
            environment,
        )
        children.start("serve", [python, "-m", "orderwire", "serve"], environment)
        http = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2))
        )
        for url in (
            f"{ports.graph_url}/account",
            f"{ports.admin_url}/healthz",
            f"http://127.0.0.1:{ports.receiver}/healthz",
            f"{ports.api_url}/healthz",
        ):
            await _ready(http, url)
        settings = Settings.load(variables)
        log = await open_log(settings)
        stack.push_async_callback(log.close)
        store = await finished(lambda: open_store(settings))
        stack.callback(store.close)
        yield Stage(ports, settings, log, store, http)


TROUBLES = {"transient": 0.4, "ambiguous": 0.2, "resets": 0.2, "html": 0.2}
"""What goes wrong when something does: an error that passes, events kept without an answer, a
connection cut, a proxy's page."""


async def finished(call: Callable[[], T]) -> T:
    """`call` in a thread, waited for even when cancelled, so that whatever it has half done can be
    undone."""
    task = asyncio.create_task(asyncio.to_thread(call))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


async def _servers(stack: AsyncExitStack) -> tuple[str, str]:
    """URLs of Kafka and PostgreSQL, as tests have them. Missing programs are reported before
    anything is started."""
    postgres, broker = PostgresServer(), KafkaBroker()
    stack.push_async_callback(finished, postgres.stop)
    stack.push_async_callback(finished, broker.stop)
    try:
        await finished(broker.start)
        await finished(postgres.start)
        return f"kafka://{broker.bootstrap}", await finished(
            lambda: postgres.create_database("orderwire")
        )
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        raise NotReady(f"Kafka and PostgreSQL could not be started: {error}") from None


async def _ready(http: aiohttp.ClientSession, url: str) -> None:
    deadline = time.monotonic() + START_S
    while True:
        try:
            async with http.get(url) as answer:
                if answer.status == 200:
                    return
        except (aiohttp.ClientError, TimeoutError):
            pass
        if time.monotonic() > deadline:
            raise NotReady(f"{url} does not answer after {START_S:.0f} s")
        await asyncio.sleep(0.05)
