"""Headers, cursors and parameters that are none are the asker's fault: 400, never 500."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from query.services import SERVICES
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import Api, serving

NOT_READY = {"/readyz"}
"""Answers JSON of its own with every status."""
WRONG = "\0" * 2_000
"""No parameter takes it: neither a choice nor a number, too long for a text."""
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


async def test_a_question_that_an_ending_process_still_accepts_is_503(api: Api) -> None:
    await api.answer("/v1/rfm")
    assert api.client.app is not None
    await api.client.app[SERVICES].freshness.settle()
    async with api.client.get("/v1/rfm") as answer:
        assert (answer.status, answer.content_type) == (503, "application/problem+json")
        assert int(answer.headers["Retry-After"]) > 0


Wrong = tuple[str, str, dict[str, str]]


def wrong_requests(document: dict[str, Any]) -> Iterator[Wrong]:
    """(path, parameter, query): every path with an unknown parameter, every query parameter with a
    value that it does not take."""
    for path, operations in document["paths"].items():
        if "get" not in operations or path in NOT_READY:
            continue
        there = path.replace("{", "").replace("}", "")
        yield there, "no_such_parameter", {"no_such_parameter": "1"}
        for parameter in operations["get"].get("parameters", []):
            if parameter["in"] == "query" and parameter["name"] != "shop":
                yield there, parameter["name"], {parameter["name"]: WRONG}


async def test_every_path_names_the_parameter_that_is_wrong_and_the_next_step(api: Api) -> None:
    document = await api.answer("/openapi.json")
    asked = list(wrong_requests(document))
    assert len({path for path, _, _ in asked}) > 15
    for path, name, query in asked:
        problem = await api.answer(path, query, status=400)  # And application/problem+json.
        assert (problem["type"], problem["parameter"]) == ("/docs#bad-parameter", name), path
        assert name in problem["next_step"], (path, problem)
        assert problem["instance"] == path
        assert "allowed" in problem, (path, name)
