"""Maps Kafka's errors to the log's, and starts and stops clients whose brokers may be away."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from aiokafka.errors import KafkaError

from stream.log.contract import Unavailable

FAILURES = (KafkaError, TimeoutError, OSError)
STOP_S = 3.0


def unavailable(what: str, error: BaseException) -> Unavailable:
    """`what` and the reason in one sentence; a TimeoutError has no words of its own."""
    return Unavailable(f"{what}: {error}" if str(error) else f"{what}: {type(error).__name__}")


_ending: set[asyncio.Future[None]] = set()
"""Stops of clients that are under way; asyncio itself keeps no task."""


async def start_client(client: Any) -> None:
    """Start a consumer. One that fails is stopped.

    Where this is cancelled, by a time-out too, the start goes on to its own end, and then the
    client is stopped: aiokafka 0.14.0 drops the connection that a cancelled start has just opened,
    without closing it.
    """
    start = asyncio.ensure_future(client.start())
    try:
        await asyncio.shield(start)
    except BaseException:
        end = asyncio.ensure_future(_stop_started(start, client))
        _ending.add(end)
        end.add_done_callback(_ending.discard)
        if start.done():
            await asyncio.shield(end)
        raise


async def _stop_started(start: asyncio.Future[None], client: Any) -> None:
    await asyncio.wait([start])
    await asyncio.gather(start, return_exceptions=True)
    await stop_client(client.stop(), client._client.close())


async def stop_client(stop: Awaitable[object], close: Awaitable[object]) -> None:
    """Stop a client within `STOP_S`, then `close` its connections, whether or not it stopped.

    `stop` runs in a task of its own: with brokers away, aiokafka 0.14.0 lets the CancelledError of
    its own fetch escape from it (`Fetcher.close`), which would look like a cancellation of ours.
    """
    for step in (stop, close):
        task = asyncio.ensure_future(step)
        _, pending = await asyncio.wait([task], timeout=STOP_S)
        if pending:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
