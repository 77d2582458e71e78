"""What a job may use beside its own HTTP sessions."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream.log.contract import Log
from stream.record import Record
from stream.store.contract import Store

APPEND_S = 30.0


@dataclass(frozen=True, slots=True)
class Services:
    """Both block, and are for the job's thread."""

    store: Store
    append: Callable[[Sequence[Record]], None]
    """Returns once the records are durable. Raises LogError, or TimeoutError after 30 s."""


def services(store: Store, log: Log) -> Services:
    """Made inside the event loop that the log belongs to."""
    loop = asyncio.get_running_loop()

    def append(records: Sequence[Record]) -> None:
        asyncio.run_coroutine_threadsafe(log.append(records), loop).result(APPEND_S)

    return Services(store, append)
