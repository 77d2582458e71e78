"""The receiver: size limit, signature, identification, append, 200 (docs/architecture.md, "Two
listeners"). A 200 means that the delivery is durable; every answer is sent within 5 s."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from time import perf_counter, time_ns

import structlog
from aiohttp import hdrs, web

from ingest.meta import webhooks as meta_webhooks
from ingest.meta.webhooks import MetaApp
from ingest.pixel.posts import PixelPosts
from ingest.receiver.accepted import Accepted
from ingest.receiver.ack import Acks, Appends
from ingest.receiver.body import BytesInFlight, Limits, read_body
from ingest.receiver.connections import BoundedServer, ConnectionLimits
from ingest.receiver.delivery import Delivery, Identify
from ingest.receiver.outcome import CLOSES, STATUS, Outcome
from ingest.receiver.tally import Tally
from ingest.shopify import webhooks as shopify
from stream.metrics import ReceiverMetrics
from stream.rate_limit import RateLimit
from stream.tracing import Tracer

_log = structlog.get_logger(__name__)
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Receiver:
    """The request handlers and their shared state. Set `ready` to False before a shutdown:
    `/healthz` then answers 503, so that a load balancer stops sending, and every answer is the last
    one of its connection."""

    def __init__(
        self,
        *,
        log: Appends,
        shops: Mapping[str, Sequence[bytes]],
        meta: Sequence[MetaApp],
        clock: Callable[[], int],
        limits: Limits,
        metrics: ReceiverMetrics,
        connections: ConnectionLimits = ConnectionLimits(),  # noqa: B008 - frozen
        pixel: PixelPosts | None = None,
        tally: Tally | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """`shops`: domain to webhook secrets, newest first. `clock`: Unix milliseconds. The caller
        closes `log`, after the server's clean-up. Raises ValueError for a shop without a secret."""
        self.ready = True
        self.take_from(shops, meta, pixel)
        self._clock = clock
        self.tracer = tracer
        """Records what was received; it may be set later."""
        self._accepted = Accepted(clock)
        self._limits, self._connections = limits, connections
        self._metrics = metrics
        self._in_flight = BytesInFlight(limits.max_in_flight_bytes)
        self._acks = Acks(log, self._in_flight, limits.ack_timeout_s)
        self._warnings = RateLimit(time.monotonic)
        metrics.watch_in_flight(lambda: self._in_flight.used)
        self._tally = tally or Tally()
        metrics.watch_last_deliveries(lambda: self._tally.last_ms)

    @property
    def refusing(self) -> str | None:
        """Why the log took no delivery when it was asked last."""
        return self._acks.refusing

    def take_from(
        self,
        shops: Mapping[str, Sequence[bytes]],
        meta: Sequence[MetaApp],
        pixel: PixelPosts | None,
    ) -> None:
        """Take deliveries of these shops, from the next one on. Raises ValueError, and then nothing
        has changed."""
        identify = shopify.identifier(shops)
        self._meta_apps, self._pixel = tuple(meta), pixel
        self._shops = frozenset(shop.lower() for shop in shops)
        self._hashes = shopify.most_secrets(shops)
        self._handlers = self._addresses(identify)

    def server(self) -> BoundedServer:
        """For `web.ServerRunner`, within a running loop.

        aiohttp's low-level server (aiohttp docs, "Low Level Server"): an application's router takes
        8 us per delivery, a tenth of the total, to find one of four addresses.
        """
        return BoundedServer(
            self.answer,
            self._connections,
            self._metrics,
            access_log=None,  # Meta's handshake has its token in the URL
            auto_decompress=False,  # a compressed body is refused, never unpacked
            handler_cancellation=False,
            lingering_time=self._limits.read_timeout_s,
        )

    def answer(self, request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        """The answer to any request."""
        answer = self._handlers.get((request.method, request.path), self._nowhere)(request)
        return answer if self.ready else _last(answer)

    def _addresses(self, identify_shopify: Identify) -> Mapping[tuple[str, str], Handler]:
        """Handlers by method and path; Meta's only if a Meta app is configured."""
        addresses: dict[tuple[str, str], Handler] = {
            ("POST", "/webhooks/shopify"): partial(
                self._receive, "shopify", identify_shopify, self._may_be_a_shops
            ),
            ("GET", "/healthz"): self.healthz,
            ("HEAD", "/healthz"): self.healthz,
        }
        if self._meta_apps:
            addresses["POST", "/webhooks/meta"] = partial(
                self._receive,
                "meta",
                meta_webhooks.identifier(self._meta_apps),
                meta_webhooks.has_signature,
            )
            addresses["GET", "/webhooks/meta"] = self.meta_handshake
        if self._pixel is not None:
            addresses["POST", "/pixel"] = self._pixel.receive
            addresses["OPTIONS", "/pixel"] = self._pixel.preflight
        return addresses

    async def _nowhere(self, request: web.BaseRequest) -> web.Response:
        allowed = sorted(method for method, path in self._handlers if path == request.path)
        if not allowed:
            return web.Response(status=HTTPStatus.NOT_FOUND)
        return web.Response(
            status=HTTPStatus.METHOD_NOT_ALLOWED, headers={hdrs.ALLOW: ", ".join(allowed)}
        )

    async def meta_handshake(self, request: web.BaseRequest) -> web.Response:
        """GET /webhooks/meta: the challenge as sent, or 403 if the token is not ours."""
        answer = meta_webhooks.challenge(self._meta_apps, request.query)
        if answer is None:
            self._warn(
                "meta_handshake_refused",
                "",
                hint="the verify token in Meta's dashboard is not META_VERIFY_TOKEN",
            )
            return web.Response(status=403)
        return web.Response(
            text=answer, content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"}
        )

    async def healthz(self, _: web.BaseRequest) -> web.Response:
        """GET /healthz: 200 while new deliveries are welcome; 503 for some seconds after the log
        has refused one."""
        ready = self.ready and not self._acks.failing()
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def _receive(
        self,
        sender: str,
        identify: Identify,
        keep: Callable[[web.BaseRequest], bool],
        request: web.BaseRequest,
    ) -> web.StreamResponse:
        started_s, began_ns = perf_counter(), 0 if self.tracer is None else time_ns()
        body = await read_body(
            request, self._limits, self._in_flight, lambda: keep(request), hashes=self._hashes
        )
        if isinstance(body, Outcome):
            return self._refuse(sender, request, body)
        charged = len(body)
        try:
            delivery = identify(request.headers, body, self._clock())
            if delivery is None:
                return self._refuse(sender, request, Outcome.UNSIGNED)
            durable = self._acks.append(delivery.record, charged)
            charged = 0  # the write's to give back from here on, since it may outlast this answer
        finally:
            self._in_flight.give(charged)
        outcome = await durable
        self._metrics.signed(sender, delivery.secret_index, len(body))
        self._metrics.acked(perf_counter() - started_s)
        if outcome is Outcome.ACCEPTED:
            record = delivery.record
            self._tally.add(record.headers["shop"], delivery.label, record.time_ms)
            outcome = delivery.outcome
        if outcome is not Outcome.ACCEPTED:
            self._report(sender, delivery, outcome)
        if self.tracer is not None:
            shop = delivery.record.headers["shop"]
            self.tracer.received(shop, body, delivery.label, outcome.value, began_ns)
        return self._answer(request, sender, delivery.label, outcome)

    def _may_be_a_shops(self, request: web.BaseRequest) -> bool:
        """Whether the headers name a configured shop and a signature."""
        headers = request.headers
        named = shopify.values(headers, shopify.SHOP)
        return (
            any(shop.lower() in self._shops for shop in named)
            and shopify.header(headers, shopify.HMAC) != ""
        )

    def _refuse(
        self, sender: str, request: web.BaseRequest, outcome: Outcome
    ) -> web.StreamResponse:
        if outcome is Outcome.UNSIGNED and sender == "shopify":
            shop = shopify.header(request.headers, shopify.SHOP).lower()
            known = shop in self._shops
            if known:
                self._metrics.unsigned(shop)
            self._warn(
                "delivery_unsigned",
                shop if known else "",
                shop_header=shop[:80],
                shop_configured=known,
            )
        else:
            self._warn(f"delivery_{outcome.value}", sender, sender=sender)
        return self._answer(request, sender, "", outcome)

    def _report(self, sender: str, delivery: Delivery, outcome: Outcome) -> None:
        headers = delivery.record.headers
        reason = headers.get("parked_reason", "")
        self._warn(
            f"delivery_{outcome.value}",
            f"{headers['shop']} {delivery.label} {reason}",
            sender=sender,
            shop=headers["shop"],
            topic=headers["topic"][:80],
            delivery=delivery.record.id[:80],
            reason=reason,
        )

    def _warn(self, event: str, about: str, **fields: object) -> None:
        """Log `event` once a minute per `about`, which is one of a few fixed words.

        Log lines never contain a body, a person's id or a secret.
        """
        if self._warnings.allows((event, about)):
            _log.warning(event, not_shown=self._warnings.left_out, **fields)

    def _answer(
        self, request: web.BaseRequest, sender: str, label: str, outcome: Outcome
    ) -> web.StreamResponse:
        self._metrics.answered(sender, label, outcome.value)
        if outcome is Outcome.ACCEPTED:
            return self._accepted.to(request) if self.ready else web.Response()
        status = STATUS[outcome]
        headers = {hdrs.RETRY_AFTER: str(self._limits.retry_after_s)} if status == 503 else None
        response = web.Response(status=status, headers=headers)
        if outcome in CLOSES:
            response.force_close()
        return response


async def _last(answer: Awaitable[web.StreamResponse]) -> web.StreamResponse:
    """The answer, after which the connection closes."""
    response = await answer
    response.force_close()
    return response
