"""A whole orderwire in this process: the three roles as tasks, real files, real HTTP."""

import asyncio
import contextlib
import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from typer.testing import CliRunner

from orderwire.alarms import rows, watch
from orderwire.cli import app
from orderwire.private_files import tighten
from orderwire.serve.reporting.heartbeat import Identity
from orderwire.serve.roles import process, query, receive
from orderwire.serve.shops.live_settings import LiveSettings
from orderwire.settings.program import Settings
from query.status import readiness
from simulator.servers.broker import free_port
from simulator.shop.delivery import signed, triggered_at
from tests.support.delivery import capi_orders

SHOP, OTHER, SECRET = "one.myshopify.com", "two.myshopify.com", "hush"
TOKEN, REFUSED_TOKEN, PIXEL = "a token", "a token that Meta refuses", "1234567890"
WITHIN_S = 60.0
"""On a busy machine; a look is every 0.2 s."""
ROLES = {"receive": receive.run, "process": process.run, "query": query.run}
Json = dict[str, Any]


class Deployment:
    """Started by `deployment`. `lines` are the log's."""

    def __init__(self, folder: Path, environment: Mapping[str, str], config: Path) -> None:
        self.folder, self.environment, self.config = folder, dict(environment), config
        self.lines: list[Any] = []
        self.graph_port = 0
        self._roles: dict[str, tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self._http = aiohttp.ClientSession()

    async def start(self, role: str, *, restarts: int = 0) -> None:
        settings = Settings.load(self.environment)
        live = LiveSettings(settings, lambda: Settings.load(self.environment), look_s=0.1)
        stop = asyncio.Event()
        identity = Identity(
            role,
            restarts,
            instance=f"here:{role}",
            metrics_folder=Path(self.environment["SOCKETS"]),
        )

        async def run() -> None:
            watching = asyncio.create_task(live.watch())
            try:
                await ROLES[role](live, stop, identity)
            finally:
                watching.cancel()

        self._roles[role] = stop, asyncio.create_task(run(), name=role)

    async def end(self, role: str) -> None:
        stop, task = self._roles.pop(role)
        stop.set()
        await task

    async def close(self) -> None:
        for role in list(self._roles):
            await self.end(role)
        await self._http.close()

    async def get(self, path: str) -> tuple[int, Any]:
        url = f"http://{self.environment['ORDERWIRE_API']}{path}"
        async with self._http.get(url) as response:
            text = await response.text()
            return response.status, (json.loads(text) if "json" in response.content_type else text)

    async def healthz(self) -> int:
        """The receiver's."""
        url = f"http://{self.environment['ORDERWIRE_RECEIVER']}/healthz"
        async with self._http.get(url) as response:
            return response.status

    async def deliver(
        self, topic: str, body: Mapping[str, Any], *, shop: str = SHOP, secret: str = SECRET
    ) -> int:
        number = uuid.uuid4().hex
        made = signed(
            topic,
            json.dumps(body).encode(),
            shop=shop,
            secret=secret.encode(),
            webhook_id=number,
            event_id=number,
            triggered=triggered_at(datetime.now(UTC)),
            key="",
        )
        url = f"http://{self.environment['ORDERWIRE_RECEIVER']}/webhooks/shopify"
        async with self._http.post(url, data=made.body, headers=made.headers) as response:
            return response.status

    async def sell(self, number: int, *, shop: str = SHOP, age_s: int = 60) -> int:
        made = datetime.fromtimestamp(time.time() - age_s, UTC)
        return await self.deliver("orders/paid", capi_orders.body(number, made), shop=shop)

    async def until(self, what: str, true: Callable[[], Any]) -> Any:
        """The first truthy answer of `true`, which may be awaitable."""
        deadline = time.monotonic() + WITHIN_S
        while True:
            found = true()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            for role, (_, task) in self._roles.items():
                assert not task.done(), f"role {role} ended: {task}"
            assert time.monotonic() < deadline, f"not within {WITHIN_S} s: {what}"
            await asyncio.sleep(0.05)

    async def alarms(self) -> dict[str, Json]:
        """What holds, by alarm."""
        _, status = await self.get("/v1/status")
        return {each["alarm"]: each for each in status["alarms"]}

    async def doctor(self) -> tuple[int, list[str]]:
        """Exit code, and its lines."""
        done = await asyncio.to_thread(
            CliRunner().invoke, app, ["doctor", "--offline"], env=self.environment
        )
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        return done.exit_code, done.output.splitlines()

    def write_config(self, **more: Mapping[str, str]) -> None:
        """Both shops, with `more` of each by `one` and `two`."""
        tables = []
        for name, shop, token in (("one", SHOP, TOKEN), ("two", OTHER, REFUSED_TOKEN)):
            table = {
                "webhook_secret": SECRET,
                "timezone": "Europe/Paris",
                "pixel_id": PIXEL,
                "access_token": token,
                "graph_url": f"http://127.0.0.1:{self.graph_port}",
                **more.get(name, {}),
            }
            lines = "\n".join(f'{key} = "{value}"' for key, value in table.items())
            tables.append(f'[shops."{shop}"]\n{lines}\n')
        self.config.write_text("\n".join(tables))


@contextlib.asynccontextmanager
async def deployment(
    folder: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    graph_port: int,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[Deployment]:
    """Files of log and store in `data`. Looks come more often than as shipped, whose waits
    `test_in_time` adds up."""
    monkeypatch.setattr(watch, "LOOK_S", 0.2)
    monkeypatch.setattr(readiness, "LOOK_S", 0.2)
    for module in (rows, watch):
        monkeypatch.setattr(module, "GONE_MS", 1_000)
    sockets = folder / "s"
    sockets.mkdir()
    monkeypatch.chdir(folder)
    environment = {
        "ORDERWIRE_CONFIG": str(folder / "orderwire.toml"),
        "ORDERWIRE_LOG_URL": f"sqlite:///{data / 'log.db'}",
        "ORDERWIRE_STORE_URL": f"sqlite:///{data / 'state.db'}",
        "ORDERWIRE_RECEIVER": f"127.0.0.1:{free_port()}",
        "ORDERWIRE_API": f"127.0.0.1:{free_port()}",
        "ORDERWIRE_PARK_MAX_RUN": "3",
        "SOCKETS": str(sockets),
        **(more or {}),
    }
    made = Deployment(folder, environment, folder / "orderwire.toml")
    made.graph_port = graph_port
    umask = os.umask(0o077)  # as `orderwire.serve.role` does
    made.write_config()
    tighten(Settings.load(environment))
    with structlog.testing.capture_logs() as lines:
        made.lines = lines
        try:
            await made.start("process")
            await made.until("a store", lambda: (data / "state.db").exists())
            await made.start("receive")
            await made.start("query")

            async def ready() -> bool:
                with contextlib.suppress(aiohttp.ClientError):
                    return await made.healthz() == 200 and (await made.get("/readyz"))[0] == 200
                return False

            await made.until("ready", ready)
            yield made
        finally:
            await made.close()
            os.umask(umask)
