"""The API as an aiohttp application: authorises, reads parameters, answers; every failure is
problem+json (docs/api.md, "Errors")."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, partial
from time import perf_counter
from typing import Any, Final

import structlog
from aiohttp import hdrs, web
from prometheus_client import CollectorRegistry

from aggregates.bad_cells import BadCells
from aggregates.bad_parameter import BadParameter
from query.api_settings import ApiSettings, ShopAnswerSettings
from query.auth import ApiTokens, Reach, check_host, check_origin
from query.csv_lists import csv_response, list_of, wants_csv
from query.dashboard.page import add_dashboard
from query.endpoints.table import ROUTES
from query.etag import json_response
from query.openapi import document
from query.parameters import read_all
from query.problem import Problem, bad_parameter
from query.route import ApiRoute, Asked
from query.services import SERVICES, ApiServices, authorise_request
from stream.log.contract import Log, LogError
from stream.store.contract import Store, StoreError, Unstorable

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]
MAX_BODY: Final = 1 << 20
RETRY_AFTER_S: Final = 5
HEADERS: Final[Mapping[str, str]] = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""No answer is cached, framed or sniffed."""
ROUTE: Final = web.RequestKey("route", str)
log = structlog.get_logger()


def make_app(
    *,
    store: Store,
    log: Log,
    settings: ApiSettings,
    clock: Callable[[], int],
    registry: CollectorRegistry,
    instance: str | None = None,
    more: Sequence[ApiRoute] = (),
) -> web.Application:
    """The API. `clock`: Unix milliseconds; `instance` names this process in `roles`; `more` adds
    routes, or replaces one of the same path.

    The caller closes `store` and `log` after the application's clean-up, and calls
    `query.auth.check_bind` before it listens: without a token the API belongs on loopback.
    """
    services = ApiServices(store, log, settings, clock, registry, instance or str(os.getpid()))
    tokens = services.tokens
    replaced = {(route.method, route.path) for route in more}
    routes = [*more, *(route for route in ROUTES if (route.method, route.path) not in replaced)]
    services.openapi = cache(partial(document, routes, settings.version, secured=bool(tokens)))
    app = web.Application(
        middlewares=[_guard(settings, services, tokens)],
        client_max_size=MAX_BODY,
        handler_args={"access_log": None},
    )
    app[SERVICES] = services
    for route in routes:
        handle = _handler(route, services)
        if route.method == "GET":
            app.router.add_get(
                route.path, handle
            )  # HEAD, too, as RFC 9110 9.1 wants of every server
        else:
            app.router.add_post(route.path, handle)
    add_dashboard(app)
    app.cleanup_ctx.append(services.run)
    app.on_response_prepare.append(_headers)
    app.on_shutdown.append(_unready)
    return app


def _handler(route: ApiRoute, services: ApiServices) -> Handle:
    listed = list_of(route)

    async def handle(request: web.Request) -> web.StreamResponse:
        settings = services.settings  # they may be replaced while the application is up
        request[ROUTE] = route.path
        reach = Reach() if route.scope == "open" else authorise_request(request)
        services.rates.take(reach.token)
        if route.scope == "installation" and reach.shops is not None:
            raise Problem(
                403,
                "not-allowed",
                "this token reaches some shops only",
                "ask with a token for all shops",
            )
        named = route.scope in ("shop", "status")
        query = [pair for pair in request.query.items() if not (named and pair[0] == "shop")]
        values = read_all(route.parameters, query, request.match_info)
        shop = (
            _shop(request.query.getall("shop", []), settings, reach, needed=route.scope == "shop")
            if named
            else ""
        )
        if route.scope == "status":
            values["shop"] = request.query.get("shop")
        asked = Asked(
            request,
            reach,
            values,
            shop,
            settings.shops.get(shop, ShopAnswerSettings()),
            services.clock(),
        )
        if listed is not None and wants_csv(request.headers.get(hdrs.ACCEPT, "")):
            answer = await csv_response(asked, listed, route.handler)
        else:
            answer = await route.handler(asked)
        if isinstance(answer, web.StreamResponse):
            return answer
        return json_response(request, answer)

    return handle


