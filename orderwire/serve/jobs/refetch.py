"""The job `refetch`: fetches orders that Shopify Events named without their data, and appends
them to the topic `orders`. The fold of a fetched order deletes its row
(`processors/orders/refetch.py`)."""

from collections.abc import Callable
from time import time_ns
from typing import Final

import structlog

from ingest.shopify.admin.client import AdminClient, QueryRefused
from ingest.shopify.admin.refetch import Refetch
from orderwire.serve.schedule.job import Done, Job, Turn
from orderwire.serve.schedule.services import Services
from orderwire.serve.shops.admin import admin_client
from orderwire.settings.program import Settings
from processors.orders.refetch import REFETCH, RefetchRow
from stream.store.contract import Reading

NAME: Final = "refetch"
EVERY_S: Final = 30.0
AT_A_TIME: Final = 50
PATIENCE_S: Final = 8.0
"""A turn that fails is tried again by the schedule, and does not delay a stop."""
PAUSES_MS: Final = (600_000, 3_600_000, 6 * 3_600_000, 24 * 3_600_000)
"""Before an order is fetched again that is still not whole; the last one repeats."""
log = structlog.get_logger()


def refetch_job(settings: Settings, services: Services) -> Job:
    """The job, of the shops whose Admin API may be asked."""
    shops = {name: shop for name, shop in settings.shops.items() if shop.has_admin_api}
    refetching = Refetching(
        services, lambda name: admin_client(shops[name], services.store, patience_s=PATIENCE_S)
    )
    return Job(NAME, EVERY_S, refetching.run, frozenset(shops), waiting=_waiting)


def _waiting(reading: Reading, now_ms: int) -> set[str]:
    """Shops with orders to fetch now."""
    rows = reading.query("SELECT DISTINCT shop FROM order_refetch WHERE due_ms <= :now", now=now_ms)
    return {row.shop for row in rows}


class Refetching:
    """Runs the job. `client` makes a shop's client of the Admin API."""

    def __init__(
        self,
        services: Services,
        client: Callable[[str], AdminClient],
        clock_ms: Callable[[], int] = lambda: time_ns() // 1_000_000,
    ) -> None:
        self._services, self._client, self._clock_ms = services, client, clock_ms

    def run(self, turn: Turn) -> Done:
        """Fetch what is due. Raises AdminError where the shop's Admin API gives nothing."""
        rows = self._due(turn)
        if not rows:
            return Done()
        client, fetched = self._client(turn.shop), 0
        try:
            refetch = Refetch(turn.shop, client, self._clock_ms)
            for row in rows:
                if turn.stop.is_set():
                    break
                fetched += self._fetch(refetch, row)
        finally:
            client.close()
        without = ", ".join(sorted(refetch.without))
        note = f"{fetched} fetched" + (f", without fields that need {without}" if without else "")
        return Done(note, next_in_s=0.0 if len(rows) == AT_A_TIME else None)

    def _fetch(self, refetch: Refetch, row: RefetchRow) -> bool:
        try:
            record = refetch.record(row.gid, row.triggered)
        except QueryRefused as refused:
            log.warning("order_not_fetched", shop=row.shop, reason=str(refused))
            self._later(row)
            return False
        if record is None:
            # Deleted, or older than the 60 days that the app may read.
            log.warning("order_not_there", shop=row.shop, gid=row.gid)
            self._forget(row)
            return False
        self._services.append([record])
        self._later(row)
        return True

    def _due(self, turn: Turn) -> list[RefetchRow]:
        with self._services.store.snapshot() as snapshot:
            found = snapshot.query(
                f"SELECT {', '.join(RefetchRow._fields)} FROM order_refetch"
                " WHERE shop = :shop AND due_ms <= :now ORDER BY due_ms, gid LIMIT :most",
                shop=turn.shop,
                now=self._clock_ms(),
                most=AT_A_TIME,
            )
        return [RefetchRow(*row) for row in found]

    def _later(self, row: RefetchRow) -> None:
        """Not again before a pause, where nothing newer has come that lacks something."""
        pause_ms = PAUSES_MS[min(row.tries, len(PAUSES_MS) - 1)]
        with self._services.store.begin() as transaction:
            (now,) = transaction.load(REFETCH, [(row.shop, row.gid)]).values() or (None,)
            if now is not None and now.triggered == row.triggered:
                due_ms = self._clock_ms() + pause_ms
                transaction.save(REFETCH, [now._replace(due_ms=due_ms, tries=row.tries + 1)])

    def _forget(self, row: RefetchRow) -> None:
        with self._services.store.begin() as transaction:
            found = transaction.load(REFETCH, [(row.shop, row.gid)])
            if any(now.triggered == row.triggered for now in found.values()):
                transaction.delete(REFETCH, list(found))
