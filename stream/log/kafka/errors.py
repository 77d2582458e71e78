"""How Kafka's failures become the log's, and how a client is let go of when its brokers are not
there."""

import asyncio
from collections.abc import Awaitable

from aiokafka.errors import KafkaError

from stream.log.contract import Unavailable

FAILURES = (KafkaError, TimeoutError, OSError)
LET_GO_S = 3.0


def unavailable(what: str, error: BaseException) -> Unavailable:
    """`what` and the reason in one sentence; a TimeoutError has no words of its own."""
    return Unavailable(f"{what}: {error}" if str(error) else f"{what}: {type(error).__name__}")


async def let_go(stop: Awaitable[object], close: Awaitable[object]) -> None:
    """Stop a client, within `LET_GO_S`, then `close` its connections, whatever came of that.

    In a task of its own, for aiokafka's `stop` lets the CancelledError of its own fetch escape when
    brokers are away (0.14.0, `Fetcher.close`), which would look like ours.
    """
    for step in (stop, close):
        task = asyncio.ensure_future(step)
        _, pending = await asyncio.wait([task], timeout=LET_GO_S)
        if pending:
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
