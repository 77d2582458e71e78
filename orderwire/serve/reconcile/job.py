"""The job `reconcile`: every hour finds what webhooks missed, and reads the orders of today and
yesterday for their statements."""

from time import time
from typing import Final

from orderwire.serve.reconcile.reconciling import Reconciling
from orderwire.serve.reconcile.statement_day import days_to_read, read_day
from orderwire.serve.schedule.job import Done, Job, Turn
from orderwire.serve.schedule.services import Services
from orderwire.serve.shops.admin import admin_client
from orderwire.settings.program import Settings

NAME: Final = "reconcile"
EVERY_S: Final = 3_600.0


def reconcile_job(settings: Settings, services: Services) -> Job:
    """The job, of the shops whose Admin API may be asked."""
    shops = {name: shop for name, shop in settings.shops.items() if shop.has_admin_api}

    def run(turn: Turn) -> Done:
        shop = shops[turn.shop]
        client = admin_client(shop, services.store)
        try:
            work = Reconciling(client, services.store, turn.shop, services.append, turn.stop)
            found = work.run(work.since_last())
            for day in days_to_read(time(), shop.zone):
                read_day(client, services.store, turn.shop, day, shop.zone)
        finally:
            client.close()
        return Done(f"{found.seen} orders looked at, {len(found.missed)} missed by webhook")

    return Job(NAME, EVERY_S, run, frozenset(shops))
