"""Sending while the wall clock steps: the sender's own waits go by a clock that does not."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from destinations.delivery.transport import HttpAnswer, NotSent
from tests.support.delivery.capi_orders import NOW, NOW_MS, seen
from tests.support.delivery.sender_bench import Bench, Graph, ok, one_by_one

pytest_plugins = ["tests.support.delivery.sender_fixtures"]

HOUR_MS = 3_600_000


class Steady:
    """Seconds that only pass."""

    def __init__(self) -> None:
        self.ms = 0

    def __call__(self) -> int:
        return self.ms


async def test_a_clock_that_steps_forward_during_a_request_sends_nothing_twice(
    bench: Bench,
) -> None:
    bench.fold(seen())

    async def call(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        bench.clock.ms += HOUR_MS  # The lease is over, by the wall clock.
        await sender._due_lanes()
        return ok(1)

    sender = bench.sender(call)
    await sender.drain()
    assert bench.outcomes() == {"1001": "sent"}
    assert bench.row().attempts.count("\n") == 1


@pytest.mark.parametrize("step_ms", [-HOUR_MS, -48 * HOUR_MS])
async def test_a_lane_that_backs_off_goes_on_in_time_though_the_clock_went_back(
    bench: Bench, step_ms: int
) -> None:
    bench.fold(*(seen(order_id=number) for number in range(1, 5)))
    steady = Steady()
    graph = Graph(one_by_one(*(NotSent("ClientConnectorError") for _ in range(4))))
    sender = bench.sender(graph, steady_ms=steady, batch=1, in_flight=1)
    await sender.drain()
    refused = len(graph.batches)
    bench.clock.ms += step_ms
    with bench.store.begin() as transaction:
        transaction.execute("UPDATE outbox SET due_ms = :now", now=bench.clock.ms)
    steady.ms += 60_000
    await sender.drain()
    assert len(graph.batches) > refused


async def test_a_wait_counts_from_the_answer_though_the_clock_went_back_meanwhile(
    bench: Bench,
) -> None:
    bench.fold(seen())

    async def call(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        bench.clock.ms -= HOUR_MS
        raise NotSent("ClientConnectorError")

    await bench.sender(call).drain()
    row = bench.row()
    assert row.outcome == "pending"
    assert 0 <= (row.due_ms or 0) - bench.clock.ms <= 1_000


async def test_a_sale_that_came_while_the_clock_was_ahead_is_due_now(bench: Bench) -> None:
    ahead_ms = NOW_MS + 24 * HOUR_MS
    bench.fold(seen(received_ms=ahead_ms))
    row = bench.row()
    assert (row.outcome, row.due_ms) == ("pending", NOW_MS)
    assert row.event_time_s <= (NOW + timedelta(seconds=1)).timestamp()
