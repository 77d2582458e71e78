"""What the tests of the CAPI sender work at: a Graph that answers what a function says, time that
moves when it is told to, a store."""

from collections.abc import Callable, Mapping
from typing import Any

import orjson
from msgspec import to_builtins

from destinations.delivery.answer import ShownAccount, account
from destinations.delivery.rows import OutboxRow
from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.transport import Call, HttpAnswer
from destinations.meta.kind import KIND
from stream.metrics import DeliveryMetrics
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import (
    ACCOUNT,
    NOW_MS,
    PIXEL,
    SHOP,
    destinations,
    processor,
    settings,
)
from tests.support.delivery.outbox import rows

META = ShownAccount(SHOP, ACCOUNT, KIND, PIXEL, 7 * 86_400)
SECRET = "app-s3cret"

MINUTE_MS = 60_000

FOR_EVER_S = 3_600.0


class Clock:
    """Time that stands still until told otherwise; sleeping moves it."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


def ok(events: int) -> HttpAnswer:
    return HttpAnswer(
        200, {}, orjson.dumps({"events_received": events, "messages": [], "fbtrace_id": "OK"})
    )


def refusal(
    code: int,
    subcode: int | None = None,
    status: int = 400,
    headers: Mapping[str, str] | None = None,
    message: str = "Non",
) -> HttpAnswer:
    error = {"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "No"}
    return HttpAnswer(
        status,
        headers or {},
        orjson.dumps({"error": error if subcode is None else {**error, "error_subcode": subcode}}),
    )


class Graph:
    """A way to Meta that answers what a function says, and remembers what it was asked."""

    def __init__(self, answer: Callable[[int, list[dict[str, Any]]], HttpAnswer]) -> None:
        self.answer = answer
        self.batches: list[list[str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []

    async def __call__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
    ) -> HttpAnswer:
        shown = orjson.loads(body or b"{}")
        self.asked.append((method, url, headers))
        self.bodies.append(shown)
        self.batches.append([event["event_id"] for event in shown["data"]])
        return self.answer(len(self.batches), shown["data"])


def one_by_one(
    *answers: HttpAnswer | Exception,
) -> Callable[[int, list[dict[str, Any]]], HttpAnswer]:
    """Each answer in turn, then success."""

    def answer(number: int, events: list[dict[str, Any]]) -> HttpAnswer:
        if number > len(answers):
            return ok(len(events))
        found = answers[number - 1]
        if isinstance(found, Exception):
            raise found
        return found

    return answer


class Bench:
    """A store with orders, a clock, and senders on them."""

    def __init__(self, store: SqlStore, **changes: Any) -> None:
        self.store, self.clock, self.settings = store, Clock(), settings(**changes)

    def sender(
        self,
        graph: Call,
        metrics: DeliveryMetrics | None = None,
        steady_ms: Callable[[], int] | None = None,
        **tuning: Any,
    ) -> OutboxSender:
        return OutboxSender(
            self.store,
            destinations(self.settings),
            graph,
            metrics=metrics,
            tuning=Tuning(**{"spacing_ms": 0, **tuning}),
            clock_ms=self.clock,
            steady_ms=steady_ms or self.clock,
            sleep=self.clock.sleep,
            chance=lambda: 0.5,
        )

    def fold(self, *orders: Any) -> None:
        with self.store.begin() as transaction:
            processor(self.settings).apply(transaction, orders, self.clock.ms)

    def outcomes(self) -> dict[str, str]:
        return {row.order_id: row.outcome for row in rows(self.store)}

    def row(self, order_id: str = "1001") -> OutboxRow:
        return next(row for row in rows(self.store) if row.order_id == order_id)

    def state(self) -> dict[str, Any]:
        with self.store.snapshot() as snapshot:
            answer: dict[str, Any] = to_builtins(account(snapshot, META, self.clock.ms))
            return answer
