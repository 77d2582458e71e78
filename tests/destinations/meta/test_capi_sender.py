"""The sender: what goes out, when, in which batches, and what a death, a stop or a user's retry
does to it."""

import asyncio
import json
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager

import pytest
from prometheus_client import CollectorRegistry

from destinations.delivery.answer import retry
from destinations.delivery.results import parsed
from destinations.delivery.schema import Retried
from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.transport import HttpAnswer
from destinations.meta.graph import appsecret_proof
from destinations.meta.settings import CapiSettings
from stream.metrics import DeliveryMetrics
from stream.store.contract import StoreUnavailable, Transaction
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import (
    ACCOUNT,
    NOW_MS,
    PIXEL,
    SHOP,
    TOKEN,
    destinations,
    processor,
    seen,
    settings,
)
from tests.support.delivery.outbox import assert_cells_are_the_sum_over_rows, rows
from tests.support.delivery.sender_bench import (
    FOR_EVER_S,
    MINUTE_MS,
    SECRET,
    Bench,
    Clock,
    Graph,
    ok,
    one_by_one,
    refusal,
)

pytest_plugins = ("tests.support.delivery.sender_fixtures",)


async def test_what_is_due_goes_out_in_one_request_with_the_token_in_the_header_only(
    quick_store: SqlStore,
) -> None:
    bench, graph = Bench(quick_store, app_secret=SECRET), Graph(one_by_one())
    bench.fold(*(seen(order_id=number) for number in range(1, 6)))
    await bench.sender(graph).drain()
    assert [sorted(batch) for batch in graph.batches] == [["1", "2", "3", "4", "5"]]
    ((method, url, headers),) = graph.asked
    assert (method, url) == ("POST", f"https://graph.facebook.com/v27.0/{PIXEL}/events")
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert graph.bodies[0]["appsecret_proof"] == appsecret_proof(SECRET, TOKEN)
    assert TOKEN not in json.dumps(graph.bodies)
    assert SECRET not in json.dumps(graph.bodies)
    assert set(bench.outcomes().values()) == {"sent"}
    assert_cells_are_the_sum_over_rows(quick_store)


async def test_a_retry_probes_a_paused_pixel_immediately(bench: Bench) -> None:
    graph = Graph(one_by_one(refusal(190, status=401)))
    bench.fold(seen())
    sender = bench.sender(graph)
    await sender.drain()
    with bench.store.begin() as transaction:
        assert retry(transaction, SHOP, ACCOUNT, bench.clock.ms) == Retried(probed=1)
    await sender.drain()
    assert bench.row().outcome == "sent"


async def test_a_dead_event_goes_again_when_a_user_asks(bench: Bench) -> None:
    graph = Graph(one_by_one(refusal(100, 2804009)))
    bench.fold(seen())
    sender = bench.sender(graph)
    await sender.drain()
    assert bench.row().outcome == "dead"
    with bench.store.begin() as transaction:
        assert retry(transaction, SHOP, ACCOUNT, bench.clock.ms).retried == 1
    await sender.drain()
    assert bench.row().outcome == "sent"


async def test_no_request_is_larger_than_the_batch(bench: Bench) -> None:
    graph = Graph(one_by_one())
    bench.fold(*(seen(order_id=number) for number in range(1, 26)))
    await bench.sender(graph, batch=10).drain()
    assert sorted(len(batch) for batch in graph.batches) == [5, 10, 10]


