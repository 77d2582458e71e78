"""Listens as Shopify's Admin API, on loopback.

    async with AdminStandIn(books) as admin:
        ... SHOPIFY_ADMIN_URL=admin.url, SHOPIFY_ADMIN_TOKEN=shpat_static ...

As a program: `python -m simulator.admin.program`.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson
from aiohttp import web

from simulator.admin.access import Access
from simulator.admin.answers import FIELDS, PROTECTED, ROOT_SCOPES
from simulator.admin.books import Books
from simulator.admin.budget import LARGEST, MAXIMUM, RESTORE, CostBudget
from simulator.admin.bulk import BulkOperations
from simulator.admin.bulk import Script as BulkScript
from simulator.admin.documents import (
    DocumentRefused,
    DocumentRequest,
    Page,
    Root,
    denied,
    error,
    read,
)
from simulator.admin.world import World
from simulator.servers.stand_in import ScriptedReply, StandIn, answered

VERSIONS = ("2026-01", "2026-04", "2026-07", "2026-10", "unstable")
NOT_APPROVED = (
    "This app is not approved to access the {} object. See "
    "https://shopify.dev/docs/apps/launch/protected-customer-data for more details."
)


class AdminCall(NamedTuple):
    """A document, as a script sees it before it is read."""

    number: int
    """1 for the first document of the stand-in's life."""
    text: str
    variables: Mapping[str, Any]


Script = Callable[[AdminCall], ScriptedReply | None]


class AdminStandIn(StandIn):
    """The stand-in while its context is open; `url` is the value for SHOPIFY_ADMIN_URL.

    `clock` gives Unix seconds.
    """

    max_body = 16 << 20

    def __init__(
        self,
        books: Books,
        *,
        script: Script | None = None,
        bulk_script: BulkScript | None = None,
        access: Access | None = None,
        throttle_as: int = 200,
        maximum: float = MAXIMUM,
        restore: float = RESTORE,
        sorts_slowly: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(host, port)
        self.books = books
        self.script = script
        self.access = access or Access(clock)
        self.budget = CostBudget(time.monotonic, maximum, restore)
        self.bulk = BulkOperations(bulk_script)
        self.calls: list[str] = []
        """Names of the operations answered, in order."""
        self._world = World(books, self.access, self.bulk, clock, sorts_slowly=sorts_slowly)
        self._throttle_as = throttle_as
        self._number = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/admin/oauth/access_token", self._token),
            web.post("/admin/api/{version}/graphql.json", self._graphql),
            web.get(r"/bulk/{number:\d+}.jsonl", self._file),
            web.get("/healthz", _healthy),
            *self.more_routes(),
        ]

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.bulk.base_url = self.url
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await super().__aexit__(kind, error, trace)
        await asyncio.to_thread(self.bulk.close)

    def more_routes(self) -> Collection[web.RouteDef]:
        """Routes beside Shopify's own, for programs."""
        return ()

    async def _token(self, request: web.Request) -> web.Response:
        if request.content_type == "application/json":
            body = await request.json()
        else:
            body = dict(await request.post())
        status, answer_body = self.access.ask(body)
        return web.json_response(answer_body, status=status)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = self.bulk.file(request.match_info["number"])
        return web.Response(status=404) if path is None else web.FileResponse(path)

    async def _graphql(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["version"] not in VERSIONS:
            return web.json_response({"errors": "Not Found"}, status=404)
        if not self.access.good(request.headers.get("X-Shopify-Access-Token", "")):
            answer_body = (
                "[API] Invalid API key or access token (unrecognized login or wrong password)"
            )
            return web.json_response({"errors": answer_body}, status=401)
        try:
            body = orjson.loads(await request.read())
            text, variables = body["query"], body.get("variables") or {}
        except (ValueError, KeyError, TypeError):
            return web.json_response({"errors": {"query": "Required"}}, status=400)
        self._number += 1
        if self.script is not None:
            reply = self.script(AdminCall(self._number, text, variables))
            if reply is not None and reply.delay_s:
                await asyncio.sleep(reply.delay_s)
            if reply is not None and reply.final:
                return answered(request, reply)
        status, answer = await asyncio.to_thread(self._answer, text, variables)
        headers = {"Retry-After": "1.0"} if status == 429 else {}
        return web.Response(
            status=status,
            body=orjson.dumps(answer),
            headers=headers,
            content_type="application/json",
        )

    def _answer(self, text: str, variables: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        try:
            request = read(text, variables, self.access.scopes)
            if request.cost > LARGEST:
                words = f"Query cost is {request.cost}, which exceeds the single query max cost"
                words += f" limit ({LARGEST})."
                raise DocumentRefused([error(words, "MAX_COST_EXCEEDED")])
        except DocumentRefused as refused:
            return 200, {"errors": refused.errors}
        if not self.budget.take(request.cost, request.cost):
            return self._throttled(request)
        self.calls.append(request.name)
        try:
            data, errors, actual = self._data(request)
        except DocumentRefused as refused:
            return 200, {"errors": refused.errors}
        self.budget.take(0, actual - request.cost)
        answer_body = {
            "data": data,
            "extensions": self.budget.throttle_status(request.cost, actual),
        }
        return 200, {**answer_body, "errors": errors} if errors else answer_body

    def _throttled(self, request: DocumentRequest) -> tuple[int, dict[str, Any]]:
        if self._throttle_as == 429:
            return 429, {"errors": "Exceeded 2 calls per second for api client."}
        answer_body = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return 200, {
            "errors": [answer_body],
            "extensions": self.budget.throttle_status(request.cost, None),
        }

    def _data(
        self, request: DocumentRequest
    ) -> tuple[dict[str, Any] | None, list[dict[str, Any]], int]:
        data: dict[str, Any] | None = {}
        errors = [denied(scope, path) for path, scope in request.denied.items()]
        actual = request.cost
        for root in request.roots:
            if (bad := self._root_denied(root)) is not None:
                errors.append(bad)
                data = None
                break
            value = FIELDS[root.name](self._world, dict(root.arguments))
            if isinstance(value, Page) and (asked := root.arguments.get("first")):
                # What was asked for and is not there is given back.
                actual = max(2, round(actual * len(value.nodes) / int(asked)))
            assert data is not None
            data[root.key] = None if value is None else root.project(value)
        return data, errors, actual

    def _root_denied(self, root: Root) -> dict[str, Any] | None:
        if root.name in PROTECTED and not self.access.approved:
            answer_body = NOT_APPROVED.format("Order")
            return {**error(answer_body, "ACCESS_DENIED", (root.key,))}
        scope = ROOT_SCOPES.get(root.name)
        return None if scope is None or scope in self.access.scopes else denied(scope, (root.key,))


async def _healthy(_: web.Request) -> web.Response:
    return web.Response(text="ok")
