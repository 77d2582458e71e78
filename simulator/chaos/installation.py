"""What chaos is done to: `serve` with two shops, and Meta's stand-in behind a proxy, on SQLite
files of a small disk or on a Kafka broker and a PostgreSQL server behind proxies."""

import asyncio
import secrets
import signal
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

import aiohttp
import orjson

from orderwire.serve.start.connections import open_log, open_store
from orderwire.settings.program import Settings, child_environment
from simulator.chaos.plan import Pair
from simulator.meta.graph import GraphStandIn
from simulator.meta.replies import Faults as MetaFaults
from simulator.servers.broker import KafkaBroker, free_port
from simulator.servers.postgres import PostgresServer
from simulator.servers.proxy import Proxy
from simulator.servers.serve import Serve
from simulator.servers.small_disk import SmallDisk
from simulator.servers.wall_clock import WallClock
from stream.log.contract import Log
from stream.store.sql.store import SqlStore

ROLES = ("receive", "process", "query")
SPOOL_MB = 8
RESTART_S = 0.5
"""After which whoever runs `serve` starts one that ended by itself again, as systemd would."""


@dataclass(frozen=True, slots=True)
class Shop:
    """One of the two."""

    domain: str
    secret: str
    pixel: str
    token: str


def shops() -> tuple[Shop, ...]:
    """Both, with fresh secrets."""
    return tuple(
        Shop(f"{name}.myshopify.com", secrets.token_hex(16), pixel, f"EAA{secrets.token_hex(16)}")
        for name, pixel in (("chaos-one", "1234567890"), ("chaos-two", "2234567890"))
    )


def zone_far_from_midnight(now: datetime) -> ZoneInfo:
    """A time zone in which no day begins during a run: the store and its fold from nothing are then
    of one day."""
    zones = (ZoneInfo("Europe/Paris"), ZoneInfo("America/Los_Angeles"))
    return next(zone for zone in zones if 3 <= now.astimezone(zone).hour < 20)


