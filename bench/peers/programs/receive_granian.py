"""A receiver on granian's RSGI in one process, and confluent-kafka with `acks=all`."""

import asyncio
import socket
from typing import Any

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server

from bench.peers.programs._rdkafka import AsyncProducer
from bench.peers.programs._receiving import arguments, is_signed, until_stopped


async def main() -> None:
    """Serve until standard input ends."""
    options = arguments()
    producer = AsyncProducer(options.bootstrap)

    async def app(scope: Any, protocol: Any) -> None:
        body = await protocol()
        if not is_signed(body, scope.headers.get("x-shopify-hmac-sha256") or ""):
            protocol.response_empty(401, [])
            return
        shop = scope.headers.get("x-shopify-shop-domain")
        await producer.send(options.topic, body, shop.encode())
        protocol.response_empty(200, [])

    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    server = Server(
        app, address="127.0.0.1", port=port, interface=Interfaces.RSGI, log_enabled=False
    )
    loop = asyncio.get_running_loop()
    until_stopped(lambda: loop.call_soon_threadsafe(server.stop))
    serving = asyncio.create_task(server.serve())
    while not await asyncio.to_thread(_accepts, port):  # noqa: ASYNC110 - it does not say when
        await asyncio.sleep(0.05)
    print(port, flush=True)
    await serving


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


uvloop.run(main())
