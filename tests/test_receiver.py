"""The receiver over real HTTP: every answer of DESIGN's table, and what must be true of the log after each."""

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestClient
from prometheus_client import CollectorRegistry

from ingest.app import Receiver
from ingest.body import MIB, Limits
from ingest.meta import MetaApp
from ingest.routing import RULES
from stream.log import Unavailable
from stream.metrics import ReceiverMetrics
from stream.record import Record
from stream.sqlite_log import SqliteLog

SHOP, SECRET = "example.myshopify.com", b"hush"
SAMPLES = Path(__file__).parents[2] / "shared" / "samples"
ORDER = b'{"id":5,"customer":{"id":7},"email":"ada@example.com"}'
APP = MetaApp(shop=SHOP, app_secret=b"app-secret", verify_token="the word")
NOW_MS = 1_795_363_200_000
PATIENT = Limits(read_timeout_s=60, ack_timeout_s=60)
"""For tests that are not about time, on machines that may have none to spare."""
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


def at_once() -> Held:
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

    async def deliver(self, body: bytes, topic: str = "orders/create", secret: bytes = SECRET, shop: str = SHOP) -> int:
        return (await self.post(body, **signed(body, topic, secret, shop)))[0]

    def count(self, outcome: str, topic: str = "", sender: str = "shopify") -> float:
        labels = {"sender": sender, "topic": topic, "outcome": outcome}
        return self.registry.get_sample_value("orderwire_deliveries_total", labels) or 0.0

    @property
    def in_flight_bytes(self) -> float | None:
        return self.registry.get_sample_value("orderwire_in_flight_bytes")

    async def raw(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert self.client.server.port is not None
        return await asyncio.open_connection(self.client.server.host, self.client.server.port)


def signed(body: bytes, topic: str = "orders/create", secret: bytes = SECRET, shop: str = SHOP) -> dict[str, str]:
    return {
        "X-Shopify-Hmac-Sha256": base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode(),
        "X-Shopify-Topic": topic,
        "X-Shopify-Shop-Domain": shop,
        "X-Shopify-Webhook-Id": "w-1",
        "Content-Type": "application/json",
    }


@asynccontextmanager
async def running(
    log: Held | FunctionLog | SqliteLog, *, limits: Limits | None = None, meta: Sequence[MetaApp] = (APP,)
) -> AsyncIterator[Running]:
    registry = CollectorRegistry()
    receiver = Receiver(
        log=log,
        shops={SHOP: [SECRET, b"old"], "other.myshopify.com": [b"other"]},
        meta=meta,
        clock=lambda: NOW_MS,
        limits=limits or PATIENT,
        metrics=ReceiverMetrics(registry),
    )
    client: TestClient[web.BaseRequest, None] = TestClient(ReceiverServer(receiver))
    async with client:
        yield Running(client, receiver, registry)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the server's side has no event to wait for
            await asyncio.sleep(0)


# --- 200 -------------------------------------------------------------------------------------------------------------------------


async def test_a_signed_order_is_in_the_log_byte_for_byte_before_the_200() -> None:
    log = at_once()
    async with running(log) as receiver:
        assert await receiver.deliver(ORDER) == 200
        (record,) = log.kept
        assert (record.topic, record.key, record.id, record.body) == ("orders", f"{SHOP}:7", "w-1", ORDER)
        assert record.time_ms == NOW_MS
        assert receiver.count("accepted", "orders/create") == 1
        assert receiver.in_flight_bytes == 0


async def test_no_answer_goes_out_before_the_log_has_the_record() -> None:
    log = Held()
    async with running(log) as receiver:
        answer = asyncio.create_task(receiver.deliver(ORDER))
        await log.asked.wait()
        await asyncio.wait([answer], timeout=0.05)
        assert not answer.done()
        log.go.set()
        assert await answer == 200


async def test_deliveries_that_arrive_together_are_each_kept_once_and_each_answered() -> None:
    log = at_once()
    async with running(log) as receiver:
        bodies = [b'{"id":%d}' % number for number in range(50)]
        assert await asyncio.gather(*map(receiver.deliver, bodies)) == [200] * 50
        assert sorted(record.body for record in log.kept) == sorted(bodies)


async def test_an_unknown_topic_is_200_and_parked() -> None:
    log = at_once()
    async with running(log) as receiver:
        assert await receiver.deliver(b'{"id":1}', topic="disputes/create") == 200
        assert log.kept[0].topic == "parked"
        assert log.kept[0].headers["parked_reason"] == "unknown_topic"
        assert receiver.count("parked", "other") == 1


async def test_an_order_without_an_id_is_200_and_parked() -> None:
    log = at_once()
    async with running(log) as receiver:
        assert await receiver.deliver(b"{}") == 200
        assert log.kept[0].headers["parked_reason"] == "no_order_id"


async def test_the_embedded_log_has_what_was_answered_200(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    try:
        async with running(log) as receiver:
            bodies = [b'{"id":%d}' % number for number in range(30)]
            assert await asyncio.gather(*map(receiver.deliver, bodies)) == [200] * 30
        kept = [entry.record.body for partition in await log.spans("orders") for entry in await log.scan("orders", partition, 0, 100)]
        assert sorted(kept) == sorted(bodies)
    finally:
        await log.close()


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="../shared/samples is not here")
async def test_every_sample_on_every_topic_is_200_and_kept() -> None:
    log = at_once()
    async with running(log) as receiver:
        for path in sorted(SAMPLES.glob("*.json")):
            body = path.read_bytes()
            topics = [*RULES, "disputes/create"]
            answers = await asyncio.gather(*(receiver.deliver(body, topic) for topic in topics))
            assert answers == [200] * len(topics), path.name
            assert len(log.kept) == len(topics), path.name
            log.kept.clear()


# --- 401 -------------------------------------------------------------------------------------------------------------------------


async def test_whoever_cannot_sign_gets_one_and_the_same_401_and_leaves_nothing_behind() -> None:
    log = at_once()
    unsigned = signed(ORDER)
    del unsigned["X-Shopify-Hmac-Sha256"]
    async with running(log) as receiver:
        answers = {
            await receiver.post(ORDER, **signed(ORDER, secret=b"wrong")),
            await receiver.post(ORDER + b" ", **signed(ORDER)),
            await receiver.post(ORDER, **unsigned),
            await receiver.post(ORDER, **(signed(ORDER) | {"X-Shopify-Hmac-Sha256": "ÿ"})),
            await receiver.post(ORDER, **signed(ORDER, shop="other.myshopify.com")),
            await receiver.post(ORDER, **signed(ORDER, shop="nobody.myshopify.com")),
            await receiver.post(b"", **signed(ORDER)),
            await receiver.post(b"{", **signed(b"{", secret=b"wrong")),
        }
        assert len(answers) == 1
        assert answers.pop()[0] == 401
        assert log.kept == []
        assert receiver.count("unsigned") == 8
        assert receiver.in_flight_bytes == 0


async def test_during_a_rotation_both_secrets_are_good_and_the_metric_tells_which() -> None:
    async with running(at_once()) as receiver:
        assert [await receiver.deliver(ORDER, secret=each) for each in (SECRET, b"old", b"old")] == [200] * 3
        used = [receiver.registry.get_sample_value("orderwire_signatures_total", {"sender": "shopify", "secret": each}) for each in "01"]
        assert used == [1, 2]


async def test_headers_without_x_are_the_same_headers() -> None:
    log = at_once()
    async with running(log) as receiver:
        headers = {name.removeprefix("X-"): value for name, value in signed(ORDER).items()}
        assert (await receiver.post(ORDER, **headers))[0] == 200
        assert log.kept[0].id == "w-1"


# --- 400 -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("body", "reason"), [(b"{", "malformed_json"), (b"", "empty_body"), (b"[1]", "not_an_object")])
async def test_a_signed_body_that_is_no_object_is_400_and_parked(body: bytes, reason: str) -> None:
    log = at_once()
    async with running(log) as receiver:
        assert await receiver.deliver(body) == 400
        (record,) = log.kept
        assert (record.topic, record.body, record.headers["parked_reason"]) == ("parked", body, reason)
        assert receiver.count("undecodable", "orders/create") == 1


# --- 413 -------------------------------------------------------------------------------------------------------------------------


async def test_eleven_mebibytes_are_413() -> None:
    log = at_once()
    async with running(log, limits=Limits(read_timeout_s=2)) as receiver:  # long enough for the answer to be read while the rest arrives
        assert await receiver.deliver(b" " * (11 * MIB)) == 413
        assert log.kept == []
        assert receiver.in_flight_bytes == 0


async def test_an_announced_length_over_the_cap_is_refused_before_any_of_it_is_sent() -> None:
    async with running(at_once(), limits=IMPATIENT) as receiver:
        reader, writer = await receiver.raw()
        writer.write(b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (11 * MIB))
        assert (await reader.readline()).split()[1] == b"413"
        writer.close()


async def test_a_body_of_exactly_the_cap_is_taken_and_one_byte_more_is_not() -> None:
    body = ORDER.ljust(1_000)
    async with running(at_once(), limits=replace(PATIENT, max_body_bytes=1_000)) as receiver:
        assert await receiver.deliver(body) == 200
        assert await receiver.deliver(body + b" ") == 413
        assert await receiver.deliver(body * 300) == 413


async def test_a_chunked_body_is_counted_while_it_is_read() -> None:
    log = at_once()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * MIB

    async with running(log) as receiver:
        assert (await receiver.post(chunks(), **signed(ORDER)))[0] == 413
        assert receiver.in_flight_bytes == 0

        async def order() -> AsyncIterator[bytes]:
            yield ORDER[:10]
            await asyncio.sleep(0)
            yield ORDER[10:]

        assert (await receiver.post(order(), **signed(ORDER)))[0] == 200
        assert log.kept[0].body == ORDER


# --- compression -----------------------------------------------------------------------------------------------------------------


async def test_a_gzipped_body_is_verified_and_kept_as_what_was_packed() -> None:
    log = at_once()
    async with running(log) as receiver:
        headers = signed(ORDER) | {"Content-Encoding": "gzip"}
        assert (await receiver.post(gzip.compress(ORDER), **headers))[0] == 200
        assert log.kept[0].body == ORDER


async def test_a_decompression_bomb_is_413_and_is_never_unpacked_whole() -> None:
    bomb = gzip.compress(b" " * (200 * MIB), 9)
    async with running(at_once()) as receiver:
        assert (await receiver.post(bomb, **(signed(bomb) | {"Content-Encoding": "gzip"})))[0] == 413
        assert receiver.in_flight_bytes == 0


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (b"no gzip", "gzip", 400),
        (gzip.compress(ORDER)[:-4], "gzip", 400),
        (gzip.compress(ORDER) + b"more", "gzip", 400),
        (gzip.compress(ORDER), "br", 401),
        (ORDER, "identity", 200),
    ],
)
async def test_a_broken_or_unknown_coding_is_the_senders_fault(body: bytes, coding: str, status: int) -> None:
    async with running(at_once()) as receiver:
        assert (await receiver.post(body, **(signed(ORDER) | {"Content-Encoding": coding})))[0] == status
        assert receiver.in_flight_bytes == 0


