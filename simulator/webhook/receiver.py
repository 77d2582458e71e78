"""A stand-in for a receiver of Standard Webhooks: verifies what it gets, and records it.

    async with WebhookReceiver(("whsec_...",)) as receiver:
        ... url = receiver.url ...
        assert not receiver.conflicts

As a program: `python -m simulator.webhook.receiver --secret whsec_... --port N` prints its address
and then one line per event; SIGTERM ends it.
"""

import argparse
import asyncio
import hmac
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from simulator.servers.stand_in import ScriptedReply, StandIn, answered, show, until_stopped

TOLERANCE_S = 300
MAX_BODY = 20_000
"""Standard Webhooks asks for less than 20 kB."""


class WebhookCall(NamedTuple):
    """A request, as a script sees it before the rules do."""

    number: int
    """1 for the first request of the stand-in's life."""
    at_s: float
    webhook_id: str
    body: Any


@dataclass(frozen=True, slots=True)
class WebhookReply(ScriptedReply):
    """An answer instead of the rules'."""

    takes: bool = False
    """The event is kept all the same."""


Script = Callable[[WebhookCall], WebhookReply | None]


class Event(NamedTuple):
    """One event that was kept, by its `webhook-id`."""

    body: Any
    times: int


class WebhookReceiver(StandIn):
    """The stand-in while its context is open.

    `secrets` are those it accepts; one of a request's signatures must be of one of them. A wrong
    signature, or a time more than five minutes off, is answered 401. A script's reply precedes the
    rules.
    """

    path = "/hooks"

    def __init__(
        self,
        secrets: Collection[str],
        script: Script | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
        kept: Callable[[Any], None] = lambda body: None,
    ) -> None:
        """`kept` is called with each body that is taken for the first time."""
        super().__init__(host, port)
        self.script = script
        self.requests = 0
        self.events: dict[str, Event] = {}
        self._digests: dict[str, str] = {}
        self.conflicts: set[str] = set()
        """Ids that came with two bodies, whatever was answered."""
        self.answers: Counter[str] = Counter()
        """By status; `reset` where the connection was cut."""
        self._keys = [b64decode(secret.removeprefix("whsec_")) for secret in secrets]
        self._clock, self._kept = clock, kept

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post(self.path, self._hook)]

    def kept(self, event_type: str = "") -> dict[str, int]:
        """webhook-id -> how often it was kept, of one type or of all."""
        return {
            webhook_id: event.times
            for webhook_id, event in self.events.items()
            if not event_type or event.body["type"] == event_type
        }

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.requests += 1
        webhook_id = request.headers.get("webhook-id", "")
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = None
        digest = sha256(raw).hexdigest()
        if self._digests.setdefault(webhook_id, digest) != digest:
            self.conflicts.add(webhook_id)
        call = WebhookCall(self.requests, self._clock(), webhook_id, body)
        reply = (self.script(call) if self.script else None) or WebhookReply()
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if not reply.final:
            status = self._judge(request.headers, webhook_id, raw, body)
            if status == 204:
                self._keep(webhook_id, body)
            self.answers[str(status)] += 1
            return web.Response(status=status, headers=dict(reply.headers))
        if reply.takes:
            self._keep(webhook_id, body)
        self.answers["reset" if reply.reset else str(reply.status)] += 1
        return answered(request, reply)

    def _judge(self, headers: Mapping[str, str], webhook_id: str, raw: bytes, body: Any) -> int:
        """204 for an event that is signed, in time and in shape."""
        stamp = headers.get("webhook-timestamp", "")
        if not webhook_id or "." in webhook_id or not stamp.isdigit():
            return 400
        if abs(self._clock() - int(stamp)) > TOLERANCE_S:
            return 401
        signed = f"{webhook_id}.{stamp}.".encode() + raw
        good = [b64encode(hmac.digest(key, signed, "sha256")).decode() for key in self._keys]
        sent = [
            part.removeprefix("v1,") for part in headers.get("webhook-signature", "").split(" ")
        ]
        if not any(hmac.compare_digest(one, other) for one in good for other in sent):
            return 401
        shaped = (
            isinstance(body, dict)
            and isinstance(body.get("type"), str)
            and isinstance(body.get("timestamp"), str)
            and isinstance(body.get("data"), dict)
        )
        return 204 if shaped and len(raw) < MAX_BODY else 400

    def _keep(self, webhook_id: str, body: Any) -> None:
        before = self.events.get(webhook_id)
        if before is None:
            self._kept(body)
        self.events[webhook_id] = Event(body, 1 if before is None else before.times + 1)


async def _serve(arguments: argparse.Namespace) -> None:
    def kept(body: Any) -> None:
        show(orjson.dumps(body).decode())

    await until_stopped(WebhookReceiver(arguments.secret, port=arguments.port, kept=kept))


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGTERM; the first line on standard output is the address."""
    parser = argparse.ArgumentParser(
        "python -m simulator.webhook.receiver", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--secret", action="append", required=True)
    asyncio.run(_serve(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
