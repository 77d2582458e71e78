"""Maps Kafka's errors to the log's, and stops a client even if its brokers are unreachable."""

import asyncio
from collections.abc import Awaitable

from aiokafka.errors import KafkaError

from stream.log.contract import Unavailable

FAILURES = (KafkaError, TimeoutError, OSError)
STOP_S = 3.0


def unavailable(what: str, error: BaseException) -> Unavailable:
    """`what` and the reason in one sentence; a TimeoutError has no words of its own."""
    return Unavailable(f"{what}: {error}" if str(error) else f"{what}: {type(error).__name__}")


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
