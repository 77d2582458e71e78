"""A proxy passes, refuses, stalls and cuts as it was asked to."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from simulator.servers.proxy import Line, Proxy


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with Proxy(f"{host}:{port}") as proxy:
        yield proxy
    server.close()


async def connected(proxy: Proxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = proxy.address.split(":")
    return await asyncio.open_connection(host, int(port))


async def said(reader: asyncio.StreamReader) -> bytes:
    """What comes next; nothing where the connection has ended."""
    try:
        return await reader.read(100)
    except ConnectionResetError:
        return b""


async def test_what_is_sent_arrives_and_comes_back(proxy: Proxy) -> None:
    reader, writer = await connected(proxy)
    writer.write(b"one")
    assert await said(reader) == b"one"


async def test_a_cut_ends_connections_and_lets_new_ones_pass(proxy: Proxy) -> None:
    reader, writer = await connected(proxy)
    writer.write(b"one")
    assert await said(reader) == b"one"
    proxy.cut()
    assert await said(reader) == b""
    reader, writer = await connected(proxy)
    writer.write(b"two")
    assert await said(reader) == b"two"


async def test_a_refusing_proxy_ends_every_connection_until_it_is_open_again(proxy: Proxy) -> None:
    before, _ = await connected(proxy)
    proxy.turn(Line.REFUSED)
    assert await said(before) == b""
    meanwhile, _ = await connected(proxy)
    assert await said(meanwhile) == b""
    proxy.turn(Line.OPEN)
    reader, writer = await connected(proxy)
    writer.write(b"again")
    assert await said(reader) == b"again"


async def test_a_stalled_proxy_delivers_once_it_is_open_again(proxy: Proxy) -> None:
    reader, writer = await connected(proxy)
    writer.write(b"one")
    assert await said(reader) == b"one"
    proxy.turn(Line.STALLED)
    writer.write(b"two")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(100), 0.1)
    proxy.turn(Line.OPEN)
    assert await said(reader) == b"two"


async def test_a_unix_socket_can_be_behind_it(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(echo, tmp_path / "socket")
    async with Proxy(str(tmp_path / "socket")) as proxy:
        reader, writer = await connected(proxy)
        writer.write(b"one")
        assert await said(reader) == b"one"
    server.close()
