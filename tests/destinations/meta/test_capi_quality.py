"""Meta's own view of match quality: polled, shown, and why not where it may not be read."""

import time
from collections.abc import Mapping

from destinations.delivery.transport import Answer, aiohttp_call, client_session
from destinations.meta.quality import QualityPoller, quality_url
from simulator.meta.graph import GraphStandIn
from tests.support.capi_orders import TOKEN, accounts, settings
from tests.support.sender_bench import Bench, refusal

pytest_plugins = ("tests.support.sender_fixtures",)


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
        told = bench.state()["dataset_quality"]
        assert (told["events"], told["reason"]) == ({}, None)
        assert TOKEN not in quality_url(bench.settings)


async def test_match_quality_that_may_not_be_read_says_why(bench: Bench) -> None:
    async def refused(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        return refusal(10, message=f"no permission for {TOKEN}")

    (account,) = accounts(bench.settings)
    poller = QualityPoller(bench.store, [account], refused, clock_ms=bench.clock)
    assert await poller.poll(account)
    reason = bench.state()["dataset_quality"]["reason"]
    assert "configuration, code 10" in reason
    assert TOKEN not in reason