# --- 503 -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Unavailable("disk full"), RuntimeError("a fault of ours: ada@example.com")])
async def test_a_log_that_refuses_is_503_with_retry_after(error: Exception) -> None:
    async def refuse(_: Sequence[Record]) -> None:
        raise error

    async with running(FunctionLog(refuse)) as receiver:
        with structlog.testing.capture_logs() as told:
            async with receiver.client.post("/webhooks/shopify", data=ORDER, headers=signed(ORDER)) as answer:
                assert answer.status == 503
                assert int(answer.headers["Retry-After"]) > 0
        assert receiver.count("unavailable", "orders/create") == 1
        assert receiver.in_flight_bytes == 0
        assert "ada@example.com" not in str(told)
        reasons = [line["reason"] for line in told if line["event"] == "log_unavailable"]
        assert reasons == (["disk full"] if isinstance(error, Unavailable) else [])


async def test_a_log_that_hangs_is_503_in_time_and_what_it_keeps_later_harms_nobody() -> None:
    log = Held()
    async with running(log, limits=Limits(ack_timeout_s=0.05)) as receiver:
        with structlog.testing.capture_logs() as told:
            assert await receiver.deliver(ORDER) == 503
        assert [line["reason"] for line in told if line["event"] == "log_unavailable"] == ["no answer within 0.05 s"]
        assert receiver.in_flight_bytes == len(ORDER), "the log still holds it"
        log.go.set()
        await until(lambda: len(log.kept) == 1)
        assert await receiver.deliver(ORDER) == 200
        first, again = log.kept
        assert first == again, "the same id, key and body: whoever reads the log sees a duplicate, which changes nothing"
        await until(lambda: receiver.in_flight_bytes == 0)


