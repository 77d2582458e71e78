"""All routes of the API in one table; router and OpenAPI document are made from it."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from aiohttp import hdrs, web

from aggregates.question import Answer, Question
from processors.checkouts.state import KEPT_MS
from processors.engine.feed import Feed, feed_of
from query.as_of import AsOf, as_of, today, zone_of
from query.endpoints.audits import AUDITS
from query.endpoints.counting import counting_since
from query.endpoints.customers import FROM_MEMORY
from query.endpoints.destinations import DESTINATIONS, RETRIES
from query.endpoints.destinations import feeds as destination_feeds
from query.endpoints.orders import ORDERS
from query.endpoints.questions import answers
from query.endpoints.statement_endpoint import STATEMENT
from query.envelope import answered
from query.live.endpoint import EVENTS
from query.openapi import docs_page
from query.route import ApiRoute, Asked
from query.services import services_of
from query.status.alarms import read_alarms
from query.status.answer import (
    Role,
    processors_status,
    read_parked,
    read_roles,
    status_answer,
    stopped,
)
from query.status.deliveries import read_deliveries
from query.status.jobs import read_jobs
from query.status.missed import read_missed
from query.status.projections import read_projections
from query.status.readiness import readiness
from query.status.refetch import read_refetch
from query.status.schema import (
    AlarmStatus,
    DeliveryStatus,
    Health,
    JobStatus,
    MissedStatus,
    ProjectionStatus,
    Readiness,
    RefetchStatus,
    StatementStatus,
    Status,
    StoppedShopStatus,
)
from query.status.statements import read_statements
from query.status.stopped_shops import read_stopped_shops
from stream.exposition import CONTENT_TYPE, merged
from stream.store.contract import Position, Reading

Json = dict[str, Any]
PARKED: Final = Feed("parked", "parked")
CHECKOUTS_KEPT_DAYS: Final = KEPT_MS // 86_400_000


def _day(reading: Reading, asked: Asked) -> int:
    """Today in the shop that is asked about."""
    return today(asked.now_ms, zone_of(reading, asked.shop, asked.settings.zone))


async def _answer(
    answer: Callable[[Question], msgspec.Struct], feeds: tuple[Feed, ...], asked: Asked
) -> Json:
    services = services_of(asked)
    spans = await services.lags.spans({feed.topic for feed in feeds})

    def read() -> tuple[msgspec.Struct, AsOf]:
        with services.store.snapshot() as snapshot:
            positions, day = snapshot.positions(), _day(snapshot, asked)
            since = counting_since(snapshot, asked.shop)
            found = answer(
                Question(snapshot, asked.shop, asked.now_ms, day, asked.values, asked.settings)
            )
        kept_days = CHECKOUTS_KEPT_DAYS if "checkouts" in {feed.topic for feed in feeds} else None
        window_days = asked.values.get("days") or kept_days
        return found, as_of(
            asked.now_ms, day, feeds, positions, spans, since=since, window_days=window_days
        )

    members, rests_on = await asyncio.to_thread(read)
    return answered(asked.shop, rests_on, members)


def _route(answer: Answer, feeds: tuple[Feed, ...]) -> ApiRoute:
    """The route of an answer that a manifest declares."""
    handler = FROM_MEMORY.get(answer.path)
    if answer.answer is not None:
        handler = partial(_answer, answer.answer, feeds)
    if handler is None:
        raise KeyError(f"{answer.path} has neither a function nor a handler")
    return ApiRoute(
        "GET",
        answer.path,
        answer.summary,
        handler,
        parameters=answer.parameters,
        answer=answer.schema,
        media_types=answer.media_types,
    )


async def status(asked: Asked) -> Json:
    """GET /v1/status, of the installation; parked records of the shop, or of all shops within
    reach."""
    services, settings = services_of(asked), services_of(asked).settings
    shops = {asked.shop} if asked.values["shop"] else asked.reach.shops

    zones = {domain: shop.zone for domain, shop in settings.shops.items()}

    def read() -> tuple[
        list[Role],
        list[Position],
        dict[str, int],
        list[StoppedShopStatus],
        list[ProjectionStatus],
        list[JobStatus],
        list[RefetchStatus],
        list[DeliveryStatus],
        list[MissedStatus],
        list[StatementStatus],
        list[AlarmStatus],
        int,
    ]:
        with services.store.snapshot() as snapshot:
            roles = read_roles(snapshot, asked.now_ms, settings.role_silent_ms)
            return (
                roles,
                snapshot.positions(),
                read_parked(snapshot, shops),
                read_stopped_shops(snapshot, roles, shops),
                read_projections(snapshot, shops),
                read_jobs(snapshot, shops, asked.now_ms),
                read_refetch(snapshot, shops),
                read_deliveries(snapshot, shops, zones, asked.now_ms),
                read_missed(snapshot, shops, asked.now_ms),
                read_statements(snapshot, shops, _day(snapshot, asked)),
                read_alarms(snapshot, shops, asked.now_ms),
                _day(snapshot, asked),
            )

    known = dict.fromkeys(
        (
            *(feed for _, feeds in answers() for feed in feeds),
            *destination_feeds(asked.settings),
            PARKED,
            *settings.processors,
        )
    )
    spans = await services.lags.spans({feed.topic for feed in known})
    (
        roles,
        positions,
        parked,
        stopped_shops,
        projections,
        jobs,
        refetch,
        deliveries,
        missed,
        statements,
        alarms,
        day,
    ) = await asyncio.to_thread(read)
    feeds = [
        *known,
        *dict.fromkeys(feed for position in positions if (feed := feed_of(position)) not in known),
    ]
    further = {feed.topic for feed in feeds} - set(spans)
    spans |= await services.lags.spans(further) if further else {}
    processors = await processors_status(
        services.log, feeds, positions, spans, stopped(roles), asked.now_ms
    )
    return answered(
        asked.shop or None,
        as_of(asked.now_ms, day, feeds, positions, spans),
        status_answer(
            settings,
            services.store.dialect,
            roles,
            processors,
            parked,
            stopped_shops,
            projections,
            jobs,
            refetch,
            deliveries,
            missed,
            statements,
            alarms,
        ),
    )


async def metrics(asked: Asked) -> web.Response:
    """GET /metrics: of every role of this `serve`."""
    texts = await services_of(asked).metric_texts()
    return web.Response(body=merged(texts), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})


async def healthz(_: Asked) -> Health:
    """GET /healthz: 200 while the process answers."""
    return Health(ok=True)


async def readyz(asked: Asked) -> web.Response:
    """GET /readyz: 503 with reasons if answers would be incomplete or have stopped moving."""
    found = await readiness(services_of(asked), asked.now_ms)
    return web.Response(
        body=msgspec.json.encode(found),
        status=200 if found.ready else 503,
        content_type="application/json",
    )


async def openapi(asked: Asked) -> web.Response:
    """GET /openapi.json."""
    return web.json_response(services_of(asked).openapi())


async def docs(asked: Asked) -> web.Response:
    """GET /docs."""
    return docs_page(services_of(asked).openapi())


HTML: Final = ("text/html",)

ROUTES: Final[tuple[ApiRoute, ...]] = (
    *(_route(each, feeds) for each, feeds in answers()),
    *AUDITS,
    EVENTS,
    *DESTINATIONS,
    *RETRIES,
    STATEMENT,
    ORDERS,
    ApiRoute(
        "GET",
        "/v1/status",
        "Roles, positions and lag per processor, spool, parked records",
        status,
        "status",
        answer=Status,
    ),
    ApiRoute(
        "GET",
        "/metrics",
        "Prometheus metrics of every role",
        metrics,
        "installation",
        media_types=("text/plain",),
    ),
    ApiRoute("GET", "/healthz", "Whether this process answers", healthz, "open", answer=Health),
    ApiRoute(
        "GET",
        "/readyz",
        "Whether answers are complete and go on; 503 with reasons otherwise",
        readyz,
        "open",
        answer=Readiness,
        statuses=(200, 503),
    ),
    ApiRoute("GET", "/openapi.json", "This document", openapi, "open"),
    ApiRoute("GET", "/docs", "This document, to read", docs, "open", media_types=HTML),
)