class Installation:
    """`async with Installation(folder, Pair.SQLITE, seed, disk_mb) as there: there.launch()`.

    At the end of the block none of its processes is left.
    """

    def __init__(
        self, folder: Path, pair: Pair, seed: int, disk_mb: int, *, trouble: bool = True
    ) -> None:
        """`trouble`: whether a share of Meta's answers is bad by itself."""
        self.folder, self.pair = folder, pair
        self.data = folder / "data"
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)
        """When both shops' traffic begins: what it says stays in the past."""
        self.zone = zone_far_from_midnight(self.now)
        self.shops = shops()
        self.disk = SmallDisk(self.data, disk_mb)
        self.clock = WallClock(folder / "clock")
        mood = MetaFaults(
            seed=seed, transient=0.02, ambiguous=0.03, resets=0.02, html=0.01, latency_s=(0, 0.05)
        )
        self.graph = GraphStandIn(
            mood.script() if trouble else None,
            tokens={shop.token: [shop.pixel] for shop in self.shops},
        )
        self.to_graph, self.to_kafka, self.to_database = Proxy(), Proxy(), Proxy()
        self.broker = KafkaBroker(advertised=self.to_kafka.address)
        self.postgres = PostgresServer(durable=False)
        self.api_token = secrets.token_hex(16)
        self.receiver = f"http://127.0.0.1:{free_port()}"
        self.api = f"http://127.0.0.1:{free_port()}"
        self.serve: Serve | None = None
        self._past: list[Serve] = []
        self._variables: dict[str, str] = {}
        self._stack = AsyncExitStack()
        self._kept: asyncio.Task[None] | None = None
        self.ended: list[int] = []
        """Exit codes of every `serve` that ended although nobody wanted it to."""

    async def __aenter__(self) -> Self:
        try:
            await self._begin(self._stack)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _begin(self, stack: AsyncExitStack) -> None:
        stack.enter_context(self.disk)
        await stack.enter_async_context(self.graph)
        self.to_graph.target = self.graph.url.removeprefix("http://").partition("/")[0]
        for proxy in (self.to_graph, self.to_kafka, self.to_database):
            await stack.enter_async_context(proxy)
        log_url = f"sqlite:///{self.data / 'log.db'}"
        store_url = f"sqlite:///{self.data / 'state.db'}"
        if self.pair is Pair.KAFKA:
            stack.push_async_callback(asyncio.to_thread, self.broker.stop)
            stack.push_async_callback(asyncio.to_thread, self.postgres.stop)
            await asyncio.to_thread(self.broker.start)
            await asyncio.to_thread(self.postgres.start)
            self.to_kafka.target = self.broker.listens
            self.to_database.target = str(self.postgres.socket)
            await asyncio.to_thread(self.postgres.create_database, "orderwire")
            log_url = f"kafka://{self.to_kafka.address}"
            store_url = f"postgresql://postgres@{self.to_database.address}/orderwire"
        config = self.folder / "orderwire.toml"
        config.touch(mode=0o600)
        config.write_text(self._tables())
        self._variables = {
            "ORDERWIRE_LOG_URL": log_url,
            "ORDERWIRE_STORE_URL": store_url,
            "ORDERWIRE_SPOOL": str(self.data / "spool.db"),
            "ORDERWIRE_SPOOL_MB": str(SPOOL_MB),
            "ORDERWIRE_RECEIVER": self.receiver.removeprefix("http://"),
            "ORDERWIRE_API": self.api.removeprefix("http://"),
            "ORDERWIRE_API_TOKENS": self.api_token,
            "ORDERWIRE_CONFIG": str(config),
        }
        if self.pair is Pair.KAFKA:
            self._variables |= {
                "ORDERWIRE_KAFKA_TOPIC_PREFIX": f"{uuid.uuid4().hex[:8]}-",
                "ORDERWIRE_KAFKA_PARTITIONS": "3",
                "ORDERWIRE_KAFKA_SESSION_TIMEOUT_S": "6",
            }
        stack.push_async_callback(self._end)

    def _tables(self) -> str:
        lines = []
        graph = self.graph.url.replace(self.to_graph.target, self.to_graph.address)
        for shop in self.shops:
            table = {
                "webhook_secret": shop.secret,
                "timezone": str(self.zone),
                "pixel_id": shop.pixel,
                "access_token": shop.token,
                "graph_url": graph,
            }
            lines.append(f'[shops."{shop.domain}"]')
            lines += [f"{name} = {orjson.dumps(value).decode()}" for name, value in table.items()]
        return "\n".join([*lines, ""])

    # Its life

    @property
    def output(self) -> Path:
        """What every `serve` has written."""
        return self.folder / "serve.log"

    def launch(self) -> Serve:
        """Start `serve`, beside or after an earlier one; waits for nothing."""
        if self.serve is not None:
            self._past.append(self.serve)
        environment = child_environment({**self._variables, **self.clock.environment()})
        self.serve = Serve(ROLES, environment, self.folder, self.output)
        return self.serve

    def keep(self) -> None:
        """Start `serve` again whenever it ends by itself, until `let_end`."""
        self._kept = asyncio.create_task(self._keep())

    async def let_end(self) -> None:
        """From now on a `serve` that ends stays away."""
        if self._kept is not None:
            self._kept.cancel()
            await asyncio.gather(self._kept, return_exceptions=True)
            self._kept = None

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RESTART_S)
            if self.serve is not None and self.serve.code is not None:
                self.ended.append(self.serve.code)
                self.launch()

    async def kill(self) -> None:
        """SIGKILL for every process of every `serve`."""
        for serve in self._every():
            await serve.kill()

    async def stop(self) -> int:
        """SIGTERM for the last `serve`, as Docker and systemd would; its exit code."""
        assert self.serve is not None
        self.serve.signal(signal.SIGTERM)
        return await self.serve.ended()

    def _every(self) -> list[Serve]:
        return [*self._past, *([self.serve] if self.serve is not None else [])]

    def pids(self) -> dict[int, str]:
        """Every process of every `serve`, with its role ("" for a supervisor)."""
        return {pid: role for serve in self._every() for pid, role in serve.members().items()}

    async def _end(self) -> None:
        await self.let_end()
        await self.kill()

    # Its state

    @property
    def settings(self) -> Settings:
        """What `serve` goes by."""
        return Settings.load(self._variables)

    async def log(self) -> Log:
        """The log, opened beside `serve`; the caller closes it."""
        return await open_log(self.settings)

    def store(self) -> SqlStore:
        """The store, opened beside `serve`; the caller closes it. Blocks."""
        return open_store(self.settings)

    def http(self, timeout_s: float = 10.0) -> aiohttp.ClientSession:
        """A client of the API; the caller closes it."""
        headers: Mapping[str, str] = {"Authorization": f"Bearer {self.api_token}"}
        return aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(timeout_s))
