"""The sender over real HTTP: odd answers, concurrent senders, and a run of many orders."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.transport import MAX_ANSWER_BYTES, NotSent, aiohttp_call
from destinations.meta.errors import classify
from simulator.meta.graph import GraphStandIn
from simulator.meta.replies import EventsCall as Asked
from simulator.meta.replies import (
    GraphReply,
    html,
    partial,
    reset,
    slow,
    throttled,
    token_expired,
    transient,
)
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import (
    NOW_MS,
    PIXEL,
    destinations,
    processor,
    seen,
    settings,
)
from tests.support.delivery.outbox import assert_cells_are_the_sum_over_rows, rows
from tests.support.delivery.sender_bench import SECRET

pytest_plugins = ("tests.support.delivery.sender_fixtures",)


async def test_an_answer_without_end_is_read_so_far_and_no_further(
    session: aiohttp.ClientSession,
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65_536)
        return response

    app = web.Application()
    app.router.add_post("/", endless)
    async with TestServer(app) as server:
        answer = await aiohttp_call(session)("POST", str(server.make_url("/")), {}, b"{}", 10)
    assert answer.status == 200
    assert len(answer.body) == MAX_ANSWER_BYTES
    assert classify(answer.status, answer.headers, answer.body).ambiguous


async def test_a_name_that_does_not_resolve_means_that_nothing_was_sent(
    session: aiohttp.ClientSession,
) -> None:
    with pytest.raises(NotSent):
        await aiohttp_call(session)("POST", "http://graph.invalid/v26.0/1/events", {}, b"{}", 5)


async def test_several_senders_share_the_work_and_send_nothing_twice(
    store: SqlStore, session: aiohttp.ClientSession
) -> None:
    async with GraphStandIn(lambda asked: slow(0.005)) as graph:
        chosen, now_ms = settings(graph_url=graph.url), time.time_ns() // 1_000_000
        made = datetime.fromtimestamp(now_ms // 1000, UTC)
        with store.begin() as transaction:
            orders = [
                seen(order_id=number, made=made, received_ms=now_ms) for number in range(1, 401)
            ]
            processor(chosen).apply(transaction, orders, now_ms)
        tuning = Tuning(batch=20, spacing_ms=0)
        senders = [
            OutboxSender(store, destinations(chosen), aiohttp_call(session), tuning=tuning)
            for _ in range(3)
        ]
        await asyncio.gather(*(sender.drain() for sender in senders))
        assert (graph.received, graph.duplicates) == (400, 0)
        assert {row.outcome for row in rows(store)} == {"sent"}
        assert_cells_are_the_sum_over_rows(store)


SPEED = 150.0
"""The long script runs this many times faster than the clock that everybody in it reads."""


class FastClock:
    """Real time, faster; `start_ms` is what it says at first."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self) -> int:
        return NOW_MS + round((time.monotonic() - self._start) * 1000 * SPEED)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


POISON = 200

ORDERS = {"sqlite": 2_000, "postgresql": 600}
"""What may happen to an order is the same on both databases, and each has its share of it."""
KILLED = {"sqlite": (400, 1_000, 1_600), "postgresql": (100, 300, 400)}
"""How many orders there are when the sender is killed."""


def weather(clock: FastClock) -> Callable[[Asked], GraphReply | None]:
    """10 % transient, throttling, a 60-second token outage, resets and pages of a proxy; one event
    in 200 that no rule forgives."""
    chance = random.Random(5)
    outage_ends_ms = refused = 0

    def blow(asked: Asked) -> GraphReply | None:
        nonlocal outage_ends_ms, refused
        if asked.number == 5:
            outage_ends_ms = clock() + 60_000
        if (
            clock() < outage_ends_ms or refused == 1
        ):  # however slow the machine, a probe meets it too
            refused += 1
            return token_expired()
        drawn = chance.random()
        for share, reply in (
            (0.10, transient()),
            (0.03, throttled(0)),
            (0.02, reset(takes=None)),
            (0.02, html()),
            (0.02, partial(0)),
        ):
            if drawn < share:
                return reply
            drawn -= share
        return slow(0.002)

    return blow


def poisoned(order_ids: Sequence[int]) -> set[str]:
    return {str(number) for number in order_ids if number % POISON == 0}


async def test_orders_through_every_kind_of_trouble_each_end_exactly_once_in_a_final_state(
    store: SqlStore, session: aiohttp.ClientSession
) -> None:
    clock, orders_count = FastClock(), ORDERS[store.dialect]
    async with GraphStandIn(weather(clock), clock=lambda: clock() / 1000) as graph:
        chosen = settings(graph_url=graph.url, app_secret=SECRET)
        outbox = processor(chosen)
        # A lease of 6 s and requests of 3 s, by the wall: as in `Tuning`, a request is over before
        # its lease is.
        tuning = Tuning(
            batch=100, poll_s=0.02, lease_ms=round(6_000 * SPEED), timeout_s=3, spacing_ms=500
        )

        def start() -> tuple[OutboxSender, asyncio.Task[None]]:
            sender = OutboxSender(
                store,
                destinations(chosen),
                aiohttp_call(session),
                tuning=tuning,
                clock_ms=clock,
                steady_ms=clock,
                sleep=clock.sleep,
            )
            return sender, asyncio.create_task(sender.run())

        sender, running = start()
        numbers = list(range(1, orders_count + 1))
        for first in range(0, orders_count, 100):
            orders = [
                seen(order_id=number, received_ms=clock())
                for number in numbers[first : first + 100]
            ]
            orders += orders[::10]
            with store.begin() as transaction:
                outbox.apply(transaction, orders, clock())
                # What no local rule foresees: Meta's own view of one event in 200.
                for order_id in poisoned(numbers[first : first + 100]):
                    poison(transaction, order_id)
            sender.wake()
            if first in KILLED[store.dialect]:
                await asyncio.sleep(0.05)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
                sender, running = start()
            await asyncio.sleep(0.02)
        waits = 1
        while waits:
            with store.begin() as transaction:
                outbox.tick(transaction, clock())
                waits = transaction.query("SELECT COUNT(*) FROM outbox WHERE due_ms IS NOT NULL")[
                    0
                ][0]
            await asyncio.sleep(0.05)
        sender.stop()
        await running
        outcomes = {row.order_id: row.outcome for row in rows(store)}
        assert len(outcomes) == orders_count
        assert {
            order_id for order_id, outcome in outcomes.items() if outcome == "dead"
        } == poisoned(numbers)
        assert Counter(outcomes.values()) == {
            "sent": orders_count - len(poisoned(numbers)),
            "dead": len(poisoned(numbers)),
        }
        assert graph.conflicts() == []
        assert graph.account.answers["401"] >= 2  # the outage, and at least one probe into it
        assert {"500", "502", "reset", "400"} <= set(graph.account.answers)
        kept = graph.account.kept_ids(PIXEL)
        assert set(kept) == {
            order_id for order_id, outcome in outcomes.items() if outcome == "sent"
        }
        assert_cells_are_the_sum_over_rows(store)


def poison(transaction: Any, order_id: str) -> None:
    """Make a waiting payload one that Meta refuses: an item without id."""
    (found,) = transaction.query("SELECT payload FROM outbox WHERE order_id = :o", o=order_id)
    event = orjson.loads(found[0])
    event["custom_data"]["contents"] = [{"quantity": 1}]
    transaction.execute(
        "UPDATE outbox SET payload = :p WHERE order_id = :o", p=orjson.dumps(event), o=order_id
    )