async def test_one_write_that_hangs_does_not_hold_up_another() -> None:
    slow = asyncio.Event()
    kept: list[bytes] = []

    async def append(records: Sequence[Record]) -> None:
        if records[0].body == ORDER:
            await slow.wait()
        kept.extend(record.body for record in records)

    async with running(FunctionLog(append)) as receiver:
        first = asyncio.create_task(receiver.deliver(ORDER))
        await until(lambda: receiver.in_flight_bytes == len(ORDER))
        assert await receiver.deliver(b'{"id":6}') == 200
        assert kept == [b'{"id":6}']
        slow.set()
        assert await first == 200


async def test_beyond_the_bytes_in_flight_it_is_503_and_afterwards_it_goes_on() -> None:
    log = Held()
    body = ORDER.ljust(700)
    limits = replace(PATIENT, max_body_bytes=1_000, max_in_flight_bytes=1_000)
    async with running(log, limits=limits) as receiver:
        first = asyncio.create_task(receiver.deliver(body))
        await log.asked.wait()
        async with receiver.client.post("/webhooks/shopify", data=body, headers=signed(body)) as answer:
            assert answer.status == 503
            assert "Retry-After" in answer.headers
        assert receiver.count("busy") == 1
        log.go.set()
        assert await first == 200
        assert await receiver.deliver(body) == 200
        assert [record.body for record in log.kept] == [body, body]


