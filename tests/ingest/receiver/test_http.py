"""What an answer owes to the connection that it goes out on."""

import asyncio

import pytest

from ingest.receiver.body import MIB
from tests.support.api.receiving import IMPATIENT, ORDER, immediate_log, running, signed


def request(body: bytes = ORDER, version: str = "1.1", **more: str) -> bytes:
    headers = {"Host": "x", "Content-Length": str(len(body))} | signed(body) | more
    return "".join(
        [
            f"POST /webhooks/shopify HTTP/{version}\r\n",
            *(f"{name}: {value}\r\n" for name, value in headers.items()),
            "\r\n",
        ]
    ).encode()


async def head_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[:-1]
    return int(status.split()[1]), {
        name.lower(): value for name, value in (line.split(": ") for line in lines)
    }


async def test_deliveries_on_one_connection_are_each_answered_even_when_they_are_sent_ahead() -> (
    None
):
    log = immediate_log()
    async with running(log) as receiver:
        reader, writer = await receiver.raw()
        writer.write(2 * (request() + ORDER))
        for _ in range(2):
            assert await head_of(reader) == (
                200,
                {"content-length": "0", "date": "Sun, 22 Nov 2026 16:00:00 GMT"},
            )
        assert len(log.kept) == 2
        writer.close()


@pytest.mark.parametrize(("version", "asked", "found", "stays_open"), [
    ("1.1", "close", "close", False),
    ("1.0", "close", None, False),
    ("1.0", "keep-alive", "keep-alive", True),
])  # fmt: skip
async def test_whoever_needs_connection_headers_gets_them(
    version: str, asked: str, found: str | None, stays_open: bool
) -> None:
    async with running(immediate_log()) as receiver:
        reader, writer = await receiver.raw()
        writer.write(request(version=version, Connection=asked) + ORDER)
        status, headers = await head_of(reader)
        assert (status, headers.get("connection")) == (200, found)
        if stays_open:
            writer.write(request(version=version, Connection=asked) + ORDER)
            assert (await head_of(reader))[0] == 200
        else:
            assert await reader.read() == b""
        writer.close()


async def test_whoever_asks_before_sending_is_asked_to_go_on() -> None:
    async with running(immediate_log()) as receiver:
        reader, writer = await receiver.raw()
        writer.write(request(Expect="100-continue"))
        assert (await head_of(reader))[0] == 100
        writer.write(ORDER)
        assert (await head_of(reader))[0] == 200
        writer.close()


async def test_whoever_asks_before_sending_too_much_is_refused_immediately() -> None:
    async with running(immediate_log(), limits=IMPATIENT) as receiver:
        reader, writer = await receiver.raw()
        writer.write(request(b" " * (11 * MIB), Expect="100-continue"))
        assert (await head_of(reader))[0] == 413
        writer.close()


async def test_there_are_four_addresses_and_no_others() -> None:
    async with running(immediate_log()) as receiver:
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
                assert (answer.status, answer.headers.get("Allow")) == (status, allowed), (
                    f"{method} {path}"
                )
