"""Every job there is, one line each. A job's code is loaded where some shop has the job."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orderwire.serve.audits import job as audits
from orderwire.serve.schedule.job import Job
from orderwire.settings.program import Settings
from stream.log.contract import Log
from stream.record import Record
from stream.store.contract import Store

APPEND_S = 30.0


@dataclass(frozen=True, slots=True)
class Services:
    """What a job may use beside its own HTTP sessions. Both block, and are for the job's thread."""

    store: Store
    append: Callable[[Sequence[Record]], None]
    """Returns once the records are durable. Raises LogError, or TimeoutError after 30 s."""


def services(store: Store, log: Log) -> Services:
    """Made inside the event loop that the log belongs to."""
    loop = asyncio.get_running_loop()

    def append(records: Sequence[Record]) -> None:
        asyncio.run_coroutine_threadsafe(log.append(records), loop).result(APPEND_S)

    return Services(store, append)


def _refetch(settings: Settings, services: Services) -> Job | None:
    if not any(shop.has_admin_api for shop in settings.shops.values()):
        return None
    from orderwire.serve.refetch import refetch_job

    return refetch_job(settings, services)


# One line per job: makes it, or says None where no shop has it.
_MAKE: tuple[Callable[[Settings, Services], Job | None], ...] = (
    _refetch,
    lambda settings, services: audits.make(settings, services.store),
)


def jobs(settings: Settings, services: Services) -> list[Job]:
    """Those that some shop of these settings has."""
    return [job for make in _MAKE if (job := make(settings, services)) is not None]
