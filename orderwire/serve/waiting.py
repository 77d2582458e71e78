"""Waits that end when a role is asked to stop, and retries."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import stamina

T = TypeVar("T")


async def unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None, with `work` cancelled, if `stop` is set first."""
    task = asyncio.create_task(work)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        stopped.cancel()


def again(every_s: float, at_most_s: float | None = None) -> stamina.AsyncRetryingCaller:
    """Calls until no error comes: soon at first, then every `every_s` seconds."""
    return stamina.AsyncRetryingCaller(
        attempts=None,
        timeout=at_most_s,
        wait_initial=every_s / 8,
        wait_max=every_s,
        wait_jitter=every_s / 8,
    )
