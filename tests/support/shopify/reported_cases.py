"""Plays small cases from public bug reports (`tests/golden/cases`) through the whole program in one
process."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from prometheus_client import CollectorRegistry

from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.transport import HttpAnswer
from destinations.registry import KINDS
from ingest.receiver.app import Receiver
from ingest.receiver.body import Limits
from orderwire.serve.roles.query import api_settings
from orderwire.serve.shops.accounts import accounts
from orderwire.settings.program import Settings
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ReceiverMetrics
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import serving
from tests.support.api.receiving import ReceiverServer, signed
from tests.support.servers.migrated_store import write_migrated
from tests.support.shops.shop_world import NOW, NOW_MS, PIXEL, SECRET, SHOP, TOKEN, fold_all

CASES = Path(__file__).parents[2] / "golden" / "cases"
Json = dict[str, Any]
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_moment = re.compile(r"now(?:-(\d+)([smhd]))?").fullmatch
_stamp = re.compile(r"\{ms(?:-(\d+)([smhd]))?\}")


def names() -> list[str]:
    """Every case."""
    return sorted(path.stem for path in CASES.glob("*.json"))


def case(name: str) -> Json:
    """A case with its relative times made absolute."""
    found: Json = _timed(json.loads((CASES / f"{name}.json").read_bytes()))
    return found


def _timed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timed(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_timed(each) for each in value]
    if not isinstance(value, str):
        return value
    if found := _moment(value):
        return (NOW - _before(found)).isoformat()
    return _stamp.sub(lambda found: str(NOW_MS - int(_before(found).total_seconds() * 1000)), value)


def _before(found: re.Match[str]) -> timedelta:
    return timedelta(seconds=int(found[1]) * SECONDS[found[2]]) if found[1] else timedelta()


def configure(shown: Json, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a case's shop. Raises ConfigurationError."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ORDERWIRE_STORE_URL", write_migrated(folder / "state.db"))
    monkeypatch.setenv("ORDERWIRE_LOG_URL", f"sqlite:///{folder / 'log.db'}")
    shop = {"webhook_secret": SECRET, "pixel_id": PIXEL, "access_token": TOKEN}
    lines = [f"{key} = {json.dumps(value)}" for key, value in (shop | shown).items()]
    (folder / "orderwire.toml").write_text(f'[shops."{SHOP}"]\n' + "\n".join(lines) + "\n")
    return Settings.load()


@dataclass
class Played:
    """What became of a case."""

    statuses: list[int] = field(default_factory=list)
    """What the deliveries were answered."""
    events: list[Json] = field(default_factory=list)
    """What was sent to Graph, request after request."""
    answers: dict[str, Json] = field(default_factory=dict)
    """By path."""

    def of(self, path: str) -> Json:
        """An answer of the API."""
        return self.answers[path]

    @property
    def outcomes(self) -> dict[str, int]:
        """Of Meta's account, those that are not zero."""
        return {name: n for name, n in self.of("/v1/capi")["outcomes"].items() if n}

    @property
    def purchase(self) -> Json:
        """The only event that was sent."""
        (event,) = self.events
        return event


PATHS = ("/v1/rfm", "/v1/carts", "/v1/capi", "/v1/status")


async def play(
    shown: Json, settings: Settings, order_ids: Sequence[str] = (), bodies: Sequence[bytes] = ()
) -> Played:
    """Post the deliveries (or `bodies` in their place), fold, send, ask."""
    played = Played()
    store = SqlStore.open(settings.store_url.get_secret_value())
    log = await SqliteLog.open(Path(settings.log_url.removeprefix("sqlite:///")))
    try:
        await _post(played, log, shown, bodies)
        await fold_all(settings, log, store)
        await _send(played, store, settings, shown.get("graph"))
        async with serving(store, log, api_settings(settings), now_ms=NOW_MS) as api:
            for path in (*PATHS, *(f"/v1/capi/orders/{each}" for each in order_ids)):
                played.answers[path] = await api.answer(path)
    finally:
        await log.close()
        store.close()
    return played


async def _post(played: Played, log: SqliteLog, shown: Json, bodies: Sequence[bytes]) -> None:
    receiver = Receiver(
        log=log,
        shops={SHOP: [SECRET.encode()]},
        meta=(),
        clock=lambda: NOW_MS,
        limits=Limits(),
        metrics=ReceiverMetrics(CollectorRegistry()),
    )
    client: TestClient[web.BaseRequest, None] = TestClient(ReceiverServer(receiver))
    async with client:
        for number, (topic, body) in enumerate(shown["deliveries"]):
            raw = bodies[number] if bodies else orjson.dumps(body)
            headers = signed(raw, topic, SECRET.encode(), SHOP) | {
                "X-Shopify-Webhook-Id": f"w-{number}"
            }
            async with client.post("/webhooks/shopify", data=raw, headers=headers) as answer:
                played.statuses.append(answer.status)


async def _send(played: Played, store: SqlStore, settings: Settings, graph: Json | None) -> None:
    async def call(
        method: str, url: str, headers: Any, body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        events = orjson.loads(body or b"{}")["data"]
        played.events += events
        if graph is not None:
            return HttpAnswer(graph["status"], {}, orjson.dumps(graph["body"]))
        return HttpAnswer(200, {}, orjson.dumps({"events_received": len(events), "messages": []}))

    meta = KINDS["meta"]
    sender = OutboxSender(
        store,
        [meta.destination(account) for account in accounts(settings, "meta")],
        call,
        tuning=Tuning(spacing_ms=0),
        clock_ms=lambda: NOW_MS,
        steady_ms=lambda: NOW_MS,
    )
    await sender.drain()
