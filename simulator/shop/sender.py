"""Sends deliveries to a receiver over HTTP as Shopify does, at a rate or as fast as possible, and
records every answer."""

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from simulator.shop.delivery import Delivery

RETRY_WAIT_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)
TIMEOUT_S = 5.0
"""Shopify's for the whole request."""
NO_ANSWER, TOO_SLOW = 0, 408
TICK_S = 0.002
"""At high rates connections wake together on a tick, up to this much early: one wake-up of the loop
instead of many."""


class Acknowledged(NamedTuple):
    """A delivery that was answered 200."""

    webhook_id: str
    topic: str
    key: str


@dataclass(slots=True)
class Traffic:
    """Counts of requests and answers; grows while the sender runs."""

    sent: int = 0
    """Requests, retries included."""
    statuses: Counter[int] = field(default_factory=Counter)
    """By HTTP status; 0 for a connection cut or silent."""
    acknowledged: list[Acknowledged] = field(default_factory=list)
    unexpected: list[tuple[str, str, int, int]] = field(default_factory=list)
    """(webhook id, kind, expected status, status) of final answers that were not the expected ones.
    """
    gave_up: list[str] = field(default_factory=list)
    """Webhook ids that were out of retries, or still unanswered when the sender was stopped."""
    latencies_ms: "array[float]" = field(default_factory=lambda: array("d"))
    """Of answered requests; at a rate from the time when each was due, so that a slow receiver
    cannot hide its queue."""
    slowest_ms: float = 0.0
    """The longest from a request on its way to its answer, at any rate: the receiver's part."""
    elapsed_s: float = 0.0

    def percentile(self, share: float) -> float | None:
        """Latency that `share` of the answers stayed within, milliseconds; None without answers."""
        return _at(sorted(self.latencies_ms), share)

    def summary(self) -> dict[str, Any]:
        """As JSON, without the lists."""
        ordered = sorted(self.latencies_ms)
        return {
            "sent": self.sent,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "acknowledged": len(self.acknowledged),
            "unexpected": len(self.unexpected),
            "gave_up": len(self.gave_up),
            "elapsed_s": round(self.elapsed_s, 3),
            "per_s": round(len(self.acknowledged) / self.elapsed_s, 1) if self.elapsed_s else None,
            "latency_ms": {
                name: _at(ordered, share)
                for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
            },
        }


def _at(ordered: Sequence[float], share: float) -> float | None:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else None


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection with at most one request on it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] | None = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._settle(NO_ANSWER)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lowered = head.lower()
        _, _, length = lowered.partition(b"content-length:")
        if len(rest) < int(length.split(b"\r\n", 1)[0] or 0):
            return
        self._buffer = b""
        status = int(head[9:12])
        if b"connection: close" in lowered:
            self.close()
        self._settle(status)

    def _settle(self, status: int) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(status)

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes, answer: "asyncio.Future[int]") -> None:
        """Write `request`; `answer` gets the status, or NO_ANSWER."""
        self._answer, self._buffer = answer, b""
        if self._transport is None:
            self._settle(NO_ANSWER)
        else:
            self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Attempt(NamedTuple):
    due_s: float
    number: int
    delivery: Delivery
    retries: int


