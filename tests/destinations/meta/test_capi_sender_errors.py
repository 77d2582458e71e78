"""The sender against every class of error that Meta has."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from msgspec import to_builtins
from prometheus_client import CollectorRegistry

from destinations.delivery.answer import order, retry
from destinations.delivery.results import parsed
from destinations.delivery.transport import HttpAnswer, NoAnswer, NotSent
from stream.metrics import DeliveryMetrics
from tests.support.delivery.capi_orders import FBCLID, NOW_MS, TOKEN, seen
from tests.support.delivery.outbox import assert_cells_are_the_sum_over_rows
from tests.support.delivery.sender_bench import (
    META,
    MINUTE_MS,
    Bench,
    Graph,
    ok,
    one_by_one,
    refusal,
)

pytest_plugins = ("tests.support.delivery.sender_fixtures",)


async def test_a_transient_error_is_tried_again_after_a_while_with_the_same_payload(
    bench: Bench,
) -> None:
    graph = Graph(one_by_one(refusal(1, status=503)))
    bench.fold(seen())
    sender = bench.sender(graph)
    await sender.drain()
    assert (bench.row().outcome, bench.row().due_ms) == ("pending", NOW_MS + 750)
    bench.clock.ms += 1000
    await sender.drain()
    assert graph.bodies[0] == graph.bodies[1]
    assert bench.row().outcome == "sent"
    assert [(a["class"], a["http_status"], a["code"]) for a in parsed(bench.row().attempts)] == [
        ("transient", 503, 1),
        ("sent", 200, None),
    ]


@pytest.mark.parametrize(
    ("error", "outcome", "kind"),
    [
        (NoAnswer("TimeoutError"), "maybe_accepted", "ambiguous"),
        (NotSent("ClientConnectorDNSError"), "pending", "transient"),
    ],
)
async def test_only_an_answer_that_never_came_is_ambiguous(
    bench: Bench, error: Exception, outcome: str, kind: str
) -> None:
    graph = Graph(one_by_one(error))
    bench.fold(seen())
    sender = bench.sender(graph)
    await sender.drain()
    assert bench.row().outcome == outcome
    bench.clock.ms += 1000
    await sender.drain()
    assert bench.row().outcome == "sent"
    assert [attempt["class"] for attempt in parsed(bench.row().attempts)] == [kind, "sent"]
    assert graph.batches == [["1001"], ["1001"]]
    assert_cells_are_the_sum_over_rows(bench.store)


@pytest.mark.parametrize("minutes", [5, 180])
async def test_a_throttle_waits_as_long_as_the_header_says_and_others_wait_too(
    bench: Bench, minutes: int
) -> None:
    usage = {
        "X-Business-Use-Case-Usage": json.dumps(
            {"1": [{"estimated_time_to_regain_access": minutes}]}
        )
    }
    graph = Graph(one_by_one(refusal(80004, 2446079, headers=usage)))
    bench.fold(seen(order_id=1))
    await bench.sender(graph).drain()
    bench.fold(seen(order_id=2))
    assert bench.state()["state"] == "throttled"
    bench.clock.ms += (minutes - 1) * MINUTE_MS
    await bench.sender(graph).drain()
    assert len(graph.batches) == 1
    bench.clock.ms += MINUTE_MS
    await bench.sender(graph).drain()
    assert sorted(graph.batches[1]) == ["1", "2"]
    assert set(bench.outcomes().values()) == {"sent"}


async def test_a_token_outage_pauses_the_pixel_and_one_probe_resumes_it(bench: Bench) -> None:
    working = False

    def answer(number: int, events: list[dict[str, Any]]) -> HttpAnswer:
        return (
            ok(len(events))
            if working
            else refusal(190, 463, 401, message=f"Malformed access token {TOKEN}")
        )

    graph = Graph(answer)
    bench.fold(*(seen(order_id=number) for number in range(1, 5)))
    sender = bench.sender(graph)
    with structlog.testing.capture_logs() as logs:
        await sender.drain()
    paused = bench.state()["paused"]
    assert (paused["class"], paused["code"], paused["message"]) == (
        "configuration",
        190,
        "Malformed access token [secret]",
    )
    assert TOKEN not in json.dumps(logs)
    assert set(bench.outcomes().values()) == {"pending"}
    bench.clock.ms += 15_000
    await sender.drain()
    assert [len(batch) for batch in graph.batches] == [4, 1]
    working = True
    bench.clock.ms += 15_000
    await sender.drain()
    assert len(graph.batches) == 2
    bench.clock.ms += 15_000
    await sender.drain()
    assert [len(batch) for batch in graph.batches] == [4, 1, 1, 3]
    assert (bench.state()["state"], bench.state()["paused"]) == ("sending", None)
    assert set(bench.outcomes().values()) == {"sent"}
    assert_cells_are_the_sum_over_rows(bench.store)


async def test_requests_that_were_in_flight_when_the_token_failed_do_not_put_off_the_first_probe(
    bench: Bench,
) -> None:
    asked, all_there = 0, asyncio.Event()

    async def call(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        nonlocal asked
        asked += 1
        if asked == 4:
            all_there.set()
        await all_there.wait()
        return refusal(190, status=401)

    bench.fold(*(seen(order_id=number) for number in range(1, 9)))
    await bench.sender(call, batch=2).drain()
    assert asked == 4
    assert bench.state()["paused"]["next_probe_at"] == "2026-11-22T12:00:15.000Z"


async def test_a_refused_batch_is_halved_until_the_bad_event_is_alone(bench: Bench) -> None:
    def answer(number: int, events: list[dict[str, Any]]) -> HttpAnswer:
        return (
            refusal(100, 2804009)
            if any(event["event_id"] in ("5", "12") for event in events)
            else ok(len(events))
        )

    graph = Graph(answer)
    bench.fold(*(seen(order_id=number) for number in range(1, 21)))
    await bench.sender(graph).drain()
    outcomes = bench.outcomes()
    assert {order_id for order_id, outcome in outcomes.items() if outcome == "dead"} == {"5", "12"}
    assert Counter(outcomes.values()) == {"sent": 18, "dead": 2}
    assert "2804009" in bench.row("5").reason
    with bench.store.snapshot() as snapshot:
        found = to_builtins(order(snapshot, META, "5"))
    assert found is not None
    assert found["attempts"][-1]["fbtrace_id"] == "No"
    accepted = Counter(
        event_id for batch in graph.batches for event_id in batch if not {"5", "12"} & set(batch)
    )
    assert set(accepted.values()) == {1}
    assert_cells_are_the_sum_over_rows(bench.store)


@pytest.mark.parametrize("orders", [3, 300])
async def test_where_all_events_are_refused_alike_none_is_dead_and_the_pixel_pauses(
    bench: Bench, orders: int
) -> None:
    mended = False
    graph = Graph(
        lambda number, events: ok(len(events)) if mended else refusal(100, 2804019, message="No")
    )
    bench.fold(*(seen(order_id=number) for number in range(1, orders + 1)))
    sender = bench.sender(graph)
    await sender.drain()
    assert set(bench.outcomes().values()) == {"pending"}
    assert len(graph.batches) < 60
    paused = bench.state()["paused"]
    assert (bench.state()["state"], paused["class"]) == ("paused", "permanent")
    assert paused["code"] == "100/2804019"
    assert "2804019" in paused["message"]
    for _ in range(3):
        probed = len(graph.batches)
        bench.clock.ms += 5 * MINUTE_MS
        await sender.drain()
        assert [len(batch) for batch in graph.batches[probed:]] == [1]
    assert bench.state()["state"] == "paused"
    assert len({*graph.batches[-1], *graph.batches[-2], *graph.batches[-3]}) == 3
    mended = True
    bench.clock.ms += 5 * MINUTE_MS
    await sender.drain()
    assert set(bench.outcomes().values()) == {"sent"}
    assert bench.state()["state"] == "sending"
    assert_cells_are_the_sum_over_rows(bench.store)


async def test_events_of_a_quiet_shop_that_are_refused_alike_in_a_row_pause_the_pixel_and_live(
    bench: Bench,
) -> None:
    """Each was a claim of its own, so each died by itself before."""
    mended = False
    graph = Graph(lambda number, events: ok(len(events)) if mended else refusal(100, 2804019))
    for number in range(1, 4):
        bench.fold(seen(order_id=number))
        await bench.sender(graph).drain()
        bench.clock.ms += 60 * MINUTE_MS
        if number < 3:
            assert bench.outcomes()[str(number)] == "dead"
            assert bench.state()["state"] == "sending"
    assert graph.batches == [["1"], ["2"], ["3"]]
    assert set(bench.outcomes().values()) == {"pending"}
    assert (bench.state()["state"], bench.state()["paused"]["code"]) == ("paused", "100/2804019")
    assert_cells_are_the_sum_over_rows(bench.store)
    mended = True
    await bench.sender(graph).drain()
    assert set(bench.outcomes().values()) == {"sent"}
    assert bench.state()["state"] == "sending"
    assert_cells_are_the_sum_over_rows(bench.store)


@pytest.mark.parametrize("between", [None, 2804008])
async def test_an_event_accepted_or_refused_for_another_cause_ends_the_row_of_refusals(
    bench: Bench, between: int | None
) -> None:
    def answer(number: int, events: list[dict[str, Any]]) -> HttpAnswer:
        if number != 3:
            return refusal(100, 2804019)
        return ok(len(events)) if between is None else refusal(100, between)

    graph = Graph(answer)
    for number in range(1, 6):
        bench.fold(seen(order_id=number))
        await bench.sender(graph).drain()
    assert bench.state()["state"] == "sending"
    outcomes = bench.outcomes()
    assert outcomes.pop("3") == ("sent" if between is None else "dead")
    assert set(outcomes.values()) == {"dead"}


async def test_one_event_that_is_retried_again_and_again_pauses_nothing(bench: Bench) -> None:
    graph = Graph(lambda number, events: refusal(100, 2804019))
    bench.fold(seen(order_id=1))
    for _ in range(4):
        await bench.sender(graph).drain()
        with bench.store.begin() as transaction:
            retry(transaction, META.shop, META.name, bench.clock.ms)
    assert len(graph.batches) == 4
    assert bench.state()["state"] == "sending"


async def test_two_events_refused_for_two_causes_are_at_fault_themselves(bench: Bench) -> None:
    graph = Graph(
        lambda number, events: refusal(100, 2804009 if events[0]["event_id"] == "1" else 2804008)
    )
    bench.fold(*(seen(order_id=number) for number in range(1, 4)))
    await bench.sender(graph).drain()
    assert set(bench.outcomes().values()) == {"dead"}
    assert bench.state()["state"] == "sending"


async def test_a_bad_click_id_is_taken_off_the_one_event_that_has_it_and_it_goes_again(
    bench: Bench,
) -> None:
    def answer(number: int, events: list[dict[str, Any]]) -> HttpAnswer:
        return (
            refusal(100, 2804001)
            if any(str(event["user_data"].get("fbc", "")).endswith("BAD") for event in events)
            else ok(len(events))
        )

    graph = Graph(answer)
    bench.fold(
        seen(order_id=1), seen(order_id=2, landing_site=f"/?fbclid={FBCLID}BAD"), seen(order_id=3)
    )
    await bench.sender(graph).drain()
    assert bench.outcomes() == {"1": "sent", "2": "sent", "3": "sent"}
    kept = {
        event["event_id"]: "fbc" in event["user_data"]
        for body in graph.bodies
        for event in body["data"]
    }
    assert kept == {"1": True, "2": False, "3": True}
    assert "fbc" not in bench.row("2").match_keys
    assert_cells_are_the_sum_over_rows(bench.store)


async def test_a_batch_that_was_taken_in_part_is_sent_again_in_halves(bench: Bench) -> None:
    graph = Graph(one_by_one(ok(1)))
    bench.fold(seen(order_id=1), seen(order_id=2))
    metrics = DeliveryMetrics(registry := CollectorRegistry())
    await bench.sender(graph, metrics=metrics).drain()
    assert sorted(map(len, graph.batches)) == [1, 1, 2]
    assert bench.outcomes() == {"1": "sent", "2": "sent"}
    assert registry.get_sample_value("orderwire_delivery_seconds_count", {"kind": "meta"}) == 2


async def test_one_event_that_meta_did_not_count_is_tried_again(bench: Bench) -> None:
    graph = Graph(one_by_one(ok(0)))
    bench.fold(seen())
    sender = bench.sender(graph)
    await sender.drain()
    assert bench.row().outcome == "pending"
    bench.clock.ms += 1000
    await sender.drain()
    assert bench.row().outcome == "sent"


async def test_when_meta_fails_again_and_again_the_lane_itself_backs_off(bench: Bench) -> None:
    graph = Graph(lambda number, events: refusal(1, status=500))
    bench.fold(*(seen(order_id=number) for number in range(1, 41)))
    await bench.sender(graph, batch=1).drain()
    assert len(graph.batches) < 20


async def test_a_network_that_is_away_shows_in_gauges_and_once_a_minute_in_the_log(
    bench: Bench,
) -> None:
    async def away(*request: object, **options: object) -> HttpAnswer:
        raise NotSent("ClientConnectorDNSError")

    bench.fold(*(seen(order_id=number) for number in range(1, 41)))
    metrics = DeliveryMetrics(registry := CollectorRegistry())
    sender = bench.sender(away, batch=1, metrics=metrics)
    with structlog.testing.capture_logs() as logs:
        for _ in range(10):
            await sender.drain()
            bench.clock.ms += MINUTE_MS // 2
    lines = [line for line in logs if line["event"] == "requests fail"]
    assert 4 <= len(lines) <= 6
    assert "ClientConnectorDNSError" in lines[-1]["cause"]
    labels = {
        "kind": "meta",
        "shop": bench.settings.shop,
        "destination": "meta",
        "account": bench.settings.pixel_id,
    }
    assert registry.get_sample_value("orderwire_delivery_failing", labels) == 1
    assert registry.get_sample_value("orderwire_delivery_pending_events", labels) == 40
    age = registry.get_sample_value("orderwire_delivery_oldest_unsent_seconds", labels)
    assert age is not None
    assert age > 240


async def test_one_request_that_ran_into_its_time_out_makes_the_account_failing(
    bench: Bench,
) -> None:
    async def silent(*request: object, **options: object) -> HttpAnswer:
        bench.clock.ms += 10_000
        raise NotSent("TimeoutError")

    bench.fold(seen(order_id=1))
    metrics = DeliveryMetrics(CollectorRegistry())
    with structlog.testing.capture_logs() as logs:
        await bench.sender(silent, metrics=metrics).drain()
    assert [line["cause"] for line in logs if line["event"] == "requests fail"] == [
        "no connection (TimeoutError)"
    ]
