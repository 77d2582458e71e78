"""A whole orderwire between a simulated shop and a Graph stand-in, with the faults that may happen
to it.

    async with System(tmp_path) as system:
        await system.start()
        sent = await system.send(islice(system.shop().stream(system.now, 50), 500))
        await system.kill()
        await system.start()
        await system.settled()
        assert await system.stop() == 0
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aiohttp
import orjson
import requests
import stamina

from orderwire.serve.start.connections import open_log, open_store
from orderwire.settings.program import Settings, child_environment
from simulator.meta.graph import GraphStandIn
from simulator.meta.replies import Script
from simulator.servers.broker import free_port
from simulator.servers.serve import program
from simulator.shop.delivery import Delivery, signed, triggered_at
from simulator.shop.shop import ShopSimulator
from stream.log.contract import Log
from stream.store.contract import StoreUnavailable
from stream.store.sql.store import SqlStore
from tests.support.servers.forks import Forked
from tests.support.servers.migrated_store import write_migrated
from tests.system.serve_process import PATIENCE_S, Serve
from tests.system.settling import unsettled
from tests.system.traffic import ZONE, Sent, sent_to

SHOP = "example.myshopify.com"
SECRET = "webhook-secret-5c1d"
ACCESS_TOKEN = "EAAaccess-token-77b0"
API_TOKEN = "api-token-91fe"
PIXEL = "1234567890"


class System:
    """One installation on a folder of its own. Not running until `start`."""

    def __init__(
        self,
        folder: Path,
        *,
        roles: Sequence[str] = ("receive", "process"),
        log_url: str | None = None,
        store_url: str | None = None,
        script: Script | None = None,
        shop: Mapping[str, str | float] | None = None,
        other_shops: Sequence[str] = (),
        destinations: Mapping[str, Mapping[str, str | bool]] | None = None,
        environment: Mapping[str, str] | None = None,
        migrated: bool = True,
    ) -> None:
        """`log_url` and `store_url` default to SQLite files in `folder`. `script` is Meta's mood
        (`graph_replies.Weather(...).script()`). `shop` adds to the shop's settings (names of
        orderwire.toml), `destinations` are its accounts by name, `environment` adds to serve's.
        Without `migrated` the first `serve` makes its SQLite store and the schema itself."""
        self.folder, self.roles = folder, tuple(roles)
        folder.mkdir(parents=True, exist_ok=True)
        self.now = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=30)
        """When the simulated shop's traffic begins: what it tells stays in the past, however fast
        it is sent."""
        self.graph = GraphStandIn(script, tokens={ACCESS_TOKEN: [PIXEL]})
        self._shop, self._other_shops = dict(shop or {}), tuple(other_shops)
        self._destinations = dict(destinations or {})
        self._receiver, self._api = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self._variables = {
            "ORDERWIRE_LOG_URL": log_url or f"sqlite:///{folder / 'log.db'}",
            "ORDERWIRE_STORE_URL": store_url or f"sqlite:///{folder / 'state.db'}",
            "ORDERWIRE_SPOOL": str(folder / "spool.db"),
            "ORDERWIRE_RECEIVER": self._receiver,
            "ORDERWIRE_API": self._api,
            "ORDERWIRE_API_TOKENS": API_TOKEN,
            "ORDERWIRE_CONFIG": str(folder / "orderwire.toml"),
            **(environment or {}),
        }
        if migrated and store_url is None:
            write_migrated(folder / "state.db")
        self._output = folder / "serve.log"
        self._session: aiohttp.ClientSession | None = None
        self.serve: Serve | None = None
        self._others: list[Serve] = []
        self._past: list[Serve] = []

    async def __aenter__(self) -> Self:
        await self.graph.__aenter__()
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10))
        shop = {
            "webhook_secret": SECRET,
            "timezone": str(ZONE),
            "pixel_id": PIXEL,
            "access_token": ACCESS_TOKEN,
            "graph_url": self.graph.url,
        } | self._shop
        lines = [f"{name} = {orjson.dumps(value).decode()}" for name, value in shop.items()]
        tables = [f'[shops."{SHOP}"]', *lines]
        for name, account in self._destinations.items():
            tables.append(f'[shops."{SHOP}".destinations.{name}]')
            tables += [f"{key} = {orjson.dumps(value).decode()}" for key, value in account.items()]
        for other in self._other_shops:
            tables += [f'[shops."{other}"]', f'webhook_secret = "{SECRET}"']
        (self.folder / "orderwire.toml").write_text("\n".join([*tables, ""]))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            for serve in [*self._past, *self._all()]:
                await serve.kill()
        finally:
            if self._session is not None:
                await self._session.close()
            await self.graph.__aexit__(kind, error, trace)

    # Its life

    def launch(
        self,
        *,
        roles: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        script: str = "",
    ) -> "Serve":
        """Start `serve`, after `script` in its process, and wait for nothing."""
        if self.serve is not None:
            self._past.append(self.serve)
        self.serve = self._started(roles or self.roles, environment, script)
        return self.serve

    async def start(
        self, *, roles: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start `serve` and wait until its listeners answer. Raises AssertionError, with the end of
        its output."""
        serve = self.launch(roles=roles, environment=environment)
        asked = [self.receiver_url] if "receive" in serve.roles else []
        asked += [self.api_url] if "query" in serve.roles else []
        for url in asked:
            await self.until_healthy(url)

    def also(
        self, *roles: str, environment: Mapping[str, str] | None = None, script: str = ""
    ) -> "Serve":
        """One more `serve` beside the first, with these roles; waits for nothing."""
        self._others.append(self._started(roles, environment, script))
        return self._others[-1]

    def _started(
        self, roles: Sequence[str], environment: Mapping[str, str] | None, script: str = ""
    ) -> "Serve":
        variables = self._variables | dict(environment or {})
        # A PYTHONPATH of its own: another version, or another clock, which are not imported here.
        start = program if "PYTHONPATH" in variables else partial(Forked, script=script)
        return Serve(roles, child_environment(variables), self.folder, self._output, start)

    def _all(self) -> "list[Serve]":
        return [*self._others, *([self.serve] if self.serve is not None else [])]

    async def until_healthy(self, url: str) -> None:
        """Wait until `GET {url}/healthz` is 200."""
        deadline = time.monotonic() + PATIENCE_S
        while not await self._healthy(url):
            assert self.serve is not None
            assert self.serve.code is None, f"serve ended with {self.serve.code}: {self.tail()}"
            assert time.monotonic() < deadline, (
                f"{url} is not healthy after {PATIENCE_S} s: {self.tail()}"
            )
            await asyncio.sleep(0.02)

    async def _healthy(self, url: str) -> bool:
        assert self._session is not None
        try:
            async with self._session.get(f"{url}/healthz") as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def kill(self) -> None:
        """SIGKILL for the supervisor and all its roles."""
        assert self.serve is not None
        await self.serve.kill()

    async def stop(self) -> int:
        """SIGTERM, as Docker and systemd would, for every `serve`; the highest exit code."""
        for serve in self._all():
            serve.signal(signal.SIGTERM)
        return max([await serve.ended() for serve in self._all()])

    def output(self) -> str:
        """Everything that serve has written so far, over all its lives."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def holds(self, *names: str) -> bool:
        """Whether its folder has any of these files."""
        return any((self.folder / name).exists() for name in names)

    def tail(self) -> str:
        """The end of the output, for messages."""
        return self.output()[-3000:]

    # Its surroundings

    @property
    def variables(self) -> dict[str, str]:
        """The environment of its commands."""
        return child_environment(self._variables)

    @property
    def receiver_url(self) -> str:
        """http://host:port of the receiver."""
        return f"http://{self._receiver}"

    @property
    def api_url(self) -> str:
        """http://host:port of API and dashboard."""
        return f"http://{self._api}"

    @property
    def webhooks_url(self) -> str:
        """Where Shopify's deliveries go."""
        return f"{self.receiver_url}/webhooks/shopify"

    def shop(self, seed: int = 1, *, customers: int = 300) -> ShopSimulator:
        """A simulated shop that starts at `now`."""
        return ShopSimulator(seed, SHOP, SECRET, self.now, customers, zone=ZONE)

    def delivery(
        self,
        topic: str,
        body: bytes,
        webhook_id: str,
        *,
        shop: str = SHOP,
        secret: str = SECRET,
        status: int = 200,
    ) -> Delivery:
        """A delivery of any body, signed; `status` is what its sender should hear."""
        return signed(
            topic,
            body,
            shop=shop,
            secret=secret.encode(),
            webhook_id=webhook_id,
            event_id=webhook_id,
            triggered=triggered_at(self.now),
            key="",
            expected_status=status,
        )

    async def send(
        self, deliveries: Iterable[Delivery], *, rate: float | None = None, connections: int = 8
    ) -> Sent:
        """Send until `deliveries` ends and each has its final answer; what is not answered, or 5xx,
        is sent again."""
        return await sent_to(self.webhooks_url, deliveries, rate=rate, connections=connections)

    async def command(self, *arguments: str) -> str:
        """What `orderwire` with these arguments prints, beside serve. Raises AssertionError where
        it fails."""
        output = self.folder / f"command-{uuid4().hex}.log"
        complaint = output.with_suffix(".err")
        child = await asyncio.to_thread(
            Forked, arguments, self.variables, self.folder, output, errors=complaint
        )
        code = await asyncio.to_thread(child.wait)
        assert code == 0, (arguments, complaint.read_text()[-2000:])
        return child.said()

    async def api(
        self, path: str, *, method: str = "GET", token: str | None = API_TOKEN, **options: Any
    ) -> tuple[int, Any]:
        """Ask the API (role `query`): status and decoded JSON, or text where it is none. `options`
        are aiohttp's."""
        assert self._session is not None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("headers", {})
        async with self._session.request(
            method, self.api_url + path, headers=headers, **options
        ) as response:
            body = await response.read()
            return response.status, orjson.loads(
                body
            ) if "json" in response.content_type else body.decode()

    def metrics(self) -> str:
        """The metrics of every role that answers, of each `serve`; blocks."""
        texts = []
        for serve in self._all():
            url = f"http://127.0.0.1:{serve.metrics_port}/metrics"
            with contextlib.suppress(requests.RequestException):
                texts.append(requests.get(url, timeout=5).text)
        return "\n".join(texts)

    async def fresh(self, path: str, **options: Any) -> tuple[int, Any]:
        """`api`, asked until nothing waits behind the answer: one that would take too long goes by
        what was known before, and says so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, answer = await self.api(path, **options)
            if status != 200 or answer["as_of"]["lag_records"] == 0:
                return status, answer
            assert time.monotonic() < deadline, (
                f"{path} still goes by {answer['as_of']} after {PATIENCE_S} s"
            )
            await asyncio.sleep(0.1)

    async def post(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> int:
        """POST anything to the receiver; the status."""
        assert self._session is not None
        async with self._session.post(
            self.receiver_url + path, data=body, headers=headers
        ) as response:
            return response.status

    # Its state

    @property
    def settings(self) -> Settings:
        """What serve goes by."""
        return Settings.load(self._variables)

    @contextlib.asynccontextmanager
    async def log(self) -> AsyncIterator[Log]:
        """The log, opened beside serve."""
        log = await open_log(self.settings)
        try:
            yield log
        finally:
            await log.close()

    @contextlib.contextmanager
    def store(self) -> Iterator[SqlStore]:
        """The store, opened beside serve."""
        store = open_store(self.settings)
        try:
            yield store
        finally:
            store.close()

    async def settled(self, *, outbox: bool = True) -> None:
        """Wait until every processor has read its topic to the end and, unless `outbox` is False,
        nothing waits to be sent.

        Raises AssertionError where nothing moves for `PATIENCE_S`.
        """
        async for attempt in stamina.retry_context(on=StoreUnavailable, attempts=20, wait_max=0.5):
            with attempt, self.store() as store:  # SQLite is locked while a role opens or ends.
                async with self.log() as log:
                    await self._settled(store, log, outbox=outbox)

    async def _settled(self, store: SqlStore, log: Log, *, outbox: bool) -> None:
        before: list[str] = []
        deadline = 0.0
        while left := await unsettled(self.settings, store, log, outbox=outbox):
            if left != before:
                before, deadline = left, time.monotonic() + PATIENCE_S
            for serve in self._all():
                assert serve.code in (None, 0), f"serve ended with {serve.code}: {self.tail()}"
            assert time.monotonic() < deadline, (
                f"nothing moved for {PATIENCE_S} s: {left}; {self.tail()}"
            )
            await asyncio.sleep(0.05)

    def end_leases(self) -> None:
        """Let two minutes pass for events that a killed sender held: their leases end. Only while
        serve is down."""
        for serve in self._all():
            assert "process" not in serve.members().values(), (
                "a running sender's leases are its own"
            )
        with self.store() as store, store.begin() as transaction:
            transaction.execute(
                "UPDATE outbox SET due_ms = :past WHERE outcome = 'sending'",
                past=time.time_ns() // 1_000_000 - 1,
            )
