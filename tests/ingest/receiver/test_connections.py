"""Strangers who hold connections open shut nobody out."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from ipaddress import ip_address

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


def anybody(_: object) -> bool:
    """Loopback's addresses are bounded like public ones."""
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address")
async def test_connections_of_one_address_leave_all_other_places_to_others() -> None:
    limits = replace(UNBOUNDED, per_address=2, is_one_peer=anybody)
    async with running(immediate_log(), connections=limits) as receiver:
        flood = [await receiver.raw("127.0.0.2") for _ in range(2)]
        for _, writer in flood:
            writer.write(BEGUN)
        await until(lambda: receiver.in_flight_bytes == 2)
        reader, _ = await receiver.raw("127.0.0.2")
        async with asyncio.timeout(60):
            assert await reader.read() == b"", "both of its connections are at work"
        assert receiver.closed("refused") == 1
        other = [await receiver.raw("127.0.0.3") for _ in range(2)]
        await until(lambda: receiver.connections == 4)
        third = await receiver.raw("127.0.0.3")
        async with asyncio.timeout(60):
            assert await other[0][0].read() == b"", "its own idle connection makes place"
        assert receiver.closed("evicted") == 1
        assert await receiver.deliver(ORDER) == 200
        for _, writer in (*flood, *other, third):
            writer.transport.abort()


def test_as_shipped_a_public_address_has_few_places_and_a_head_seconds() -> None:
    limits = ConnectionLimits()
    assert limits.per_address <= limits.connections / 10
    assert limits.header_timeout_s <= 10
    assert limits.keepalive_timeout_s <= 90, "nginx keeps its own end for 60 s"
    assert limits.reserve > 0
    assert limits.is_one_peer(ip_address("8.8.8.8"))
    assert not limits.is_one_peer(ip_address("10.0.0.1"))
