"""The registry of jobs, one line each. A job's code is loaded only if some shop has the job."""

from collections.abc import Callable

from orderwire.serve.audits import job as audits
from orderwire.serve.schedule.job import Job
from orderwire.serve.schedule.services import Services
from orderwire.settings.program import Settings


def _spend(settings: Settings, services: Services) -> Job | None:
    if not any(shop.meta.ad_account_id for shop in settings.shops.values()):
        return None
    from orderwire.serve.schedule.spend import job

    return job(settings, services)


def _watchdog(settings: Settings, services: Services) -> Job | None:
    if not any(shop.has_admin_api for shop in settings.shops.values()):
        return None
    from orderwire.serve.jobs.watchdog import watchdog_job

    return watchdog_job(settings, services)


def _refetch(settings: Settings, services: Services) -> Job | None:
    if not any(shop.has_admin_api for shop in settings.shops.values()):
        return None
    from orderwire.serve.jobs.refetch import refetch_job

    return refetch_job(settings, services)


def _reconcile(settings: Settings, services: Services) -> Job | None:
    if not any(shop.has_admin_api for shop in settings.shops.values()):
        return None
    from orderwire.serve.reconcile.job import reconcile_job

    return reconcile_job(settings, services)


# One line per job: makes it, or says None where no shop has it.
_MAKE: tuple[Callable[[Settings, Services], Job | None], ...] = (
    _refetch,
    _reconcile,
    _watchdog,
    lambda settings, services: audits.make(settings, services.store),
    _spend,
)


def jobs(settings: Settings, services: Services) -> list[Job]:
    """Those that some shop of these settings has."""
    return [job for make in _MAKE if (job := make(settings, services)) is not None]
