"""Strangers who hold connections open shut nobody out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest

from ingest.receiver.connections import BoundedServer, ConnectionLimits
from tests.support.api.receiving import (
    ORDER,
    UNBOUNDED,
    Running,
    immediate_log,
    request_head,
    running,
    until,
)

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(
    receiver: Running, count: int, head: bytes = b""
) -> AsyncIterator[list[Connection]]:
    """`count` connections, one after the other, that have sent `head`."""
    connections: list[Connection] = []
    try:
        for _ in range(count):
            seen = receiver.connections + receiver.closed() + 1
            connections.append(await receiver.raw())
            connections[-1][1].write(head)
            await until(partial(receiver.has_seen, seen))
        yield connections
    finally:
        for _, writer in connections:
            writer.transport.abort()


async def test_a_head_that_does_not_come_closes_the_connection() -> None:
    limits = replace(UNBOUNDED, header_timeout_s=0.05)
    async with (
        running(immediate_log(), connections=limits) as receiver,
        connected(receiver, 1, b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nX-Slow: ") as slow,
    ):
        async with asyncio.timeout(60):
            assert await slow[0][0].read() == b""
        assert receiver.closed("no_request") == 1
        assert await receiver.deliver(ORDER) == 200


async def test_a_connection_without_a_request_closes_after_its_last_one() -> None:
    limits = replace(UNBOUNDED, keepalive_timeout_s=0.05)
    async with running(immediate_log(), connections=limits) as receiver:
        reader, writer = await receiver.raw()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"200"
        async with asyncio.timeout(60):
            await reader.read()
        writer.close()


async def test_where_no_place_is_left_the_longest_idle_connection_makes_place() -> None:
    limits = replace(UNBOUNDED, connections=3, reserve=0)
    async with (
        running(immediate_log(), connections=limits) as receiver,
        connected(receiver, 3) as idle,
    ):
        assert await receiver.deliver(ORDER) == 200
        async with asyncio.timeout(60):
            assert await idle[0][0].read() == b""
        assert receiver.closed("evicted") == 1
        idle[1][1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await idle[1][0].readline()).split()[1] == b"200"


BEGUN = request_head("Content-Length: 9") + b"{"
"""A request that waits for the rest of its body."""


async def test_connections_at_work_are_never_closed_for_a_new_one() -> None:
    limits = replace(UNBOUNDED, connections=2, reserve=0)
    async with (
        running(immediate_log(), connections=limits) as receiver,
        connected(receiver, 2, BEGUN) as busy,
    ):
        await until(lambda: receiver.in_flight_bytes == 2)
        reader, _ = await receiver.raw()
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        assert receiver.closed("refused") == 1
        assert not any(connection[0].at_eof() for connection in busy)


async def test_the_reserve_is_for_loopback() -> None:
    limits = replace(UNBOUNDED, connections=2, reserve=1)
    async with (
        running(immediate_log(), connections=limits) as receiver,
        connected(receiver, 2, BEGUN),
    ):
        await until(lambda: receiver.in_flight_bytes == 2)
        async with receiver.client.get("/healthz") as answer:
            assert answer.status == 200
        assert receiver.closed() == 0


@pytest.mark.parametrize("count", [300])
async def test_three_hundred_half_sent_requests_keep_no_delivery_waiting(count: int) -> None:
    limits = ConnectionLimits(connections=50, reserve=0, header_timeout_s=60)
    async with (
        running(immediate_log(), connections=limits) as receiver,
        connected(receiver, count, b"POST /webhooks/shopify HTTP/1.1\r\nX: "),
    ):
        assert receiver.connections == 50
        for _ in range(20):
            assert await receiver.deliver(ORDER) == 200


async def test_it_is_empty_once_the_last_connection_is_gone_or_time_is_up() -> None:
    async with running(immediate_log(), connections=UNBOUNDED) as receiver:
        server = receiver.client.server.runner
        assert server is not None
        assert isinstance(server.server, BoundedServer)
        async with connected(receiver, 2) as open_now:
            await server.server.empty(0.01)
            assert receiver.connections == 2
            waiting = asyncio.create_task(server.server.empty(3600))
            for _, writer in open_now:
                writer.transport.abort()
            async with asyncio.timeout(60):
                await waiting
        assert receiver.connections == 0
