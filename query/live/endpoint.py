"""`GET /v1/events`: a shop's counters, alerts and newest orders as server-sent events (WHATWG HTML,
"Server-sent events")."""

import contextlib
from typing import Final

import msgspec
from aiohttp import hdrs, web

from query.live.counters import Live
from query.live.orders import Cursor, ahead, newest, parsed, shown, written
from query.live.watch import ShopWatch
from query.route import ApiRoute, Asked
from query.services import ApiServices, services_of
from stream.log.contract import LogError

KEEP_ALIVE_S: Final = 15.0
"""Proxies close what is silent for longer (nginx: 60 s)."""
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
    with services.watches.listening(asked.shop) as watch:
        response = web.StreamResponse(
            headers={hdrs.CONTENT_TYPE: "text/event-stream", "X-Accel-Buffering": "no"}
        )
        await response.prepare(asked.request)
        with contextlib.suppress(ConnectionError):
            await _stream(services, asked, watch, response)
    return response


async def _stream(
    services: ApiServices, asked: Asked, watch: ShopWatch, response: web.StreamResponse
) -> None:
    """Write until the client leaves or the process ends."""
    await response.write(f"retry: {RETRY_MS}\n\n".encode())
    missed = parsed(asked.request.headers.get("Last-Event-ID")) or {}
    place: Cursor | None = None
    shown_live: Live | None = None
    if watch.live is None:  # Its first client: counters come before orders.
        await watch.changed(watch.changes, RETRY_MS / 1000)
    while services.ready:
        events, seen = [], watch.changes
        if watch.live is not None and watch.live != shown_live:
            shown_live = watch.live
            events.append(_event("live", shown_live))
        if place is None:
            with contextlib.suppress(LogError):
                found, place = await newest(services.log, asked.shop, missed)
                events.append(_event("orders", shown(found, missed), written(place)))
        elif orders := shown(watch.placed, place):
            place = ahead(place, watch.reached)
            events.append(_event("orders", orders, written(place)))
        for event in events:
            await response.write(event)
        wait_s = KEEP_ALIVE_S if place is not None else RETRY_MS / 1000
        if not await watch.changed(seen, wait_s):
            await response.write(b": still here\n\n")


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
