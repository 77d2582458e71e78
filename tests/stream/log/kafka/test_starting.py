"""What a client leaves behind whose broker says which requests it knows, and never more."""

import asyncio
import gc
import struct
from typing import Any

import pytest

from stream.log.contract import Unavailable
from stream.log.kafka.owner import OwnerGroup
from stream.log.kafka.scan import Scanner
from stream.log.kafka.settings import KafkaSettings

METADATA, API_VERSIONS = (3, 0, 1), (18, 0, 0)
"""Kafka's number of a request, and its versions (kafka.apache.org/protocol)."""


@pytest.mark.parametrize("client", ["scanner", "owner"])
async def test_a_start_that_takes_too_long_leaves_no_connection_open(client: str) -> None:
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size, correlation = struct.unpack(">i4xi", await reader.readexactly(12))
        await reader.readexactly(size - 8)
        answer = struct.pack(">ihi6h", correlation, 0, 2, *METADATA, *API_VERSIONS)
        writer.write(struct.pack(">i", len(answer)) + answer)
        await reader.read()
        writer.close()
        ended.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        bootstrap = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        settings = KafkaSettings(request_timeout_s=0.3)
        try:
            if client == "scanner":
                await Scanner(bootstrap, settings).spans("orders")
            else:
                await OwnerGroup(bootstrap, settings, "orders").owner()
        except Unavailable:  # `pytest.raises` would keep its frames, and the connection with them.
            await asyncio.wait_for(ended.wait(), 10)
        gc.collect()
        await asyncio.sleep(0.1)
    assert [each["message"] for each in errors] == []
