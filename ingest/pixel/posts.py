"""`POST /pixel`: appends the browser's half of a checkout, unsigned, to the topic `checkouts`."""

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from http import HTTPStatus

from aiohttp import hdrs, web

from ingest.pixel.post import MAX_BODY_BYTES, PostRefused, read_post
from ingest.pixel.rates import PostRates, sender
from ingest.receiver.ack import Acks, Appends
from ingest.receiver.body import BytesInFlight, Limits, read_body
from ingest.receiver.outcome import CLOSES, STATUS, Outcome
from stream.metrics import ReceiverMetrics

IN_FLIGHT_BYTES = 4 << 20
"""Apart from the webhooks' own: whoever floods this address takes no room from Shopify."""
CORS = {
    hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*",
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "POST, OPTIONS",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Content-Type",
    hdrs.ACCESS_CONTROL_MAX_AGE: "86400",
}


def _anybodys() -> bool:
    """No header says whose a post is, so every body is read."""
    return True


class PixelPosts:
    """The handlers of one receiver process.

    A post can complete a sale that Shopify signed; it can never make or change one, since a record
    of this source is never decoded as a checkout (`processors/shopify/checkouts.py`). Any page may
    post (CORS): a custom pixel runs in a sandbox whose origin is `null`.
    """

    def __init__(
        self,
        *,
        log: Appends,
        shops: Collection[str],
        clock: Callable[[], int],
        limits: Limits,
        metrics: ReceiverMetrics,
        proxies: int = 1,
        rates: PostRates | None = None,
        steady_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shops`: whose posts are taken. `clock`: Unix milliseconds. `proxies`: how many of ours
        stand before the receiver. `steady_s`: seconds from any moment on."""
        self._shops, self._clock, self._metrics = frozenset(shops), clock, metrics
        self._limits = replace(
            limits, max_body_bytes=MAX_BODY_BYTES, max_in_flight_bytes=IN_FLIGHT_BYTES
        )
        self._budget = BytesInFlight(IN_FLIGHT_BYTES)
        self._acks = Acks(log, self._budget, limits.ack_timeout_s)
        self._proxies, self._rates = proxies, rates or PostRates()
        self._steady_s = steady_s

    async def preflight(self, _: web.BaseRequest) -> web.Response:
        """OPTIONS /pixel (Fetch standard, "CORS-preflight fetch")."""
        return web.Response(status=HTTPStatus.NO_CONTENT, headers=CORS)

    async def receive(self, request: web.BaseRequest) -> web.StreamResponse:
        """POST /pixel: 204 once what was kept of it is durable."""
        now_s = self._steady_s()
        address = sender(request.remote, request.headers, self._proxies)
        if not self._rates.address_allowed(address, now_s):
            return self._answer("", Outcome.LIMITED)
        body = await read_body(request, self._limits, self._budget, _anybodys)
        if isinstance(body, Outcome):
            return self._answer("", body)
        charged = len(body)
        try:
            record = read_post(body, self._shops, self._clock())
            label = record.headers["topic"]
            if not self._rates.shop_allowed(record.headers["shop"], now_s):
                return self._answer(label, Outcome.LIMITED)
            durable = self._acks.append(record, charged)
            charged = 0  # the write's to give back from here on
        except PostRefused:
            return self._answer("", Outcome.BROKEN)
        finally:
            self._budget.give(charged)
        return self._answer(label, await durable)

    def _answer(self, label: str, outcome: Outcome) -> web.Response:
        self._metrics.answered("pixel", label, outcome.value)
        accepted = outcome is Outcome.ACCEPTED
        response = web.Response(
            status=HTTPStatus.NO_CONTENT if accepted else STATUS[outcome], headers=CORS
        )
        if outcome in CLOSES:
            response.force_close()
        return response
