"""`GET /v1/events`: a shop's counters, alerts and newest orders as server-sent events (WHATWG HTML,
"Server-sent events")."""

import asyncio
import contextlib
from typing import Final

import msgspec
from aiohttp import hdrs, web

from query.as_of import lag_records
from query.live.counters import Live, read_live
from query.live.orders import newest, parsed, written
from query.problem import Problem
from query.route import ApiRoute, Asked
from query.services import ApiServices, services_of
from stream.log.contract import LogError
from stream.store.contract import StoreError

LOOK_S: Final = 0.5
KEEP_ALIVE_S: Final = 15.0
"""Proxies close what is silent for longer (nginx: 60 s)."""
MOST: Final = 200
"""Streams at one process."""
RETRY_MS: Final = 2_000

_encoder = msgspec.json.Encoder()


async def events(asked: Asked) -> web.StreamResponse:
    """GET /v1/events.

    | event | data | when |
    |---|---|---|
    | `live` | counters and alerts | at the start, and whenever one of them has changed |
    | `orders` | the newest orders, oldest first | at the start, and when new ones arrived |

    The id of `orders` is a place in the log: a client that reconnects with `Last-Event-ID` gets
    what arrived meanwhile.
    """
    services = services_of(asked)
    if services.streams >= MOST:
        raise Problem(
            503,
            "too-many-streams",
            f"{MOST} clients listen already",
            "close some pages, or ask again later",
            headers={"Retry-After": "30"},
        )
    response = web.StreamResponse(
        headers={hdrs.CONTENT_TYPE: "text/event-stream", "X-Accel-Buffering": "no"}
    )
    services.streams += 1
    try:
        await response.prepare(asked.request)
        with contextlib.suppress(ConnectionError):
            await _stream(services, asked, response)
    finally:
        services.streams -= 1
    return response


async def _stream(services: ApiServices, asked: Asked, response: web.StreamResponse) -> None:
    """Write until the client leaves or the process ends."""
    await response.write(f"retry: {RETRY_MS}\n\n".encode())
    cursor = parsed(asked.request.headers.get("Last-Event-ID"))
    shown: Live | None = None
    silent_s = 0.0
    while services.ready:
        wrote = False
        # What does not answer now is asked again at the next look; /readyz reports it.
        with contextlib.suppress(LogError, StoreError):
            live = await _live(services, asked)
            if live != shown:
                await response.write(_event("live", live))
                shown, wrote = live, True
        with contextlib.suppress(LogError):
            first = cursor is None
            orders, reached = await newest(services.log, asked.shop, cursor)
            if orders or first:
                await response.write(_event("orders", orders, written(reached)))
                wrote = True
            cursor = reached
        silent_s = 0.0 if wrote else silent_s + LOOK_S
        if silent_s >= KEEP_ALIVE_S:
            await response.write(b": still here\n\n")
            silent_s = 0.0
        await asyncio.sleep(LOOK_S)


async def _live(services: ApiServices, asked: Asked) -> Live:
    feeds = services.settings.processors
    spans = await services.lags.spans({feed.topic for feed in feeds})

    def read() -> Live:
        with services.store.snapshot() as snapshot:
            behind = lag_records(feeds, snapshot.positions(), spans)
            return read_live(
                snapshot,
                asked.shop,
                asked.settings.accounts,
                behind,
                services.clock(),
                services.settings.role_silent_ms,
            )

    return await asyncio.to_thread(read)


def _event(name: str, data: object, event_id: str = "") -> bytes:
    head = f"event: {name}\n" + (f"id: {event_id}\n" if event_id else "")
    return head.encode() + b"data: " + _encoder.encode(data) + b"\n\n"


EVENTS: Final = ApiRoute(
    "GET",
    "/v1/events",
    "Counters, alerts and newest orders as server-sent events, without end",
    events,
    media_types=("text/event-stream",),
)
