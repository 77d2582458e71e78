"""Meta's own view of match quality: polled, shown, and why not where it may not be read."""

import time
from collections.abc import Mapping

from destinations.delivery.transport import HttpAnswer, aiohttp_call, client_session
from destinations.meta.dataset.comparison import compared
from destinations.meta.dataset.quality import AGAIN_MS, EVERY_MS, QualityPoller, quality_url
from destinations.meta.schema import DatasetQuality, EventQuality
from simulator.meta.graph import GraphStandIn
from tests.support.delivery.capi_orders import TOKEN, accounts, settings
from tests.support.delivery.sender_bench import Bench, refusal

pytest_plugins = ("tests.support.delivery.sender_fixtures",)


async def test_match_quality_is_polled_every_six_hours_and_shown_beside_our_own_counts(
    bench: Bench,
) -> None:
    async with GraphStandIn(tokens={TOKEN: None}) as standing, client_session() as session:
        bench.settings = settings(graph_url=standing.url)
        bench.clock.ms = time.time_ns() // 1_000_000
        call = aiohttp_call(session)
        (account,) = accounts(bench.settings)
        poller = QualityPoller(bench.store, [account], call, clock_ms=bench.clock)
        assert await poller.poll(account)
        assert not await poller.poll(account)
        answer = bench.state()["dataset_quality"]
        assert (answer["events"], answer["reason"]) == ({}, None)
        assert TOKEN not in quality_url(bench.settings)


def feedback(both: float) -> list[dict[str, object]]:
    return [
        {
            "dedupe_key": "event_id",
            "browser_events_with_dedupe_key": {"percentage": 100},
            "server_events_with_dedupe_key": {"percentage": 100.0},
            "overall_browser_coverage_from_dedupe_key": {"percentage": both},
        }
    ]


async def test_the_score_of_purchases_is_kept_day_by_day(bench: Bench) -> None:
    async with GraphStandIn(tokens={TOKEN: None}) as graph, client_session() as session:
        bench.settings = settings(graph_url=graph.url)
        (account,) = accounts(bench.settings)
        poller = QualityPoller(bench.store, [account], aiohttp_call(session), clock_ms=bench.clock)
        scores = [6.5, 7.0, None, 8.5]
        for score in scores:
            graph.dataset["Purchase"] = {"event_match_quality": {"composite_score": score}}
            for _ in range(4):  # Of a day the last one counts.
                assert await poller.poll(account)
                bench.clock.ms += EVERY_MS
    trend = bench.state()["dataset_quality"]["trend"]
    assert [each["event_match_quality"] for each in trend][-1] == 8.5
    assert {each["event_match_quality"] for each in trend} == {6.5, 7.0, 8.5}
    assert [each["day"] for each in trend] == sorted({each["day"] for each in trend})


async def test_before_switching_on_another_server_that_sends_purchases_is_found(
    bench: Bench,
) -> None:
    async with GraphStandIn(tokens={TOKEN: None}) as graph, client_session() as session:
        bench.settings = settings(graph_url=graph.url, dry_run=True)
        (account,) = accounts(bench.settings)
        poller = QualityPoller(bench.store, [account], aiohttp_call(session), clock_ms=bench.clock)
        assert bench.state()["comparison"]["another_server"] is None
        await poller.poll(account)
        found = bench.state()["comparison"]
        assert (found["another_server"], found["servers_by_browser"]) == (False, None)
        graph.dataset["Purchase"] = {
            "event_coverage": {"percentage": 92.0, "goal_percentage": 75},
            "dedupe_key_feedback": feedback(12.5),
        }
        bench.clock.ms += EVERY_MS
        await poller.poll(account)
        found = bench.state()["comparison"]
        assert (found["another_server"], found["servers_by_browser"], found["goal"]) == (
            True,
            0.92,
            0.75,
        )
        assert "another server" in found["meaning"]
        assert found["dedupe_keys"] == [
            {"key": "event_id", "browser": 1.0, "server": 1.0, "both": 0.125}
        ]


def test_event_ids_that_the_browser_does_not_share_are_reported_once_we_send() -> None:
    quality = DatasetQuality(
        events={
            "Purchase": EventQuality(
                event_match_quality=8.1,
                coverage_percent={},
                event_coverage={"percentage": 92.0},
                dedupe_key_feedback=feedback(12.5),
                data_freshness=None,
            )
        },
        reason=None,
        as_of="",
    )
    found = compared(quality, {"sent": 40, "dry_run": 2, "skipped": 7})
    assert (found.built, found.sent, found.another_server) == (42, 40, None)
    assert "META_EVENT_ID" in found.meaning


async def test_meta_is_asked_immediately_for_another_pixel_and_soon_where_it_gave_no_answer(
    bench: Bench,
) -> None:
    answers = [refusal(10, message="no")]

    async def call(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        return answers[0]

    (account,) = accounts(bench.settings)
    poller = QualityPoller(bench.store, [account], call, clock_ms=bench.clock)
    assert await poller.poll(account)
    bench.clock.ms += AGAIN_MS - 1
    assert not await poller.poll(account)
    bench.clock.ms += 1
    answers[0] = HttpAnswer(200, {}, b'{"web": []}')
    assert await poller.poll(account)
    bench.clock.ms += EVERY_MS - 1
    assert not await poller.poll(account)
    (other,) = accounts(settings(pixel_id="4711"))
    assert await poller.poll(other)


async def test_match_quality_that_may_not_be_read_says_why(bench: Bench) -> None:
    async def refused(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        return refusal(10, message=f"no permission for {TOKEN}")

    (account,) = accounts(bench.settings)
    poller = QualityPoller(bench.store, [account], refused, clock_ms=bench.clock)
    assert await poller.poll(account)
    reason = bench.state()["dataset_quality"]["reason"]
    assert "configuration, code 10" in reason
    assert TOKEN not in reason
