"""A stand-in for Meta's Graph API: validates requests as the real one does, and keeps what it
receives.

    async with GraphStandIn(tokens={"token": None}, app_secret="...") as graph:
        ... META_GRAPH_URL=graph.url ...
        assert not graph.conflicts()

As a program: `python -m simulator.meta.graph --port N --report FILE`; `GET /account` returns the
account (`?events=1` with every event), and SIGTERM writes it to FILE.
"""

import argparse
import asyncio
import hmac
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from simulator.meta.account import Answered, Contradiction, GraphAccount, order_id_of
from simulator.meta.ads import Ads
from simulator.meta.replies import EventsCall, Faults, Script, error_body
from simulator.meta.rules import Broken, event_broken, findings, request_broken
from simulator.servers.stand_in import StandIn, answered, until_stopped

WEIGHTS = {
    "em": 3,
    "fbc": 3,
    "ph": 2,
    "external_id": 2,
    "fbp": 2,
    "country": 2,
    "fn": 1,
    "ln": 1,
    "ct": 1,
    "zp": 1,
}
"""High, Medium and Low of Meta Help Center article 765081237991954 as 3, 2, 1; Meta's own formula
is not published."""
IDENTIFIERS = {
    "em": "email",
    "ph": "phone",
    "client_ip_address": "ip_address",
    "client_user_agent": "user_agent",
}


