"""Insights read from the stand-in: pages, report runs, limits, and Meta's refusals."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from ingest.meta import graph as client
from ingest.meta.graph import (
    Away,
    Graph,
    GraphAccess,
    GraphCallStopped,
    GraphRefused,
    Throttled,
    pause_s,
    usage,
)
from ingest.meta.insights import (
    InsightsAccount,
    ad_account,
    campaign_days,
    daily_budgets,
    with_budgets,
)
from ingest.spend.campaign_day import CampaignDay
from simulator.meta.ads import Ads
from simulator.meta.graph import GraphStandIn
from simulator.meta.replies import error_body

T = TypeVar("T")
ACCOUNT = InsightsAccount("77", "EUR", "Europe/Paris")
UNTIL = date(2026, 11, 26)


def spend_row(day: date, campaign_id: str = "1", **changes: Any) -> dict[str, Any]:
    return {
        "date": day.isoformat(),
        "channel": "meta",
        "campaign_id": campaign_id,
        "campaign_name": f"Campaign {campaign_id}",
        "spend": "12.34",
        "impressions": 900,
        "clicks": 30,
        "platform_orders": 3,
        "platform_revenue": "99.90",
        **changes,
    }


@pytest.fixture
def ads() -> Ads:
    return Ads("77", [spend_row(UNTIL - timedelta(days=back)) for back in range(40)])


@pytest.fixture
async def stand_in(ads: Ads) -> AsyncIterator[GraphStandIn]:
    async with GraphStandIn(tokens={"good": None}, app_secret="secret", ads=[ads]) as graph:
        yield graph


class Waits:
    """Notes waits instead of waiting."""

    def __init__(self, stop: bool = False) -> None:
        self.seconds: list[float] = []
        self.stop = stop

    def __call__(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return self.stop


def connected(stand_in: GraphStandIn, waits: Waits | None = None, token: str = "good") -> Graph:
    return Graph(GraphAccess(token, "secret", stand_in.url, "v27.0"), "act_77", waits or Waits())


async def asked(call: Callable[[], T]) -> T:
    return await asyncio.to_thread(call)


async def test_a_campaigns_day_has_its_spend_and_one_kind_of_purchase_never_the_sum(
    stand_in: GraphStandIn,
) -> None:
    graph = connected(stand_in)
    assert await asked(lambda: ad_account(graph)) == ACCOUNT
    (day,) = await asked(lambda: campaign_days(graph, ACCOUNT, UNTIL, UNTIL))
    assert day == CampaignDay(
        date=UNTIL,
        channel="meta",
        campaign_id="1",
        campaign_name="Campaign 1",
        currency="EUR",
        spend=Decimal("12.34"),
        impressions=900,
        clicks=30,
        platform_revenue=Decimal("99.90"),
        platform_orders=3,
        time_zone="Europe/Paris",
    )
    assert "token_in_url" not in stand_in.account.findings


async def test_every_page_is_read_by_its_cursor(
    stand_in: GraphStandIn, ads: Ads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PAGE", 2)
    graph = connected(stand_in)
    days = await asked(lambda: campaign_days(graph, ACCOUNT, UNTIL - timedelta(days=4), UNTIL))
    assert [each.date for each in days] == [
        UNTIL - timedelta(days=back) for back in (4, 3, 2, 1, 0)
    ]
    assert ads.calls == ["GET act_77/insights"] * 3


async def test_many_days_are_read_by_a_report_run_that_is_waited_for(
    stand_in: GraphStandIn, ads: Ads
) -> None:
    waits = Waits()
    graph = connected(stand_in, waits)
    days = await asked(lambda: campaign_days(graph, ACCOUNT, UNTIL - timedelta(days=27), UNTIL))
    assert len(days) == 28
    assert ads.calls[0] == "POST act_77/insights"
    assert waits.seconds == [1.0, 2.0]


async def test_what_meta_finds_too_much_is_asked_for_again_as_a_report_run(
    stand_in: GraphStandIn, ads: Ads
) -> None:
    ads.rows = [spend_row(UNTIL, str(number)) for number in range(2_001)]
    graph = connected(stand_in)
    days = await asked(lambda: campaign_days(graph, ACCOUNT, UNTIL, UNTIL))
    assert len(days) == 2_001
    assert ads.calls[:2] == ["GET act_77/insights", "POST act_77/insights"]


async def test_one_call_at_a_time_is_in_flight_for_an_account(
    stand_in: GraphStandIn, ads: Ads
) -> None:
    ads.delay_s = 0.05
    graphs = [connected(stand_in) for _ in range(4)]
    await asyncio.gather(*(asyncio.to_thread(ad_account, graph) for graph in graphs))
    assert (len(ads.calls), ads.overlaps) == (4, 0)


@pytest.mark.parametrize(
    ("code", "subcode"), [(4, 1504022), (17, 2446079), (80000, None), (613, None)]
)
async def test_a_limit_that_is_reached_ends_the_pull_with_when_to_come_back(
    stand_in: GraphStandIn, ads: Ads, code: int, subcode: int | None
) -> None:
    ads.faults.append((400, error_body(code, "limite", "A1", subcode=subcode)))
    graph = connected(stand_in)
    with pytest.raises(Throttled, match=f"code {code}") as raised:
        await asked(lambda: ad_account(graph))
    assert raised.value.after_s >= 300


async def test_calls_pause_once_three_quarters_of_the_limit_are_used(
    stand_in: GraphStandIn, ads: Ads
) -> None:
    waits = Waits()
    graph = connected(stand_in, waits)
    for used_percent in (74.0, 85.0, 99.0, 3.0):
        ads.used_percent = used_percent
        await asked(lambda: ad_account(graph))
    assert waits.seconds == [30.0, 60.0]


def test_usage_is_the_highest_of_what_the_headers_say() -> None:
    headers = {
        "X-FB-Ads-Insights-Throttle": '{"app_id_util_pct": 12.5, "acc_id_util_pct": "40"}',
        "X-Business-Use-Case-Usage": (
            '{"77": [{"call_count": 28, "total_cputime": 61, "total_time": 4,'
            ' "estimated_time_to_regain_access": 7}]}'
        ),
    }
    assert usage(headers) == (61.0, 420.0)
    assert usage({"X-FB-Ads-Insights-Throttle": "not json"}) == (0.0, 0.0)
    assert (pause_s(75), pause_s(80), pause_s(100)) == (0.0, 15.0, 60.0)


async def test_what_passes_is_tried_again_and_what_lasts_is_said(
    stand_in: GraphStandIn, ads: Ads
) -> None:
    fault = (500, error_body(2, "plus tard", "A1", is_transient=True))
    waits = Waits()
    graph = connected(stand_in, waits)
    ads.faults.extend([fault, (502, b"<html>")])
    assert await asked(lambda: ad_account(graph)) == ACCOUNT
    assert waits.seconds == [1.0, 4.0]
    ads.faults.extend([fault] * 3)
    with pytest.raises(Away, match="code 2"):
        await asked(lambda: ad_account(graph))


async def test_a_bad_token_an_account_out_of_reach_and_a_stop_are_distinguished(
    stand_in: GraphStandIn, ads: Ads
) -> None:
    with pytest.raises(GraphRefused, match="META_ADS_TOKEN"):
        await asked(lambda: ad_account(connected(stand_in, token="bad")))
    other = Graph(GraphAccess("good", "secret", stand_in.url), "78", Waits())
    with pytest.raises(GraphRefused, match="META_AD_ACCOUNT_ID"):
        await asked(lambda: ad_account(other))
    ads.faults.append((500, error_body(1, "plus tard", "A1")))
    with pytest.raises(GraphCallStopped):
        await asked(lambda: ad_account(connected(stand_in, Waits(stop=True))))


async def test_budgets_are_the_campaigns_or_the_sum_of_its_ad_sets_and_zero_while_paused(
    stand_in: GraphStandIn, ads: Ads
) -> None:
    ads.rows = [spend_row(UNTIL, each) for each in ("1", "2", "3", "4", "5")]
    ads.budgets = {
        "1": {"daily_budget": "5000"},
        "2": {"daily_budget": "5000", "effective_status": "PAUSED"},
        "4": {"lifetime_budget": "900000"},
    }
    ads.ad_sets = [
        {"campaign_id": "3", "effective_status": "ACTIVE", "daily_budget": "1050"},
        {"campaign_id": "3", "effective_status": "ACTIVE", "daily_budget": "2000"},
        {"campaign_id": "3", "effective_status": "PAUSED", "daily_budget": "9000"},
        {"campaign_id": "5", "effective_status": "ACTIVE", "lifetime_budget": "9000"},
    ]
    graph = connected(stand_in)
    budgets = await asked(lambda: daily_budgets(graph, ACCOUNT))
    assert budgets == {"1": Decimal(50), "2": Decimal(0), "3": Decimal("30.50")}
    yen = await asked(lambda: daily_budgets(graph, InsightsAccount("77", "JPY", "")))
    assert yen["1"] == Decimal(5_000)


def test_a_budget_stands_beside_the_campaigns_newest_day_only() -> None:
    days = [
        CampaignDay(UNTIL - timedelta(days=back), "meta", "1", "a", "EUR", Decimal(1))
        for back in (0, 1)
    ]
    newest, before = with_budgets(days, {"1": Decimal(50), "2": Decimal(7)})
    assert (newest.daily_budget, before.daily_budget) == (Decimal(50), None)