async def test_a_promise_of_many_bytes_takes_no_place_from_those_who_send_theirs() -> None:
    limits = replace(PATIENT, max_body_bytes=1_000, max_in_flight_bytes=1_000)
    async with running(at_once(), limits=limits) as receiver:
        _, writer = await receiver.raw()
        writer.write(b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        await writer.drain()
        assert await receiver.deliver(ORDER.ljust(1_000)) == 200
        writer.close()


def test_limits_that_no_body_could_meet_are_refused() -> None:
    with pytest.raises(ValueError, match="max_in_flight_bytes"):
        Limits(max_body_bytes=2, max_in_flight_bytes=1)


# --- HTTP: what an answer owes to the connection it goes out on -------------------------------------------------------------------


def request(body: bytes = ORDER, version: str = "1.1", **more: str) -> bytes:
    headers = {"Host": "x", "Content-Length": str(len(body))} | signed(body) | more
    return "".join(
        [f"POST /webhooks/shopify HTTP/{version}\r\n", *(f"{name}: {value}\r\n" for name, value in headers.items()), "\r\n"]
    ).encode()


async def head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:-1]
    return int(status.split()[1]), {name.lower(): value for name, value in (line.split(": ") for line in lines)}


async def test_deliveries_on_one_connection_are_each_answered_even_when_they_are_sent_ahead() -> None:
    log = at_once()
    async with running(log) as receiver:
        reader, writer = await receiver.raw()
        writer.write(2 * (request() + ORDER))
        for _ in range(2):
            assert await head_of(reader) == (200, {"content-length": "0", "date": "Sun, 22 Nov 2026 16:00:00 GMT"})
        assert len(log.kept) == 2
        writer.close()


