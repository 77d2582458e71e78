"""Headers and cursors that are none are the asker's fault: 400, never 500."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import Api, serving

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture
async def api(store: SqlStore, log: SqliteLog) -> AsyncIterator[Api]:
    async with serving(store, log) as running:
        yield running


async def status(api: Api, head: bytes) -> int:
    """The status of a request of which every byte is ours."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.client.port)
    writer.write(head + b"Connection: close\r\n\r\n")
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


@pytest.mark.parametrize("host", [b"[::1", b"[", b"]", b"[x]", b"[::1%"])
@pytest.mark.parametrize("path", [b"/v1/status", b"/", b"/nowhere"])
async def test_a_host_that_is_none_is_400(api: Api, host: bytes, path: bytes) -> None:
    assert await status(api, b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\n") == 400


@pytest.mark.parametrize("host", [b"", b"\xff\xfe", b"a b", b"%00", b"127.0.0.1.example.com"])
async def test_a_host_that_is_not_this_machine_is_refused(api: Api, host: bytes) -> None:
    found = await status(api, b"GET /v1/status HTTP/1.1\r\nHost: " + host + b"\r\n")
    assert found in (400, 403)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [(b"http://[", 400), (b"http://[::1", 400), (b"null", 403), (b"\xff", 403), (b"://", 403)],
)
async def test_an_origin_that_is_none_is_refused(api: Api, origin: bytes, expected: int) -> None:
    head = b"POST /v1/capi/retry HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nOrigin: "
    assert await status(api, head + origin + b"\r\n") == expected


@pytest.mark.parametrize("path", ["/v1/rfm/customers", "/v1/carts/open"])
@pytest.mark.parametrize("cursor", ["%00", "a", "%ff", "====", "W10", "bnVsbA", "a" * 3_000])
async def test_a_cursor_that_is_none_is_400(api: Api, path: str, cursor: str) -> None:
    head = f"GET {path}?cursor={cursor} HTTP/1.1\r\nHost: localhost\r\n"
    assert await status(api, head.encode()) == 400