class GraphStandIn(StandIn):
    """The stand-in while its context is open; `url` is the value for META_GRAPH_URL.

    `POST /{version}/{pixel}/events` refuses a whole batch for one bad event, as Meta documents it;
    with `keeps_valid` the good ones of such a batch are kept all the same (docs/facts/meta.md,
    "Answers"). It also answers what `orderwire doctor` and the match-quality poll ask.

    `tokens` maps each valid token to the pixels that it may use (None: all of them); without it any
    token is valid. With `app_secret` every call needs the `appsecret_proof` of its token. `clock`
    gives Unix seconds.
    """

    max_body = 64 << 20

    def __init__(
        self,
        script: Script | None = None,
        *,
        tokens: Mapping[str, Collection[str] | None] | None = None,
        app_secret: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        only_ids: bool = False,
        keeps_valid: bool = False,
        clock: Callable[[], float] = time.time,
        ads: Collection[Ads] = (),
    ) -> None:
        super().__init__(host, port)
        self.script = script
        self.tokens = tokens
        self.account = GraphAccount(only_ids=only_ids)
        self.dataset: dict[str, dict[str, Any]] = {}
        """By event name: what `dataset_quality` says beside what is measured on the events kept,
        such as `event_coverage` and `dedupe_key_feedback`."""
        self._app_secret = app_secret
        self._keeps_valid = keeps_valid
        self._clock = clock
        self.ads = ads
        self._refusing: set[str] = set()
        """Orders whose event is refused once, as soon as it comes without others."""

    def routes(self) -> Sequence[web.RouteDef]:
        return [
            web.get("/account", self._account),
            web.post("/refuse/{order}", self._refuse),
            web.get("/{version}/me", self._me),
            web.get("/{version}/debug_token", self._debug_token),
            web.get("/{version}/dataset_quality", self._quality),
            web.get(r"/{version}/{pixel:\d+}", self._pixel_or_run),
            web.post(r"/{version}/{pixel}/events", self._events),
            *(
                web.route(method, path, self._of_ads)
                for method in ("GET", "POST")
                for path in ("/{version}/{object}", "/{version}/{object}/{edge}")
            ),
        ]

    @property
    def received(self) -> int:
        """Events kept, repeats included."""
        return self.account.received

    @property
    def duplicates(self) -> int:
        """Events kept again under a key that was kept before."""
        return self.account.duplicates

    def conflicts(self) -> list[Contradiction]:
        """Event ids with two payload identities, orders with two event ids."""
        return self.account.conflicts()

    async def _events(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        now_s = self._clock()
        self.account.requests += 1
        number = self.account.requests
        pixel = request.match_info["pixel"]
        try:
            body = orjson.loads(raw)
        except orjson.JSONDecodeError:
            body = None
        data = body.get("data") if isinstance(body, dict) else None
        events: list[Any] = data if isinstance(data, list) else []
        test = isinstance(body, dict) and bool(body.get("test_event_code"))
        self.account.on_the_wire(pixel, events, now_s)

        reply = (
            self.script(EventsCall(number, now_s, request.match_info["version"], pixel, events))
            if self.script
            else None
        )
        if reply is not None and reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if reply is not None and reply.final:
            taken = [event for event in events[: reply.takes] if event_broken(event, now_s) is None]
            self.account.keep(pixel, taken, now_s, test=test)
            status = 0 if reply.reset else reply.status or 0
            self.account.answered(Answered(number, pixel, len(events), status, now_s))
            return answered(request, reply)

        refused = self._refused(request, body, pixel) or self._refused_once(events, number)
        status, answer = refused or self._judge(body, events, pixel, now_s, number, test=test)
        self.account.answered(Answered(number, pixel, len(events), status, now_s))
        headers = dict(reply.headers) if reply is not None else {}
        return web.Response(
            status=status, body=answer, content_type="application/json", headers=headers
        )

    def _judge(
        self, body: Any, events: list[Any], pixel: str, now_s: float, number: int, *, test: bool
    ) -> tuple[int, bytes]:
        """The answer by the rules; updates the account."""
        trace = _trace(number)
        if (broken := request_broken(body)) is not None:
            self.account.rejected[broken.rule] += 1
            return 400, _refusal(broken, trace)
        good, first = [], None
        for event in events:
            found = event_broken(event, now_s)
            if found is None:
                good.append(event)
                self.account.findings.update(finding.name for finding in findings(event))
            else:
                first = first or found
                self.account.reject(pixel, event, found)
        if first is not None:
            if self._keeps_valid:
                self.account.keep(
                    pixel, [event for event in good if event.get("event_id")], now_s, test=test
                )
            return 400, _refusal(first, trace)
        self.account.keep(pixel, good, now_s, test=test)
        return 200, orjson.dumps(
            {"events_received": len(good), "messages": [], "fbtrace_id": trace}
        )

    def _refused(
        self, request: web.Request, body: Any, pixel: str | None
    ) -> tuple[int, bytes] | None:
        """The answer to a caller whose token, proof or permission is invalid; None for a valid
        one."""
        inside = body if isinstance(body, dict) else {}
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer":
            token = inside.get("access_token") or ""
        if "access_token" in request.query:
            self.account.findings["token_in_url"] += 1
            token = token or request.query["access_token"]
        trace = _trace(self.account.requests)
        if (
            not isinstance(token, str)
            or not token
            or (self.tokens is not None and token not in self.tokens)
        ):
            return 401, error_body(
                190, "Invalid OAuth access token - Cannot parse access token", trace
            )
        if self._app_secret is not None:
            proof = inside.get("appsecret_proof") or request.query.get("appsecret_proof", "")
            good = hmac.digest(self._app_secret.encode(), token.encode(), "sha256").hex()
            if not isinstance(proof, str) or not hmac.compare_digest(proof.encode(), good.encode()):
                message = "Invalid appsecret_proof provided in the API argument"
                return 400, error_body(100, message, trace, type="GraphMethodException")
        pixels = None if self.tokens is None else self.tokens[token]
        if pixel is not None and (
            not pixel.isdigit() or (pixels is not None and pixel not in pixels)
        ):
            message = (
                f"Unsupported request. Object with ID '{pixel[:20]}' does not exist or cannot be "
                "loaded due to missing permissions"
            )
            return 400, error_body(100, message, trace, subcode=33, type="GraphMethodException")
        return None

    def _answer(
        self, request: web.Request, pixel: str | None, answer: Callable[[], dict[str, Any]]
    ) -> web.Response:
        refused = self._refused(request, None, pixel)
        status, body = refused or (200, orjson.dumps(answer()))
        return web.Response(status=status, body=body, content_type="application/json")

    def _refused_once(self, events: Sequence[Any], number: int) -> tuple[int, bytes] | None:
        """The answer to a single event that `/refuse` names; None for others."""
        order = order_id_of(events[0]) if len(events) == 1 else ""
        if order not in self._refusing:
            return None
        self._refusing.discard(order)
        broken = Broken("on_request", 2804050, "Missing customer information")
        return 400, _refusal(broken, _trace(number))

    async def _refuse(self, request: web.Request) -> web.Response:
        self._refusing.add(request.match_info["order"])
        return web.Response(status=204)

    async def _account(self, request: web.Request) -> web.Response:
        return web.Response(
            body=orjson.dumps(self.account.summary(events="events" in request.query)),
            content_type="application/json",
        )

    async def _me(self, request: web.Request) -> web.Response:
        return self._answer(request, None, lambda: {"id": "1", "name": "Graph stand-in"})

    async def _debug_token(self, request: web.Request) -> web.Response:
        scopes = ["ads_management", "ads_read", "business_management"]
        return self._answer(
            request, None, lambda: {"data": {"is_valid": True, "scopes": scopes, "expires_at": 0}}
        )

    async def _pixel(self, request: web.Request) -> web.Response:
        pixel = request.match_info["pixel"]
        last = max(
            (
                seen.first_s
                for key, seen in self.account.events.items()
                if key[0] == pixel and seen.kept
            ),
            default=None,
        )

        def found() -> dict[str, Any]:
            fired = (
                None if last is None else time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime(last))
            )
            info = {
                "id": pixel,
                "name": "Graph stand-in",
                "is_unavailable": False,
                "last_fired_time": fired,
            }
            wanted = request.query.get("fields", "id,name").split(",")
            return {
                name: value
                for name, value in info.items()
                if name in ("id", *wanted) and value is not None
            }

        return self._answer(request, pixel, found)

    async def _pixel_or_run(self, request: web.Request) -> web.Response:
        if any(each.owns(request.match_info["pixel"]) for each in self.ads):
            return await self._of_ads(request)
        return await self._pixel(request)

    async def _of_ads(self, request: web.Request) -> web.Response:
        """A call about an ad account: the token is judged here, the rest there."""
        posted = dict(await request.post()) if request.method == "POST" else {}
        query = {**request.query, **{name: str(value) for name, value in posted.items()}}
        refused = self._refused(request, query, None)
        if refused is not None:
            return web.Response(status=refused[0], body=refused[1], content_type="application/json")
        object_id = request.path.split("/")[2]
        for each in self.ads:
            if each.owns(object_id):
                return await each.answer(request, query)
        message = f"Unsupported request. Object with ID '{object_id[:20]}' does not exist"
        body = error_body(100, message, _trace(self.account.requests), subcode=33)
        return web.Response(status=400, body=body, content_type="application/json")

    async def _quality(self, request: web.Request) -> web.Response:
        return self._answer(
            request, request.query.get("dataset_id", ""), lambda: {"web": self.quality()}
        )

    def quality(self) -> list[dict[str, Any]]:
        """Match quality per event name in the shape of `dataset_quality`, measured on the events
        kept (docs/facts/meta.md, "Match quality")."""
        books = self.account
        found = []
        for name, events in books.names.items():
            coverage = {
                key: count / events
                for (event_name, key), count in books.match_keys.items()
                if event_name == name
            }
            score = (
                10
                * sum(weight * coverage.get(key, 0.0) for key, weight in WEIGHTS.items())
                / sum(WEIGHTS.values())
            )
            feedback = [
                {
                    "identifier": IDENTIFIERS.get(key, key),
                    "coverage": {"percentage": round(100 * share, 1)},
                }
                for key, share in sorted(coverage.items())
            ]
            fresh = "real_time" if books.delay_sum_s < 3600 * max(books.received, 1) else "hourly"
            found.append(
                {
                    "event_name": name,
                    "event_match_quality": {
                        "composite_score": round(score, 1),
                        "match_key_feedback": feedback,
                    },
                    "data_freshness": {"upload_frequency": fresh},
                }
            )
        measured = {each["event_name"]: each for each in found}
        for name, further in self.dataset.items():
            measured[name] = {"event_name": name, **measured.get(name, {}), **further}
        return list(measured.values())