@pytest.mark.parametrize(("version", "asked", "told", "stays_open"), [
    ("1.1", "close", "close", False),
    ("1.0", "close", None, False),
    ("1.0", "keep-alive", "keep-alive", True),
])  # fmt: skip
async def test_whoever_needs_to_be_told_about_the_connection_is_told(version: str, asked: str, told: str | None, stays_open: bool) -> None:
    async with running(at_once()) as receiver:
        reader, writer = await receiver.raw()
        writer.write(request(version=version, Connection=asked) + ORDER)
        status, headers = await head_of(reader)
        assert (status, headers.get("connection")) == (200, told)
        if stays_open:
            writer.write(request(version=version, Connection=asked) + ORDER)
            assert (await head_of(reader))[0] == 200
        else:
            assert await reader.read() == b""
        writer.close()


async def test_whoever_asks_before_sending_is_told_to_go_on() -> None:
    async with running(at_once()) as receiver:
        reader, writer = await receiver.raw()
        writer.write(request(Expect="100-continue"))
        assert (await head_of(reader))[0] == 100
        writer.write(ORDER)
        assert (await head_of(reader))[0] == 200
        writer.close()


async def test_whoever_asks_before_sending_too_much_is_refused_at_once() -> None:
    async with running(at_once(), limits=IMPATIENT) as receiver:
        reader, writer = await receiver.raw()
        writer.write(request(b" " * (11 * MIB), Expect="100-continue"))
        assert (await head_of(reader))[0] == 413
        writer.close()


async def test_there_are_four_addresses_and_no_others() -> None:
    async with running(at_once()) as receiver:
        for method, path, status, allowed in (
            ("HEAD", "/healthz", 200, None),
            ("GET", "/healthz?from=balancer", 200, None),
            ("POST", "/healthz", 405, "GET, HEAD"),
            ("GET", "/webhooks/shopify", 405, "POST"),
            ("PUT", "/webhooks/meta", 405, "GET, POST"),
            ("GET", "/", 404, None),
            ("POST", "/webhooks/shopify/", 404, None),
        ):
            async with receiver.client.request(method, path) as answer:
                assert (answer.status, answer.headers.get("Allow")) == (status, allowed), f"{method} {path}"


# --- slow and lost clients -------------------------------------------------------------------------------------------------------


async def test_a_body_that_does_not_come_is_408_and_the_connection_is_closed() -> None:
    async with running(at_once(), limits=IMPATIENT) as receiver:
        reader, writer = await receiver.raw()
        writer.write(b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == b"408"
        assert b"connection: close" in head.lower()
        assert receiver.in_flight_bytes == 0
        writer.close()


async def test_a_client_that_leaves_while_the_log_works_changes_nothing() -> None:
    log = Held()
    async with running(log) as receiver:
        _, writer = await receiver.raw()
        head = "".join(f"{name}: {value}\r\n" for name, value in signed(ORDER).items())
        writer.write(f"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ORDER)}\r\n{head}\r\n".encode() + ORDER)
        await log.asked.wait()
        writer.transport.abort()
        await asyncio.sleep(0.02)
        log.go.set()
        await until(lambda: len(log.kept) == 1)
        await until(lambda: receiver.in_flight_bytes == 0)


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind() -> None:
    log = at_once()
    async with running(log) as receiver:
        _, writer = await receiver.raw()
        writer.write(b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b" " * 70_000)
        await until(lambda: receiver.in_flight_bytes == 70_000)
        writer.transport.abort()
        await until(lambda: receiver.in_flight_bytes == 0)
        assert receiver.count("broken") == 1
        assert log.kept == []


async def test_framing_that_makes_no_sense_is_refused_and_holds_nothing() -> None:
    async with running(at_once(), limits=Limits(read_timeout_s=2)) as receiver:  # long enough to be seen with the first chunk
        reader, writer = await receiver.raw()
        writer.write(b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b"5\r\nhello\r\n")
        await until(lambda: receiver.in_flight_bytes == 5)
        writer.write(b"this is no chunk\r\n")
        assert (await reader.readline()).split()[1] in (b"400", b"408"), "aiohttp may leave the handler to wait"
        assert receiver.in_flight_bytes == 0
        writer.close()


# --- Meta ------------------------------------------------------------------------------------------------------------------------

NOTICE = json.dumps({"object": "ad_account", "entry": [{"id": "act_1"}]}).encode()


def hub(body: bytes, secret: bytes = APP.app_secret) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()}


