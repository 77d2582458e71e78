"""The job `spend`: from Meta's Insights to /v1/budget, restated, without a CSV."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aggregates.budget.answer.overview import BudgetSettings, budget
from aggregates.budget.answer.schema import Budget
from orderwire.cli import app
from orderwire.serve.schedule.job import Done, Turn
from orderwire.serve.schedule.services import services
from orderwire.serve.schedule.spend import job
from orderwire.settings.program import Settings
from simulator.meta.ads import Ads
from simulator.meta.graph import GraphStandIn
from simulator.meta.replies import error_body
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.sql.store import SqlStore
from tests.ingest.meta.test_insights import spend_row
from tests.support.shops.shop_world import fold_all

SHOP = "example.myshopify.com"
TODAY = date(2026, 11, 26)
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
NOON_MS = int(datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp() * 1000)


@dataclass
class Bench:
    """A shop with an ad account at the stand-in."""

    settings: Settings
    ads: Ads
    store: SqlStore
    log: SqliteLog
    variables: dict[str, str]

    async def turn(self, now_ms: int) -> Done:
        spend = job(self.settings, services(self.store, self.log))
        done = await asyncio.to_thread(spend.run, Turn(SHOP, now_ms))
        assert done is not None
        return done

    async def records(self) -> int:
        return (await self.log.spans("spend"))[0].next

    async def budget(self) -> Budget:
        await fold_all(self.settings, self.log, self.store, only={"budget_spend"})
        today_day = TODAY.toordinal() - date(1970, 1, 1).toordinal()
        with self.store.snapshot() as snapshot:
            return budget(snapshot, SHOP, today_day, BudgetSettings())


@pytest.fixture
async def bench(
    store: SqlStore, store_url: str, log: SqliteLog, tmp_path: Path
) -> AsyncIterator[Bench]:
    ads = Ads(
        "77",
        [spend_row(TODAY - timedelta(days=back)) for back in range(60)],
        budgets={"1": {"daily_budget": "4500"}},
        looks=0,
    )
    async with GraphStandIn(tokens={"good": None}, app_secret="app secret", ads=[ads]) as graph:
        variables = {
            "SHOPIFY_SHOP": SHOP,
            "SHOPIFY_WEBHOOK_SECRET": "secret",
            "ORDERWIRE_STORE_URL": store_url,
            "ORDERWIRE_LOG_URL": f"sqlite:///{tmp_path / 'log.db'}",
            "META_AD_ACCOUNT_ID": "act_77",
            "META_ADS_TOKEN": "good",
            "META_GRAPH_URL": graph.url,
            "META_APP_SECRET": "app secret",
            "META_VERIFY_TOKEN": "word",
        }
        yield Bench(Settings.load(variables), ads, store, log, variables)


async def test_the_first_pull_fills_the_budget_with_spend_and_with_the_budget_that_is_set(
    bench: Bench,
) -> None:
    done = await bench.turn(NOON_MS)
    assert done.note == "60 campaign days from 2026-08-26 to 2026-11-26, 60 new or changed"
    (campaign,) = (await bench.budget()).campaigns
    assert campaign.spend == {"amount": "370.20", "currency_code": "EUR"}
    assert campaign.current_budget == {"amount": "45.00", "currency_code": "EUR"}
    assert (await bench.budget()).time_zones.ad_account == "Europe/Paris"


async def test_later_pulls_read_3_days_each_hour_and_28_once_a_day_and_write_what_changed(
    bench: Bench,
) -> None:
    await bench.turn(NOON_MS)
    assert await bench.budget()
    written = await bench.records()
    again = await bench.turn(NOON_MS + HOUR_MS)
    assert again.note == "3 campaign days from 2026-11-24 to 2026-11-26, 0 new or changed"
    assert await bench.records() == written

    bench.ads.rows[1]["spend"] = "20.00"
    bench.ads.rows[20]["spend"] = "30.00"
    recent = await bench.turn(NOON_MS + 2 * HOUR_MS)
    assert recent.note.endswith("1 new or changed")
    restated = await bench.turn(NOON_MS + DAY_MS)
    assert restated.note.startswith("27 campaign days from 2026-10-31 to 2026-11-27")
    (campaign,) = (await bench.budget()).campaigns
    assert campaign.spend == {"amount": "395.52", "currency_code": "EUR"}


async def test_a_day_that_vanished_from_the_report_keeps_its_spend_and_one_of_zero_has_none(
    bench: Bench,
) -> None:
    bench.ads.rows = [spend_row(TODAY), spend_row(TODAY - timedelta(days=1))]
    await bench.turn(NOON_MS)
    assert await bench.budget()
    bench.ads.rows = [spend_row(TODAY, spend="0", platform_orders=0)]
    await bench.turn(NOON_MS + HOUR_MS)
    (campaign,) = (await bench.budget()).campaigns
    assert campaign.spend == {"amount": "12.34", "currency_code": "EUR"}


async def test_spend_is_converted_where_a_rate_is_set(bench: Bench) -> None:
    bench.settings = Settings.load(
        {**bench.variables, "AD_RATES": "EUR=2", "SHOPIFY_SHOP_CURRENCY": "USD"}
    )
    bench.ads.rows = [spend_row(TODAY)]
    await bench.turn(NOON_MS)
    (campaign,) = (await bench.budget()).campaigns
    assert campaign.spend == {"amount": "24.68", "currency_code": "USD"}
    assert campaign.current_budget == {"amount": "90.00", "currency_code": "USD"}


async def test_a_limit_that_is_reached_is_waited_out_without_counting_as_a_failure(
    bench: Bench,
) -> None:
    bench.ads.faults.append((400, error_body(80000, "limite", "A1")))
    done = await bench.turn(NOON_MS)
    assert done.next_in_s == 300.0
    assert "code 80000" in done.note


async def test_issues_of_ads_become_their_campaigns_and_end_when_the_ad_is_well(
    bench: Bench,
) -> None:
    body = {"id": "77", "time": NOON_MS // 1000, "changes": []}
    value = {"id": "555", "level": "AD", "error_code": 9, "error_summary": "Ad rejected"}
    body["changes"] = [{"field": "with_issues_ad_objects", "value": value}]
    notice = json.dumps({"object": "ad_account", "entry": [body]}).encode()
    headers = {"shop": SHOP, "source": "meta", "topic": "ad_account"}
    await bench.log.append([Record("ads", "k", "i", NOON_MS, headers, notice)])
    bench.ads.rows = [spend_row(TODAY)]
    bench.ads.objects = {"555": {"effective_status": "DISAPPROVED", "campaign_id": "1"}}
    await fold_all(bench.settings, bench.log, bench.store, only={"ad_issues"})
    await bench.turn(NOON_MS)
    (campaign,) = (await bench.budget()).campaigns
    assert campaign.issues == ["Meta reports a problem of ad 555 (code 9): Ad rejected"]
    bench.ads.objects = {"555": {"effective_status": "ACTIVE", "campaign_id": "1"}}
    await bench.turn(NOON_MS + HOUR_MS)
    (campaign,) = (await bench.budget()).campaigns
    assert campaign.issues == []


async def test_the_command_pulls_and_says_what_it_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in bench.variables.items():
        monkeypatch.setenv(name, value)
    today = datetime.now(UTC).date()
    bench.ads.rows = [spend_row(today - timedelta(days=back)) for back in range(1, 4)]
    done = await asyncio.to_thread(CliRunner().invoke, app, ["spend", "pull", "--days", "5"])
    assert done.exit_code == 0, done.output
    assert "3 new or changed (ad account 77, EUR, Europe/Paris)" in done.output
    assert await bench.records() == 3
    monkeypatch.setenv("META_ADS_TOKEN", "bad")
    refused = await asyncio.to_thread(CliRunner().invoke, app, ["spend", "pull"])
    assert refused.exit_code == 1
    assert "META_ADS_TOKEN" in refused.output
