"""An alarm is logged, kept in the store and reported once to each address that is set; its end as
well."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import CollectorRegistry

from destinations.delivery.transport import aiohttp_call, client_session
from orderwire.alarms import ledger
from orderwire.alarms.conditions import AlarmSubject
from orderwire.alarms.message import notice
from orderwire.alarms.reporting import Reporter
from orderwire.alarms.rows import AlertRow
from orderwire.alarms.watch import AlarmWatch
from orderwire.settings.alerts import Target
from query.status.alarms import read_alarms
from stream.exposition import labelled
from stream.metrics import DeliveryMetrics, ReceiverMetrics
from stream.shop_metrics import AccountLabels
from stream.store.contract import Store
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated

SHOP, OTHER = "example.myshopify.com", "other.myshopify.com"
ACCOUNT = AccountLabels("meta", SHOP, "meta", "1234567890")
on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


class World:
    """A process with metrics, a clock that the test moves, and a receiver of notices."""

    def __init__(self, store: Store | None) -> None:
        self.store, self.now_s = store, 1_795_000_000.0
        self.registry = CollectorRegistry()
        self.delivery = DeliveryMetrics(self.registry)
        self.receiver = ReceiverMetrics(self.registry)
        self.notices: list[tuple[str, Any]] = []
        self.status = 200
        self.targets: list[Target] = []
        self.call: Any = None

    def watch(self, **options: Any) -> AlarmWatch:
        """Of another process each time."""

        async def texts() -> list[bytes]:
            return [labelled(self.registry, "process", "here:1")]

        async def leads() -> bool:
            return True

        return AlarmWatch(
            texts,
            leads,
            self.store,
            Reporter(lambda: self.targets, self.call, "web-1"),
            clock_ms=lambda: round(self.now_s * 1000),
            monotonic=lambda: self.now_s,
            **options,
        )

    async def passes(self, watch: AlarmWatch, seconds: int) -> None:
        """Looks every 10 s."""
        for _ in range(seconds // 10):
            self.now_s += 10
            await watch.look()

    def told(self) -> list[tuple[str, str, str]]:
        return [(path, body["status"], body["alarm"]) for path, body in self.notices]


@asynccontextmanager
async def world(store: Store | None) -> AsyncIterator[World]:
    made = World(store)

    async def take(request: web.Request) -> web.Response:
        if made.status == 200:
            made.notices.append((request.path, await request.json()))
        return web.Response(status=made.status)

    app = web.Application()
    app.router.add_post("/{any}", take)
    async with TestServer(app) as server, client_session(4) as session:
        made.call = aiohttp_call(session)
        url = str(server.make_url("/all"))
        made.targets = [Target("ORDERWIRE_ALERT_WEBHOOK_URL", "", "webhook", url)]
        yield made


async def test_an_alarm_is_reported_once_and_so_is_its_end(store: SqlStore) -> None:
    async with world(store) as one:
        watch = one.watch()
        one.delivery.paused(ACCOUNT, True)
        with structlog.testing.capture_logs() as logs:
            await one.passes(watch, 60)
            assert one.told() == [("/all", "firing", "DeliveryPaused")]
            await one.passes(one.watch(), 60)
            assert len(one.notices) == 1, "a restarted process knows that it was reported"
            one.delivery.paused(ACCOUNT, False)
            await one.passes(watch, 150)
        assert one.told()[1:] == [("/all", "resolved", "DeliveryPaused")]
        with store.snapshot() as snapshot:
            assert ledger.read(snapshot) == {}
        told = one.notices[0][1]
        assert (told["shop"], told["about"]["account"]) == (SHOP, "1234567890")
        assert told["installation"] == "web-1"
        assert told["do"].startswith("docs/operation.md")
    lines = [(line["event"], line["log_level"]) for line in logs]
    assert lines.count(("alarm", "error")) == 2, "each process says so in its log"
    assert lines.count(("alarm ended", "info")) == 1


@on_sqlite
async def test_a_condition_that_passes_before_its_time_is_nobodys_alarm(store: SqlStore) -> None:
    async with world(store) as one:
        watch = one.watch()
        await one.passes(watch, 60)
        one.delivery.failing(ACCOUNT, True)
        await one.passes(watch, 240)
        with store.snapshot() as snapshot:
            (pending,) = read_alarms(snapshot, None, round(one.now_s * 1000))
        assert (pending.alarm, pending.state, pending.shop) == ("DeliveryFailing", "pending", SHOP)
        one.delivery.failing(ACCOUNT, False)
        await one.passes(watch, 120)
        assert one.notices == []
        with store.snapshot() as snapshot:
            assert read_alarms(snapshot, None, round(one.now_s * 1000)) == []


@on_sqlite
async def test_what_is_not_taken_is_sent_again_until_it_is(store: SqlStore) -> None:
    async with world(store) as one:
        watch = one.watch()
        one.delivery.paused(ACCOUNT, True)
        one.status = 503
        with structlog.testing.capture_logs() as logs:
            await one.passes(watch, 60)
        refused = [line for line in logs if line["event"] == "alarm not reported"]
        assert 2 <= len(refused) <= 4, "after 5 s, 15 s and a minute"
        assert refused[0]["reason"] == "HTTP 503"
        one.status = 200
        await one.passes(watch, 120)
        assert one.told() == [("/all", "firing", "DeliveryPaused")]


async def test_two_processes_that_look_at_the_same_moment_report_once(store: SqlStore) -> None:
    async with world(store) as one:
        first, second = one.watch(), one.watch()
        one.delivery.paused(ACCOUNT, True)
        for _ in range(6):
            one.now_s += 10
            await first.look()
            await second.look()
        assert len(one.notices) == 1


@on_sqlite
async def test_a_shops_address_gets_its_own_alarms_and_no_others(store: SqlStore) -> None:
    async with world(store) as one:
        url = one.targets[0].url.replace("/all", "/shop")
        one.targets.append(Target("SHOPIFY_ALERT_WEBHOOK_URL", OTHER, "webhook", url))
        one.targets.append(
            Target("SHOPIFY_ALERT_SLACK_URL", SHOP, "slack", url.replace("/shop", "/slack"))
        )
        same = one.targets[0]._replace(name="SHOPIFY_ALERT_WEBHOOK_URL", shop=SHOP)
        one.targets.append(same)
        one.delivery.paused(ACCOUNT, True)
        await one.passes(one.watch(), 30)
        assert sorted(path for path, _ in one.notices) == ["/all", "/slack"]
        (text,) = (body["text"] for path, body in one.notices if path == "/slack")
        assert text.startswith(":red_circle: *DeliveryPaused* (example.myshopify.com")


async def test_while_the_store_is_away_an_alarm_is_still_reported_once(tmp_path: Path) -> None:
    store = SqlStore.open(write_migrated(tmp_path / "gone.db"))
    store.close()
    (tmp_path / "gone.db").write_bytes(b"no database at all" * 1_000)
    async with world(store) as one:
        watch = one.watch(reasons=lambda: "the store does not answer")
        await one.passes(watch, 20)
        one.receiver.answered("shopify", "orders/paid", "unavailable")
        await one.passes(watch, 100)
        assert one.told() == [("/all", "firing", "DeliveriesRefused")]
    store.close()


@on_sqlite
async def test_what_was_counted_before_the_first_look_is_no_alarm(store: SqlStore) -> None:
    async with world(store) as one:
        one.receiver.answered("shopify", "orders/paid", "unavailable")
        watch = one.watch()
        await one.passes(watch, 60)
        assert one.notices == []
        one.receiver.answered("shopify", "orders/paid", "unavailable")
        await one.passes(watch, 20)
        assert one.told() == [("/all", "firing", "DeliveriesRefused")]
        await one.passes(watch, 300 + 120)
        assert one.told()[1:] == [("/all", "resolved", "DeliveriesRefused")]


def test_a_notice_has_the_fields_that_the_guide_shows() -> None:
    guide = (Path(__file__).parents[3] / "docs/operation.md").read_text()
    section = guide.partition("### Notices")[2]
    shown = json.loads(section.partition("```json")[2].partition("```")[0])
    about = (("shop", SHOP), ("destination", "meta"), ("kind", "meta"), ("account", "1234567890"))
    row = AlertRow(AlarmSubject("DeliveryPaused", about), 1_795_356_000_000, 0, 0, shown["cause"])
    found = notice(row, "web-1")
    assert found.keys() == shown.keys()
    assert {k: v for k, v in found.items() if k != "since"} == {
        k: v for k, v in shown.items() if k != "since"
    }