async def test_metas_handshake_is_answered_in_plain_text_or_refused() -> None:
    asked = {"hub.mode": "subscribe", "hub.verify_token": "the word", "hub.challenge": "<b>1158201444</b>"}
    async with running(at_once()) as receiver:
        async with receiver.client.get("/webhooks/meta", params=asked) as answer:
            assert (answer.status, await answer.text()) == (200, asked["hub.challenge"])
            assert answer.content_type == "text/plain"
        async with receiver.client.get("/webhooks/meta", params=asked | {"hub.verify_token": "guess"}) as answer:
            assert answer.status == 403
            assert "1158201444" not in await answer.text()


async def test_metas_notices_are_kept_on_ads_or_refused() -> None:
    log = at_once()
    async with running(log) as receiver:
        for headers, status in ((hub(NOTICE), 200), (hub(NOTICE, b"guess"), 401), ({}, 401)):
            async with receiver.client.post("/webhooks/meta", data=NOTICE, headers=headers) as answer:
                assert answer.status == status
        async with receiver.client.post("/webhooks/meta", data=b"{", headers=hub(b"{")) as answer:
            assert answer.status == 400
        assert [record.topic for record in log.kept] == ["ads", "parked"]
        assert receiver.count("accepted", "ads", "meta") == 1


async def test_without_a_meta_app_there_is_no_such_address() -> None:
    async with running(at_once(), meta=()) as receiver:
        async with receiver.client.get("/webhooks/meta") as answer:
            assert answer.status == 404
        async with receiver.client.post("/webhooks/meta", data=NOTICE, headers=hub(NOTICE)) as answer:
            assert answer.status == 404


# --- health, shutdown, what is told ----------------------------------------------------------------------------------------------


async def test_healthz_says_no_once_the_receiver_is_to_stop() -> None:
    async with running(at_once()) as receiver:
        async with receiver.client.get("/healthz") as answer:
            assert answer.status == 200
        receiver.receiver.ready = False
        async with receiver.client.get("/healthz") as answer:
            assert answer.status == 503
        assert await receiver.deliver(ORDER) == 200, "who comes all the same is served"


async def test_a_delivery_that_is_under_way_is_finished_before_the_server_ends() -> None:
    log = Held()
    async with running(log) as receiver:
        answer = asyncio.create_task(receiver.deliver(ORDER))
        await log.asked.wait()
        closing = asyncio.create_task(receiver.client.server.close())
        runner = receiver.client.server.runner
        assert runner is not None
        await until(lambda: not runner.sites)
        log.go.set()
        assert await answer == 200
        await closing
        assert len(log.kept) == 1


async def test_what_is_told_names_shop_topic_and_delivery_and_nothing_of_a_person() -> None:
    body = b'{"email":"ada@example.com"}'
    async with running(at_once()) as receiver:
        with structlog.testing.capture_logs() as told:
            await receiver.deliver(body)
            for _ in range(3):
                await receiver.deliver(body, secret=b"wrong")
            await receiver.deliver(body, shop="nobody.myshopify.com")
    assert [(line["event"], line.get("shop"), line.get("topic"), line.get("delivery")) for line in told] == [
        ("delivery_parked", SHOP, "orders/create", "w-1"),
        ("delivery_unsigned", None, None, None),
        ("delivery_unsigned", None, None, None),
    ]
    assert [line.get("shop_configured") for line in told[1:]] == [True, False]
    assert "ada@example.com" not in str(told)
    assert "hush" not in str(told)


async def test_a_topic_that_nobody_knows_makes_no_new_metric() -> None:
    async with running(at_once()) as receiver:
        for number in range(20):
            await receiver.deliver(b"{}", topic=f"made/up{number}")
        assert receiver.count("parked", "other") == 20
