"""The receiver on a port of its own, in front of a scripted log."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestClient
from prometheus_client import CollectorRegistry

from ingest.meta.webhooks import MetaApp
from ingest.pixel.posts import PixelPosts
from ingest.receiver.app import Receiver
from ingest.receiver.body import Limits
from ingest.receiver.connections import ConnectionLimits
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ReceiverMetrics
from stream.record import Record

SHOP, SECRET = "example.myshopify.com", b"hush"

ORDER = b'{"id":5,"customer":{"id":7},"email":"ada@example.com"}'

APP = MetaApp(shop=SHOP, app_secret=b"app-secret", verify_token="the word")

NOW_MS = 1_795_363_200_000

PATIENT = Limits(read_timeout_s=60, ack_timeout_s=60)
"""For tests that are not about time, on machines that may have none to spare."""

UNBOUNDED = ConnectionLimits(header_timeout_s=600, keepalive_timeout_s=600)

IMPATIENT = Limits(read_timeout_s=0.1)

Append = Callable[[Sequence[Record]], Awaitable[None]]


@dataclass
class FunctionLog:
    """A log whose `append` is a function."""

    function: Append

    async def append(self, records: Sequence[Record]) -> None:
        await self.function(records)


@dataclass
class Held:
    """A log in memory that keeps a record only once it is let go."""

    kept: list[Record] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def append(self, records: Sequence[Record]) -> None:
        self.asked.set()
        await self.go.wait()
        self.kept.extend(records)


def immediate_log() -> Held:
    log = Held()
    log.go.set()
    return log


class ReceiverServer(BaseTestServer):
    def __init__(self, receiver: Receiver) -> None:
        super().__init__()
        self.receiver = receiver

    async def _make_runner(self, **_: object) -> web.ServerRunner:
        """As the role `receive` does, without settings of a test's own."""
        return web.ServerRunner(self.receiver.server())


@dataclass
class Running:
    client: TestClient[web.BaseRequest, None]
    receiver: Receiver
    registry: CollectorRegistry

    async def post(self, body: bytes | AsyncIterator[bytes], **headers: str) -> tuple[int, str]:
        async with self.client.post("/webhooks/shopify", data=body, headers=headers) as answer:
            return answer.status, await answer.text()

    async def deliver(
        self, body: bytes, topic: str = "orders/create", secret: bytes = SECRET, shop: str = SHOP
    ) -> int:
        return (await self.post(body, **signed(body, topic, secret, shop)))[0]

    def count(self, outcome: str, topic: str = "", sender: str = "shopify") -> float:
        labels = {"sender": sender, "topic": topic, "outcome": outcome}
        return self.registry.get_sample_value("orderwire_deliveries_total", labels) or 0.0

    def unsigned(self, shop: str) -> float | None:
        """Unsigned deliveries that name this shop; None if no series has its name."""
        return self.registry.get_sample_value("orderwire_unsigned_deliveries_total", {"shop": shop})

    @property
    def in_flight_bytes(self) -> float | None:
        return self.registry.get_sample_value("orderwire_in_flight_bytes")

    @property
    def connections(self) -> float:
        return self.registry.get_sample_value("orderwire_connections") or 0.0

    def closed(self, reason: str = "") -> float:
        """Connections that the receiver closed, for `reason` or for any."""
        return sum(
            self.registry.get_sample_value("orderwire_connections_closed_total", {"reason": each})
            or 0.0
            for each in ([reason] if reason else ["no_request", "evicted", "refused"])
        )

    def has_seen(self, connections: float) -> bool:
        """Whether so many connections are open or were closed by the receiver."""
        return self.connections + self.closed() >= connections

    async def raw(
        self, address: str = "127.0.0.1"
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection from `address`, which is loopback's."""
        assert self.client.server.port is not None
        return await asyncio.open_connection(
            self.client.server.host, self.client.server.port, local_addr=(address, 0)
        )


def signed(
    body: bytes, topic: str = "orders/create", secret: bytes = SECRET, shop: str = SHOP
) -> dict[str, str]:
    return {
        "X-Shopify-Hmac-Sha256": base64.b64encode(
            hmac.new(secret, body, hashlib.sha256).digest()
        ).decode(),
        "X-Shopify-Topic": topic,
        "X-Shopify-Shop-Domain": shop,
        "X-Shopify-Webhook-Id": "w-1",
        "Content-Type": "application/json",
    }


def request_head(framing: str, headers: Mapping[str, str] | None = None) -> bytes:
    """The head of a delivery of `ORDER` as it goes over the wire, up to its body."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in (headers or signed(ORDER)).items())
    return f"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\n{framing}\r\n{fields}\r\n".encode()


@asynccontextmanager
async def running(
    log: Held | FunctionLog | SqliteLog,
    *,
    limits: Limits | None = None,
    meta: Sequence[MetaApp] = (APP,),
    connections: ConnectionLimits = UNBOUNDED,
    pixel: bool = False,
) -> AsyncIterator[Running]:
    registry = CollectorRegistry()
    metrics = ReceiverMetrics(registry)
    receiver = Receiver(
        log=log,
        shops={SHOP: [SECRET, b"old"], "other.myshopify.com": [b"other"]},
        meta=meta,
        clock=lambda: NOW_MS,
        limits=limits or PATIENT,
        metrics=metrics,
        connections=connections,
        pixel=PixelPosts(
            log=log,
            shops=(SHOP,),
            clock=lambda: NOW_MS,
            limits=limits or PATIENT,
            metrics=metrics,
        )
        if pixel
        else None,
    )
    client: TestClient[web.BaseRequest, None] = TestClient(ReceiverServer(receiver))
    async with client:
        yield Running(client, receiver, registry)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the server's side has no event to wait for
            await asyncio.sleep(0)
