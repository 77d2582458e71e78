"""The receiver: size cap -> verify -> identify -> append -> 200 (DESIGN, 'Outside contract').

A 200 says that the delivery is durable, and nothing else is a 200. Whatever happens behind, an answer goes out within 5 s. A client
that goes away changes nothing: aiohttp does not cancel its handler, and the handler does not hold the write (`ingest.ack`).

The application brings its own server settings (no access log, since Meta's handshake has its token in the URL; no unpacking of
bodies before they are measured; no cancelling of handlers), so `web.AppRunner(make_app(...))` is all that it takes to serve it.
"""

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from aiohttp import hdrs, web

from ingest import meta as meta_webhooks
from ingest import shopify
from ingest.ack import Acks, Appends
from ingest.body import Budget, Limits, read_body
from ingest.delivery import Delivery, Identify
from ingest.meta import MetaApp
from ingest.notices import Notices
from ingest.outcome import CLOSES, STATUS, Outcome
from stream.metrics import ReceiverMetrics


class Receiver:
    """The handlers, and what they share. `ready` turns `/healthz` to 503 for whoever spreads the load."""

    def __init__(
        self,
        *,
        log: Appends,
        shops: Mapping[str, Sequence[bytes]],
        meta: Sequence[MetaApp],
        clock: Callable[[], int],
        limits: Limits,
        metrics: ReceiverMetrics,
    ) -> None:
        self.ready = True
        self._meta_apps = tuple(meta)
        self._shops = frozenset(shop.lower() for shop in shops)
        self._identify_shopify = shopify.identifier(shops)
        self._identify_meta = meta_webhooks.identifier(self._meta_apps)
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._budget = Budget(limits.max_in_flight_bytes)
        self._acks = Acks(log, self._budget, limits.ack_timeout_s)
        self._notices = Notices(clock)
        metrics.watch_in_flight(lambda: self._budget.used)

    async def shopify(self, request: web.Request) -> web.StreamResponse:
        """POST /webhooks/shopify."""
        return await self._receive("shopify", self._identify_shopify, request)

    async def meta(self, request: web.Request) -> web.StreamResponse:
        """POST /webhooks/meta; 404 where no Meta app is configured."""
        if not self._meta_apps:
            return web.Response(status=404)
        return await self._receive("meta", self._identify_meta, request)

    async def meta_handshake(self, request: web.Request) -> web.StreamResponse:
        """GET /webhooks/meta: the challenge as sent, 403 where it is not for us, 404 where no Meta app is configured."""
        if not self._meta_apps:
            return web.Response(status=404)
        answer = meta_webhooks.challenge(self._meta_apps, request.query)
        if answer is None:
            self._notices.tell("meta_handshake_refused", "", hint="the verify token in Meta's dashboard is not META_VERIFY_TOKEN")
            return web.Response(status=403)
        return web.Response(text=answer, content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})

    async def healthz(self, _: web.Request) -> web.StreamResponse:
        """GET /healthz: 200 while new deliveries are welcome."""
        return web.json_response({"ready": self.ready}, status=200 if self.ready else 503)

    async def _receive(self, sender: str, identify: Identify, request: web.Request) -> web.Response:
        started_s = perf_counter()
        body = await read_body(request, self._limits, self._budget)
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
            self._budget.give(charged)
        outcome = await durable
        self._metrics.signed(sender, delivery.secret_index, len(body))
        self._metrics.acked(perf_counter() - started_s)
        if outcome is Outcome.ACCEPTED:
            outcome = delivery.outcome
        if outcome is not Outcome.ACCEPTED:
            self._tell(sender, delivery, outcome)
        return self._answer(sender, delivery.label, outcome)

    def _refuse(self, sender: str, request: web.Request, outcome: Outcome) -> web.Response:
        if outcome is Outcome.UNSIGNED and sender == "shopify":
            shop = shopify.header(request.headers, shopify.SHOP).lower()
            known = shop in self._shops
            self._notices.tell("delivery_unsigned", shop if known else "", shop_header=shop[:80], shop_configured=known)
        else:
            self._notices.tell(f"delivery_{outcome.value}", sender, sender=sender)
        return self._answer(sender, "", outcome)

    def _tell(self, sender: str, delivery: Delivery, outcome: Outcome) -> None:
        headers = delivery.record.headers
        reason = headers.get("parked_reason", "")
        self._notices.tell(
            f"delivery_{outcome.value}",
            f"{headers['shop']} {delivery.label} {reason}",
            sender=sender,
            shop=headers["shop"],
            topic=headers["topic"][:80],
            delivery=delivery.record.id[:80],
            reason=reason,
        )

    def _answer(self, sender: str, label: str, outcome: Outcome) -> web.Response:
        self._metrics.answered(sender, label, outcome.value)
        if outcome is Outcome.ACCEPTED:
            return web.Response()
        status = STATUS[outcome]
        headers = {hdrs.RETRY_AFTER: str(self._limits.retry_after_s)} if status == 503 else None
        response = web.Response(status=status, headers=headers)
        if outcome in CLOSES:
            response.force_close()
        return response


SERVER = {"access_log": None, "auto_decompress": False, "handler_cancellation": False}
"""What aiohttp's server must and must not do, whoever starts it (module docstring)."""

RECEIVER = web.AppKey("receiver", Receiver)
"""Where `make_app` keeps its receiver: whoever shuts down in an orderly way sets `app[RECEIVER].ready = False` first."""


def make_app(
    *,
    log: Appends,
    shops: Mapping[str, Sequence[bytes]],
    meta: Sequence[MetaApp] = (),
    clock: Callable[[], int],
    limits: Limits,
    metrics: ReceiverMetrics,
) -> web.Application:
    """The receiver as an aiohttp application.

    `shops`: domain to webhook secrets, newest first. `clock`: Unix milliseconds. `log` stays the caller's to close, after the
    application's clean-up. Raises ValueError for a shop without a secret.
    """
    receiver = Receiver(log=log, shops=shops, meta=meta, clock=clock, limits=limits, metrics=metrics)
    app = web.Application(client_max_size=limits.max_body_bytes, handler_args=SERVER | {"lingering_time": limits.read_timeout_s})
    app[RECEIVER] = receiver
    app.router.add_post("/webhooks/shopify", receiver.shopify)
    app.router.add_post("/webhooks/meta", receiver.meta)
    app.router.add_get("/webhooks/meta", receiver.meta_handshake, allow_head=False)
    app.router.add_get("/healthz", receiver.healthz)
    app.on_shutdown.append(_unready)
    return app


async def _unready(app: web.Application) -> None:
    app[RECEIVER].ready = False