def _trace(number: int) -> str:
    return f"A{number:07x}StandIn"


def _refusal(broken: Broken, trace: str) -> bytes:
    return error_body(broken.code, broken.message, trace, subcode=broken.subcode)


async def _serve(arguments: argparse.Namespace) -> None:
    now_s = time.time()
    outage = arguments.outage
    weather = Faults(
        seed=arguments.seed,
        transient=arguments.transient,
        ambiguous=arguments.ambiguous,
        resets=arguments.resets,
        html=arguments.html,
        throttled=arguments.throttled,
        latency_s=(arguments.latency_ms[0] / 1000, arguments.latency_ms[1] / 1000),
        outage_s=None if outage is None else (now_s + outage[0], now_s + outage[0] + outage[1]),
    )
    ads = [] if arguments.ads is None else [Ads(**orjson.loads(arguments.ads.read_bytes()))]
    graph = GraphStandIn(
        weather.script(), port=arguments.port, only_ids=arguments.only_ids, ads=ads
    )
    await until_stopped(graph)
    if arguments.report is not None:
        arguments.report.write_bytes(orjson.dumps(graph.account.summary(events=True)))


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGTERM; the first line on standard output is the address."""
    parser = argparse.ArgumentParser(
        "python -m simulator.meta.graph", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--report", type=Path, help="file for the books, written at SIGTERM")
    parser.add_argument(
        "--ads", type=Path, help="JSON of an ad account: account_id, rows, currency, time_zone"
    )
    parser.add_argument("--only-ids", action="store_true", help="8 bytes per event, for long runs")
    parser.add_argument("--seed", type=int, default=0)
    for share in ("transient", "ambiguous", "resets", "html", "throttled"):
        parser.add_argument(f"--{share}", type=float, default=0.0, help="share of requests, 0 to 1")
    parser.add_argument(
        "--latency-ms", type=float, nargs=2, default=(0.0, 0.0), metavar=("LOW", "HIGH")
    )
    parser.add_argument(
        "--outage",
        type=float,
        nargs=2,
        metavar=("AFTER_S", "FOR_S"),
        help="tokens are refused meanwhile",
    )
    asyncio.run(_serve(parser.parse_args(argv)))


if __name__ == "__main__":
    main()
