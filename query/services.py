"""State that the handlers share."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Final

from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry

from aggregates.rfm.answer.overview import RfmArrays, RfmView
from aggregates.rfm.first_orders.answer import FirstOrderFits
from aggregates.rfm.value.fit import Fits
from query.api_settings import ApiSettings
from query.as_of import Lags
from query.auth import COOKIE, ApiTokens, Reach, authorise
from query.endpoints.pending_audits import PendingRun
from query.freshness import Freshness
from query.live.watch import Watches
from query.rates import RequestRates
from query.route import Asked
from query.status.stalled import NextOffsets
from stream.exposition import labelled
from stream.log.contract import Log
from stream.metrics import ApiMetrics
from stream.store.contract import Store

FIT_PATIENCE_S: Final = 0.03
"""How long an answer waits for a newer fit of the models before it uses the previous one, which is
at most a minute old."""


class ApiServices:
    """One per application. Set `ready` to False before a shutdown: `/readyz` then answers 503."""

    def __init__(
        self,
        store: Store,
        log: Log,
        settings: ApiSettings,
        clock: Callable[[], int],
        registry: CollectorRegistry,
        instance: str,
    ) -> None:
        self.store, self.log, self.settings, self.clock, self.registry = (
            store,
            log,
            settings,
            clock,
            registry,
        )
        self.instance = instance
        self.arrays = RfmArrays(store)
        self.freshness = Freshness(self.arrays.refresh, settings.patience_s)
        self.fits = Fits(clock, FIT_PATIENCE_S)
        self.first_orders = FirstOrderFits(store, FIT_PATIENCE_S)
        self.lags = Lags(log)
        self.standing = NextOffsets(clock())
        self.tokens = ApiTokens(settings.tokens)
        self.rates = RequestRates(settings.requests_per_s, monotonic)
        self.pending_audits = PendingRun()
        self.watches = Watches(store, log, self.lags, lambda: self.settings, clock)
        """Clients of `GET /v1/events`."""
        self.metrics = ApiMetrics(registry)
        self.store_fault: Callable[[], str | None] = lambda: None
        """Why this process cannot write to the store."""
        self.ready = True
        self.metric_texts: Callable[[], Awaitable[list[bytes]]] = self._own_metrics
        """The metrics of every role that `/metrics` gives; this process's own until it is set."""
        self.openapi: Callable[[], dict[str, Any]] = dict
        """Makes the document when it is first asked for: that takes 25 ms, and few ask."""

    async def _own_metrics(self) -> list[bytes]:
        return [labelled(self.registry, "query", self.instance)]

    async def rfm(self, shop: str) -> RfmView:
        """The shop's customers, as of this call or a little older (`query/freshness.py`). Raises
        BadCells, StoreUnavailable."""
        await self.freshness.fresh(known=self.arrays.ask(shop))
        return self.arrays.view(shop)

    async def run(self, _: web.Application) -> Any:
        """`cleanup_ctx`: keeps cells fresh while the application is up."""
        keeping = asyncio.create_task(self.freshness.keep(self.settings.refresh_s))
        yield
        await self.watches.end()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await self.freshness.settle()


SERVICES = web.AppKey("services", ApiServices)
"""Where `make_app` keeps them: set `app[SERVICES].ready = False` before a shutdown."""


def services_of(asked: Asked) -> ApiServices:
    """The services behind a request."""
    return asked.request.app[SERVICES]


def authorise_request(request: web.Request) -> Reach:
    """What a request may see. Raises Problem 401."""
    return authorise(
        request.app[SERVICES].tokens,
        request.headers.get(hdrs.AUTHORIZATION),
        request.cookies.get(COOKIE),
    )