def _shop(named: Sequence[str], settings: ApiSettings, reach: Reach, *, needed: bool) -> str:
    """The shop of the request; "" if none is needed. Raises Problem."""
    if len(named) == 1:  # The usual case without a look at all shops: an agency has many.
        shop = named[0].strip().lower()
        if shop in settings.shops and reach.includes(shop):
            return shop
    within = sorted(shop for shop in settings.shops if reach.includes(shop))
    if len(named) > 1:
        raise bad_parameter("shop", "shop is given twice", within)
    if named:
        shop = named[0].strip().lower()
        if not reach.includes(shop):
            raise Problem(
                403,
                "not-allowed",
                "this token does not reach that shop",
                "ask about a shop that the token is for",
                allowed=within,
            )
        step = (
            f"configured: {', '.join(within)}"
            if within
            else "set SHOPIFY_SHOP and SHOPIFY_WEBHOOK_SECRET"
        )
        raise Problem(
            404,
            "unknown-shop",
            "no shop of that name is configured",
            step,
            parameter="shop",
            allowed=within,
        )
    if len(within) == 1:
        return within[0]
    if not needed:
        return ""
    if not within:
        raise Problem(
            404,
            "unknown-shop",
            "no shop is configured",
            "set SHOPIFY_SHOP and SHOPIFY_WEBHOOK_SECRET, then see `orderwire doctor`",
        )
    raise Problem(
        400,
        "which-shop",
        "several shops are configured: say which",
        f"add ?shop={within[0]}",
        parameter="shop",
        allowed=within,
    )


def _guard(settings: ApiSettings, services: ApiServices, tokens: ApiTokens) -> Any:
    """The outermost middleware: allowed origins, errors to answers, request metrics."""

    @web.middleware
    async def guard(request: web.Request, handler: Handle) -> web.StreamResponse:
        began = perf_counter()
        try:
            if not tokens:
                check_host(request.host, settings.hosts)
            if request.method not in ("GET", "HEAD", "OPTIONS"):
                check_origin(request.headers.get(hdrs.ORIGIN), request.host)
            response = await handler(request)
        except Exception as error:
            response = _problem(error, request).response(request.path)
        services.metrics.answered(request.get(ROUTE, ""), response.status, perf_counter() - began)
        return response

    return guard


def _problem(error: Exception, request: web.Request) -> Problem:
    """Maps errors to answers."""
    match error:
        case Problem():
            return error
        case BadParameter():
            return bad_parameter(error.name, str(error), error.allowed)
        case web.HTTPMethodNotAllowed():
            allowed = sorted(error.allowed_methods)
            headers = {hdrs.ALLOW: ", ".join(allowed)}
            return Problem(
                405,
                "method-not-allowed",
                f"{request.method} is not for this path",
                f"use {', '.join(allowed)}",
                headers=headers,
            )
        case web.HTTPRequestEntityTooLarge():
            return Problem(
                413, "too-large", f"the body is longer than {MAX_BODY} bytes", "send less at once"
            )
        case web.HTTPNotFound():
            return Problem(404, "not-found", "there is nothing at this path", "see /docs")
        case BadCells() | Unstorable():
            log.error("numbers out of range", route=request.get(ROUTE, ""), error=str(error))
            return Problem(
                500,
                "out-of-range",
                f"this shop's answer cannot be counted: {error}",
                "run `orderwire rebuild all --shop` with this shop; `orderwire status` names what"
                " was parked",
            )
        case StoreError() | LogError():
            log.warning("question not answered", route=request.get(ROUTE, ""), error=str(error))
            headers = {hdrs.RETRY_AFTER: str(RETRY_AFTER_S)}
            return Problem(
                503,
                "store-unavailable",
                "the database does not answer now",
                "ask again; see /readyz",
                headers=headers,
            )
        case _:
            log.error("question failed", route=request.get(ROUTE, ""), exc_info=error)
            return Problem(
                500, "internal", "this is our mistake", "see the query role's log, and report it"
            )


async def _headers(_: web.Request, response: web.StreamResponse) -> None:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)


async def _unready(app: web.Application) -> None:
    app[SERVICES].ready = False
    await app[SERVICES].watches.end()
