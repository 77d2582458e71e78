"""The API over real HTTP for tests: an empty log of its own, a store given, a clock that stands
still."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from aggregates.rfm.answer.overview import RfmSettings
from destinations.delivery.answer import ShownAccount
from destinations.registry import KINDS
from processors.orders.processor import OrdersProcessor
from processors.shopify.orders import OrderEvent
from query.api_settings import ApiSettings, ShopAnswerSettings
from query.app import make_app
from query.route import ApiRoute
from stream.log.contract import Log
from stream.store.contract import Store
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, SHOP
from tests.support.shops.folding import rfm_orders

Json = dict[str, Any]
ON_ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For what no database can change."""
TODAY = DAY0 + 31
NOW_MS = TODAY * 86_400_000 + 12 * 3_600_000
META = ShownAccount(SHOP, "meta", KINDS["meta"], "1234567890", 7 * 86_400)
EAGER = ShopAnswerSettings(rfm=RfmSettings(refit_s=0.0), accounts=(META,))
SETTINGS = ApiSettings(shops={SHOP: EAGER}, patience_s=60.0)


@dataclass
class Api:
    """A running API."""

    client: TestClient[web.Request, web.Application]
    token: str = ""

    async def answer(
        self,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        status: int = 200,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        """The JSON answer, its status checked."""
        sent = {
            **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
            **(headers or {}),
        }
        async with self.client.request(method, path, params=query, headers=sent) as response:
            found = await response.json(content_type=None)
            assert response.status == status, found
            assert response.content_type == (
                "application/json"
                if status < 400 or path == "/readyz"
                else "application/problem+json"
            )
            assert isinstance(found, dict)
            return found


@asynccontextmanager
async def serving(
    store: Store,
    log: Log,
    settings: ApiSettings = SETTINGS,
    *,
    now_ms: int = NOW_MS,
    clock: Callable[[], int] | None = None,
    token: str = "",
    more: Sequence[ApiRoute] = (),
    **changes: Any,
) -> AsyncIterator[Api]:
    """The API on a port of this machine. `clock` where time is to pass, Unix milliseconds."""
    app = make_app(
        store=store,
        log=log,
        settings=replace(settings, **changes),
        clock=clock or (lambda: now_ms),
        registry=CollectorRegistry(),
        instance="me",
        more=more,
    )
    async with TestClient(TestServer(app)) as client:
        yield Api(client, token)


def fold(
    store: SqlStore,
    batches: Sequence[Sequence[OrderEvent]],
    day: int = TODAY,
    processor: OrdersProcessor | None = None,
) -> OrdersProcessor:
    """Orders through the RFM fold, as the runner would do it, `day` being today."""
    processor = processor or rfm_orders({})
    now_ms = day * 86_400_000 + 12 * 3_600_000
    for batch in batches:
        with store.begin() as transaction:
            processor.apply(transaction, batch, now_ms)
    with store.begin() as transaction:
        processor.tick(transaction, now_ms)
    return processor