async def test_a_sender_that_dies_while_sending_leaves_rows_that_may_have_been_accepted(
    bench: Bench,
) -> None:
    started = asyncio.Event()

    async def hangs(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    bench.fold(seen())
    task = asyncio.create_task(bench.sender(hangs).run())
    await started.wait()
    assert bench.row().outcome == "sending"
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    graph = Graph(one_by_one())
    await bench.sender(graph).drain()
    assert graph.batches == []
    bench.clock.ms += Tuning().lease_ms
    await bench.sender(graph).drain()
    assert graph.batches == [["1001"]]
    assert [attempt["class"] for attempt in parsed(bench.row().attempts)] == ["lost", "sent"]
    assert_cells_are_the_sum_over_rows(bench.store)


async def test_a_test_event_code_is_sent_for_its_hours_and_then_pauses_the_pixel_until_it_is_gone(
    quick_store: SqlStore,
) -> None:
    bench, graph = Bench(quick_store, test_event_code="TEST1", test_hours=2), Graph(one_by_one())
    bench.fold(seen(order_id=1))
    await bench.sender(graph).drain()
    assert graph.bodies[0]["test_event_code"] == "TEST1"
    bench.clock.ms += 2 * 60 * MINUTE_MS
    bench.fold(seen(order_id=2))
    sender = bench.sender(graph)
    await sender.drain()
    assert len(graph.batches) == 1
    paused = bench.state()["paused"]
    assert (paused["class"], paused["code"]) == ("configuration", "test_event_code")
    assert "META_TEST_EVENT_CODE" in paused["message"]
    bench.settings = settings()
    await bench.sender(graph).drain()
    assert "test_event_code" not in graph.bodies[1]
    assert bench.outcomes() == {"1": "sent", "2": "sent"}


async def test_another_test_event_code_or_a_short_break_makes_the_hours_no_longer(
    quick_store: SqlStore,
) -> None:
    bench, graph = Bench(quick_store), Graph(one_by_one())
    sent: list[int] = []
    for number, (minutes, code) in enumerate(
        [
            (0, "A"),
            (90, "B"),
            (40, "C"),
            (60, None),
            (10, "D"),
            (23 * 60, "D"),
            (60, None),
            (25 * 60, "E"),
        ]
    ):
        bench.clock.ms += minutes * MINUTE_MS
        bench.settings = settings(test_event_code=code, test_hours=2)
        bench.fold(seen(order_id=number + 1, received_ms=bench.clock.ms))
        await bench.sender(graph).drain()
        sent.append(sum(map(len, graph.batches)))
    assert sent == [1, 2, 2, 4, 4, 4, 7, 8]
    assert [body.get("test_event_code") for body in graph.bodies] == ["A", "B", None, None, "E"]


async def test_a_paused_pixel_does_not_hold_up_another(quick_store: SqlStore) -> None:
    other = CapiSettings(shop="other.myshopify.com", pixel_id="99", access_token="EAAother")
    shops = [settings(), other]
    with quick_store.begin() as transaction:
        processor(*shops).apply(
            transaction, [seen(order_id=1), seen(order_id=2, shop=other.shop)], NOW_MS
        )

    async def answer(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        return refusal(190, status=401) if f"/{PIXEL}/" in url else ok(1)

    clock = Clock()
    await OutboxSender(
        quick_store,
        destinations(*shops),
        answer,
        clock_ms=clock,
        steady_ms=clock,
        sleep=clock.sleep,
    ).drain()
    assert {row.order_id: row.outcome for row in rows(quick_store)} == {"1": "pending", "2": "sent"}


class FailingOnce:
    """A store whose `number`-th transaction cannot begin."""

    def __init__(self, store: SqlStore, number: int) -> None:
        self._store, self._left, self.dialect = store, number, store.dialect
        self.snapshot, self.close = store.snapshot, store.close

    def begin(self) -> AbstractContextManager[Transaction]:
        self._left -= 1
        if self._left == 0:
            raise StoreUnavailable("the database cannot do this now")
        return self._store.begin()


async def test_a_store_that_fails_while_pixels_are_made_known_leaves_none_of_them_out(
    quick_store: SqlStore,
) -> None:
    other = CapiSettings(shop="other.myshopify.com", pixel_id="99", access_token="EAAother")
    shops = [settings(), other]
    with quick_store.begin() as transaction:
        processor(*shops).apply(
            transaction, [seen(order_id=1), seen(order_id=2, shop=other.shop)], NOW_MS
        )
    sender = OutboxSender(
        FailingOnce(quick_store, 2), destinations(*shops), Graph(one_by_one()), clock_ms=Clock()
    )
    await sender.drain()
    await sender.drain()
    assert {row.order_id: row.outcome for row in rows(quick_store)} == {"1": "sent", "2": "sent"}


@pytest.mark.parametrize(
    "shops", [None, {SHOP, "another.myshopify.com"}], ids=["for anybody", "for these shops"]
)
async def test_a_woken_sender_sends_immediately(bench: Bench, shops: set[str] | None) -> None:
    graph, arrived = Graph(one_by_one()), asyncio.Event()

    async def call(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        arrived.set()
        return await graph(method, url, headers, body, timeout_s)

    metrics = DeliveryMetrics(registry := CollectorRegistry())
    sender = OutboxSender(
        bench.store,
        destinations(bench.settings),
        call,
        metrics=metrics,
        tuning=Tuning(poll_s=FOR_EVER_S),
        clock_ms=bench.clock,
        steady_ms=bench.clock,
    )
    bench.fold(seen(order_id=1))
    running = asyncio.create_task(sender.run())
    await arrived.wait()
    arrived.clear()
    bench.clock.ms += 1000
    bench.fold(seen())
    sender.wake(shops)
    await arrived.wait()
    sender.stop()
    await running
    assert bench.row().outcome == "sent"
    assert (
        registry.get_sample_value(
            "orderwire_delivery_requests_total", {"kind": "meta", "class": "sent"}
        )
        == 2
    )


async def test_a_claim_that_is_just_being_made_when_the_end_comes_is_still_sent_and_settled(
    bench: Bench,
) -> None:
    graph = Graph(one_by_one())

    async def call(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        await asyncio.sleep(0.05)
        return await graph(method, url, headers, body, timeout_s)

    def claim_id() -> str:
        sender.stop()
        return "the last claim"

    sender = OutboxSender(
        bench.store,
        destinations(bench.settings),
        call,
        clock_ms=bench.clock,
        steady_ms=bench.clock,
        new_id=claim_id,
    )
    bench.fold(seen())
    await sender.run()
    assert bench.row().outcome == "sent"
    assert len(graph.batches) == 1


async def test_nothing_is_claimed_for_a_slot_that_comes_free_after_the_end(bench: Bench) -> None:
    graph = Graph(one_by_one())

    async def call(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        sender.stop()
        return await graph(method, url, headers, body, timeout_s)

    sender = OutboxSender(
        bench.store,
        destinations(bench.settings),
        call,
        tuning=Tuning(batch=2, in_flight=1),
        clock_ms=bench.clock,
        steady_ms=bench.clock,
    )
    bench.fold(*(seen(order_id=number) for number in range(1, 5)))
    await sender.run()
    assert sorted(bench.outcomes().values()) == ["pending", "pending", "sent", "sent"]


@pytest.mark.parametrize("turns", range(6))
async def test_a_sender_that_is_cancelled_just_as_it_is_woken_ends(
    bench: Bench, turns: int
) -> None:
    sender = bench.sender(Graph(one_by_one()), poll_s=3_600)
    running = asyncio.create_task(sender.run())
    await asyncio.sleep(0.05)
    sender.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()


async def test_events_in_flight_are_at_most_four_full_requests(bench: Bench) -> None:
    answered, in_flight, most = asyncio.Event(), 0, 0
    graph = Graph(one_by_one())

    async def call(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        nonlocal in_flight, most
        events = len(json.loads(body or b"")["data"])
        in_flight, most = in_flight + events, max(most, in_flight + events)
        if in_flight == 20:
            asyncio.get_running_loop().call_later(0.1, answered.set)
        await answered.wait()
        in_flight -= events
        return await graph(method, url, headers, body, timeout_s)

    sender = OutboxSender(
        bench.store,
        destinations(bench.settings),
        call,
        tuning=Tuning(batch=5, in_flight=16, spacing_ms=0),
        clock_ms=bench.clock,
        steady_ms=bench.clock,
    )
    bench.fold(*(seen(order_id=number) for number in range(1, 61)))
    await sender.drain()
    assert most == 20
    assert set(bench.outcomes().values()) == {"sent"}


@pytest.mark.parametrize(
    ("events", "took_ms", "wait_ms"),
    [(1, 0, 2), (3, 0, 6), (3, 4, 8), (30, 0, 40), (3, 100, None)],
)
async def test_a_claim_waits_for_each_event_of_the_one_before_and_never_more_than_the_spacing(
    bench: Bench, events: int, took_ms: int, wait_ms: int | None
) -> None:
    waits_ms: list[int] = []

    async def sleep(seconds: float) -> None:
        waits_ms.append(round(seconds * 1_000))
        await bench.clock.sleep(seconds)

    def steady_ms() -> int:
        if threading.current_thread() is not threading.main_thread():  # Within the claim.
            bench.clock.ms += took_ms
        return bench.clock()

    sender = OutboxSender(
        bench.store,
        destinations(bench.settings),
        Graph(one_by_one()),
        tuning=Tuning(batch=events, in_flight=8, spacing_ms=40),
        clock_ms=bench.clock,
        steady_ms=steady_ms,
        sleep=sleep,
    )
    bench.fold(*(seen(order_id=number) for number in range(1, 2 * events + 1)))
    await sender.drain()
    assert waits_ms[:1] == ([] if wait_ms is None else [wait_ms])