class ShopSender:
    """Sends `deliveries` to `url` over `connections` connections, `rate` a second (None: as fast as
    they are accepted).

    Connections are raw asyncio protocols, kept alive, with one request at a time: an HTTP client
    library would cost several times more per request than the receiver that is measured.
    `acknowledged` is called for each 200 immediately. `run` ends when everything has its final
    answer; `stop` ends it early.

    5xx, 408, cut connections and silence are retried on a schedule like Shopify's 8 retries over
    4 h, but in seconds:

    | attempt | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 |
    |---|---|---|---|---|---|---|---|---|
    | wait s | 0.1 | 0.2 | 0.5 | 1 | 2 | 4 | 8 | 15 |
    | since the first | 0.1 | 0.3 | 0.8 | 1.8 | 3.8 | 7.8 | 15.8 | 30.8 |

    Shopify retries 400 and 401 too; here those are final, since only broken deliveries get them.
    """

    def __init__(
        self,
        url: str,
        deliveries: Iterable[Delivery],
        *,
        connections: int = 8,
        rate: float | None = None,
        retry_wait_s: Sequence[float] = RETRY_WAIT_S,
        timeout_s: float = TIMEOUT_S,
        acknowledged: Callable[[Delivery], None] | None = None,
    ) -> None:
        target = urlsplit(url)
        if target.scheme != "http" or target.hostname is None:
            raise ValueError(
                "the receiver's address must be like http://127.0.0.1:8081/webhooks/shopify"
            )
        self._host, self._port = target.hostname, target.port or 80
        self._line = f"POST {target.path or '/'} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
        self._source = iter(deliveries)
        self._connections, self._rate = connections, rate
        self._retry_wait_s, self._timeout_s = retry_wait_s, timeout_s
        self._acknowledged = acknowledged
        self._again: list[_Attempt] = []
        self._taken = self._in_flight = 0
        self._exhausted = self._stopped = False
        self._changed = asyncio.Event()
        self.traffic = Traffic()

    async def run(self) -> Traffic:
        """Send everything and return the traffic. Call it once."""
        loop = asyncio.get_running_loop()
        self._start_s = loop.time()
        async with asyncio.TaskGroup() as lanes:
            for _ in range(self._connections):
                lanes.create_task(self._lane(loop))
        self.traffic.gave_up += [attempt.delivery.webhook_id for attempt in self._again]
        self.traffic.elapsed_s = loop.time() - self._start_s
        return self.traffic

    def stop(self) -> None:
        """Start nothing new; requests under way are finished."""
        self._stopped = True
        self._changed.set()

    async def _lane(self, loop: asyncio.AbstractEventLoop) -> None:
        connection = _Connection()
        while (attempt := await self._next(loop)) is not None:
            began_s = loop.time() if self._rate is None else attempt.due_s
            try:
                if not connection.open:
                    connection = await self._connect(loop)
                asked_s = loop.time()
                status = (
                    await self._ask(loop, connection, attempt.delivery)
                    if connection.open
                    else NO_ANSWER
                )
                if status != NO_ANSWER:
                    self.traffic.slowest_ms = max(
                        self.traffic.slowest_ms, (loop.time() - asked_s) * 1000
                    )
            finally:
                self._in_flight -= 1
            self._finish(loop.time(), began_s, attempt, status)
        connection.close()

    async def _next(self, loop: asyncio.AbstractEventLoop) -> _Attempt | None:
        """The next attempt when it is due, or None when there are no more."""
        while not self._stopped:
            now_s = loop.time()
            if self._again and self._again[0].due_s <= now_s:
                self._in_flight += 1
                return heappop(self._again)
            if not self._exhausted:
                due_s = now_s
                if self._rate is not None:
                    due_s = self._start_s + self._taken / self._rate
                    due_s -= due_s % TICK_S if self._rate * TICK_S > 1 else 0
                delivery = next(self._source, None)
                if delivery is not None:
                    self._taken += 1
                    self._in_flight += 1
                    if due_s > now_s:
                        await asyncio.sleep(due_s - now_s)
                    return _Attempt(due_s, self._taken, delivery, 0)
                self._exhausted = True
            if not self._again and not self._in_flight:
                self._changed.set()
                return None
            self._changed.clear()
            wait_s = self._again[0].due_s - now_s if self._again else None
            try:
                await asyncio.wait_for(self._changed.wait(), wait_s)
            except TimeoutError:
                continue
        return None

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> _Connection:
        try:
            return (
                await asyncio.wait_for(
                    loop.create_connection(_Connection, self._host, self._port), self._timeout_s
                )
            )[1]
        except OSError:  # TimeoutError is one
            return _Connection()

    async def _ask(
        self, loop: asyncio.AbstractEventLoop, connection: _Connection, delivery: Delivery
    ) -> int:
        answer: asyncio.Future[int] = loop.create_future()
        silent = loop.call_later(self._timeout_s, connection.close)
        connection.ask(self._request(delivery), answer)
        try:
            return await answer
        finally:
            silent.cancel()

    def _request(self, delivery: Delivery) -> bytes:
        headers = "".join(f"{name}: {value}\r\n" for name, value in delivery.headers.items())
        head = (
            f"{self._line}Content-Type: application/json\r\nUser-Agent: Shopify-Captain-Hook\r\n"
            f"Content-Length: {len(delivery.body)}\r\n{headers}\r\n"
        )
        return head.encode() + delivery.body

    def _finish(self, now_s: float, began_s: float, attempt: _Attempt, status: int) -> None:
        traffic, delivery = self.traffic, attempt.delivery
        traffic.sent += 1
        traffic.statuses[status] += 1
        if status != NO_ANSWER:
            traffic.latencies_ms.append((now_s - began_s) * 1000)
        if status in (NO_ANSWER, TOO_SLOW) or status >= 500:
            if attempt.retries < len(self._retry_wait_s):
                due_s = now_s + self._retry_wait_s[attempt.retries]
                heappush(
                    self._again, _Attempt(due_s, attempt.number, delivery, attempt.retries + 1)
                )
            else:
                traffic.gave_up.append(delivery.webhook_id)
        else:
            if status == 200:
                traffic.acknowledged.append(
                    Acknowledged(delivery.webhook_id, delivery.topic, delivery.key)
                )
                if self._acknowledged is not None:
                    self._acknowledged(delivery)
            if status != delivery.expected_status:
                traffic.unexpected.append(
                    (delivery.webhook_id, delivery.kind, delivery.expected_status, status)
                )
        if self._again or self._exhausted:
            self._changed.set()
