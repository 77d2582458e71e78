"""Audit runs: asked for over HTTP, folded, carried out step by step, and shown in the session."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ingest.shopify.admin.errors import AdminError, TokenRefused
from orderwire.serve.audits import capi, customer_rfm, job
from orderwire.serve.audits.step import Audited, StepResult, TryAgain
from orderwire.serve.roles.query import api_settings
from orderwire.serve.schedule.job import Turn
from orderwire.settings.program import Settings
from processors.audits import ledger
from processors.audits.run import STEPS
from query.endpoints.audits import AuditStep, session_of
from simulator.meta.graph import GraphStandIn
from stream.log.contract import Unavailable
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import Api, serving
from tests.support.servers.forks import Forked
from tests.support.shops.shop_world import (
    NOW_MS,
    PIXEL,
    SHOP,
    TOKEN,
    VARIABLES,
    deliveries,
    filled,
    fold_all,
)

Json = dict[str, Any]
TYPES = sorted(STEPS)
NO_PAUSE = (0.0, 0.0)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "PAUSES_S", NO_PAUSE)


def settings_with(**variables: str) -> Settings:
    return Settings.load(VARIABLES | variables)


async def session(api: Api) -> Json:
    found = await api.answer("/api/audits/session")
    assert found.keys() == {"session"}
    shown: Json = found["session"]
    return shown


async def carry_out(settings: Settings, store: SqlStore) -> None:
    await asyncio.to_thread(job.run, settings, store, Turn(SHOP, NOW_MS), lambda: NOW_MS)


async def ran(
    settings: Settings, store: SqlStore, log: SqliteLog, kind: str, days: int = 365
) -> Json:
    """The run of one audit, from the POST to the session."""
    async with serving(store, log, api_settings(settings), now_ms=NOW_MS) as api:
        begun = await api.answer(f"/api/audits/{kind}", {"days": days}, method="POST")
        assert begun["async"] is True
        await fold_all(settings, log, store, {"audits"})
        assert (await session(api))["audits"][kind]["status"] == "running"
        await carry_out(settings, store)
        audit: Json = (await session(api))["audits"][kind]
    assert audit["id"] == begun["run_id"]
    assert audit["audit_type"] == kind
    assert audit["execution_mode"] == "async"
    return audit


async def test_an_audit_of_meta_sends_a_test_event_and_reads_the_pixel(
    store: SqlStore, log: SqliteLog
) -> None:
    async with GraphStandIn(tokens={TOKEN: [PIXEL]}, clock=lambda: NOW_MS / 1000) as graph:
        settings = settings_with(META_GRAPH_URL=graph.url, META_TEST_EVENT_CODE="TEST123")
        audit = await ran(settings, store, log, "capi")
        sent = graph.received
    assert audit["status"] in ("success", "warning"), audit["issues"]
    assert [step["name"] for step in audit["steps"]] == list(STEPS["capi"])
    assert all(step["duration_ms"] > 0 for step in audit["steps"])
    assert sent == 1
    credentials, connection, pixel = (step["result"] for step in audit["steps"])
    assert credentials["access_token"] == f"…{TOKEN[-4:]}"
    assert TOKEN not in str(audit)
    assert connection["latency_ms"] > 0
    assert pixel["name"] == "Graph stand-in"
    assert pixel["predicted_ltv"]["reason"] == "META_SEND_PREDICTED_LTV is off"
    assert audit["summary"]["pixel_id"] == PIXEL


async def test_an_audit_of_meta_says_why_predictions_are_withheld(
    store: SqlStore, log: SqliteLog
) -> None:
    async with GraphStandIn(tokens={TOKEN: [PIXEL]}, clock=lambda: NOW_MS / 1000) as graph:
        settings = settings_with(META_GRAPH_URL=graph.url, META_SEND_PREDICTED_LTV="true")
        audit = await ran(settings, store, log, "capi")
    reason = audit["steps"][-1]["result"]["predicted_ltv"]["reason"]
    assert reason == "no order has been counted yet"
    assert f"predicted_ltv is not sent: {reason}" in [each["message"] for each in audit["issues"]]


async def test_without_a_test_event_code_nothing_is_sent(store: SqlStore, log: SqliteLog) -> None:
    async with GraphStandIn(tokens={TOKEN: [PIXEL]}, clock=lambda: NOW_MS / 1000) as graph:
        audit = await ran(settings_with(META_GRAPH_URL=graph.url), store, log, "capi")
        assert graph.received == 0
    assert audit["status"] == "warning"
    assert any("META_TEST_EVENT_CODE" in issue["action"] for issue in audit["issues"])


async def test_a_refused_token_ends_the_run_and_says_what_to_do(
    store: SqlStore, log: SqliteLog
) -> None:
    async with GraphStandIn(tokens={"another": None}, clock=lambda: NOW_MS / 1000) as graph:
        audit = await ran(settings_with(META_GRAPH_URL=graph.url), store, log, "capi")
    assert audit["status"] == "error"
    assert [step["status"] for step in audit["steps"]] == ["error"]
    assert audit["issues"][0]["severity"] == "critical"
    assert "META_ACCESS_TOKEN" in audit["issues"][0]["action"]


@pytest.mark.parametrize(("failures", "status"), [(2, "warning"), (3, "error")])
async def test_a_step_is_tried_three_times_in_all(
    store: SqlStore, log: SqliteLog, monkeypatch: pytest.MonkeyPatch, failures: int, status: str
) -> None:
    left = [failures]
    real = capi.check_credentials

    def flaky(audited: Audited) -> StepResult:
        if left[0]:
            left[0] -= 1
            raise TryAgain("Meta cannot be reached")
        return real(audited)

    monkeypatch.setitem(capi.STEPS, "check_credentials", flaky)
    async with GraphStandIn(tokens={TOKEN: [PIXEL]}, clock=lambda: NOW_MS / 1000) as graph:
        audit = await ran(settings_with(META_GRAPH_URL=graph.url), store, log, "capi")
    assert audit["status"] == status
    assert left == [0]
    if status == "error":
        assert audit["steps"][0]["error_message"] == "Meta cannot be reached"


async def test_the_other_audits_give_the_numbers_of_the_api(
    store: SqlStore, log: SqliteLog
) -> None:
    settings = settings_with()
    await filled(settings, store, log, deliveries(60))
    audits = {
        kind: await ran(settings, store, log, kind) for kind in ("customer_rfm", "cart_recovery")
    }
    async with serving(store, log, api_settings(settings), now_ms=NOW_MS) as api:
        rfm, carts = await api.answer("/v1/rfm"), await api.answer("/v1/carts")
    summary = audits["customer_rfm"]["summary"]
    assert summary["total_customers"] == rfm["customers"]["in_window"]
    assert summary["churn_rate"] == round(100 * rfm["churn"]["rate"], 2)
    assert summary["avg_ltv"] == float(rfm["ltv_simple"]["capped"]["ltv"]["amount"])
    assert summary["avg_order_value"] == float(rfm["ltv_simple"]["average_order_value"]["amount"])
    assert summary["avg_frequency"] == pytest.approx(
        rfm["ltv_simple"]["average_frequency"], abs=1e-4
    )
    assert audits["customer_rfm"]["steps"][0]["result"]["source"] == "store"
    assert (
        audits["cart_recovery"]["summary"]["open_carts"]
        == (carts["recovery_potential"]["open_carts"])
    )


async def test_customers_are_loaded_once_for_all_steps(
    store: SqlStore, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with()
    await filled(settings, store, log, deliveries(60))
    loaded: list[str] = []
    load = customer_rfm._loaded

    def counted(audited: Audited) -> Any:
        loaded.append(audited.shop.domain)
        return load(audited)

    monkeypatch.setattr(customer_rfm, "_loaded", counted)
    audit = await ran(settings, store, log, "customer_rfm")
    assert [step["status"] == "error" for step in audit["steps"]] == [False] * 3
    assert loaded == [SHOP]


async def test_orders_are_counted_by_the_admin_api_where_a_token_is_set(
    store: SqlStore, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with(SHOPIFY_ADMIN_TOKEN="shpat_" + "a" * 32)
    await filled(settings, store, log, deliveries(60))
    answers: list[int | AdminError] = [0, 10_000, TokenRefused("Shopify refuses the token")]

    def count(*_: object) -> int:
        if isinstance(answers[0], int):
            return answers[0]
        raise answers[0]

    monkeypatch.setattr(customer_rfm, "count", count)
    found = []
    while answers:
        audit = await ran(settings, store, log, "customer_rfm")
        found.append((audit["steps"][0]["result"], [each["message"] for each in audit["issues"]]))
        answers.pop(0)
    assert [result["source"] for result, _ in found] == ["admin_api", "admin_api", "store"]
    assert [result["orders_at_shopify"] for result, _ in found] == [0, 10_000, None]
    assert not any("Shopify has" in each for each in found[0][1])
    assert any("Shopify has 10000 orders of these days" in each for each in found[1][1])
    assert any("orders are those of the store" in each for each in found[2][1])


async def test_another_window_counts_the_purchase_days_in_it(
    store: SqlStore, log: SqliteLog
) -> None:
    settings = settings_with()
    await filled(settings, store, log, deliveries(60))
    year, three_years, day = [
        (await ran(settings, store, log, "customer_rfm", days))["steps"][0]["result"]["orders"]
        for days in (365, 1000, 1)
    ]
    assert year == three_years > 0
    assert day <= year


async def test_an_audit_without_its_data_says_what_brings_it(
    store: SqlStore, log: SqliteLog
) -> None:
    audits = [await ran(settings_with(), store, log, kind) for kind in TYPES if kind != "capi"]
    assert [audit["status"] for audit in audits] == ["error"] * 3
    assert all("orderwire" in audit["issues"][0]["action"] for audit in audits)


async def test_a_second_request_answers_the_run_that_is_at_work(
    store: SqlStore, log: SqliteLog
) -> None:
    settings = settings_with()
    async with serving(store, log, api_settings(settings), now_ms=NOW_MS) as api:
        asked = [
            api.answer(f"/api/audits/{kind}", method="POST") for kind in ("capi", "customer_rfm")
        ]
        begun = await asyncio.gather(*asked, api.answer("/api/audits/capi", method="POST"))
        assert begun[0]["run_id"] == begun[2]["run_id"] != begun[1]["run_id"]
        await fold_all(settings, log, store, {"audits"})
        again = await api.answer("/api/audits/capi", method="POST")
        assert again["run_id"] == begun[0]["run_id"]
        assert "running already" in again["message"]
        await carry_out(settings, store)
        fresh = await api.answer("/api/audits/capi", method="POST")
        assert fresh["run_id"] != begun[0]["run_id"]


async def test_a_type_that_is_none_is_404_and_a_log_that_is_away_is_503(
    store: SqlStore, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(store, log, api_settings(settings_with()), now_ms=NOW_MS) as api:
        problem = await api.answer("/api/audits/seo", method="POST", status=404)
        assert "customer_rfm" in problem["next_step"]
        assert (await session(api))["audits"] == {}

        async def away(_: object) -> None:
            raise Unavailable("the log is away")

        monkeypatch.setattr(log, "append", away)
        await api.answer("/api/audits/capi", method="POST", status=503)


async def test_a_run_cut_short_goes_on_without_repeating_finished_steps(
    store: SqlStore, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    turn = Turn(SHOP, NOW_MS, threading.Event())

    def counted(
        name: str, step: Callable[[Audited], StepResult]
    ) -> Callable[[Audited], StepResult]:
        def call(audited: Audited) -> StepResult:
            calls.append(name)
            if name == "check_credentials":
                turn.stop.set()
            return step(audited)

        return call

    for name, step in tuple(capi.STEPS.items()):
        monkeypatch.setitem(capi.STEPS, name, counted(name, step))
    async with GraphStandIn(tokens={TOKEN: [PIXEL]}, clock=lambda: NOW_MS / 1000) as graph:
        settings = settings_with(META_GRAPH_URL=graph.url)
        async with serving(store, log, api_settings(settings), now_ms=NOW_MS) as api:
            await api.answer("/api/audits/capi", method="POST")
            await fold_all(settings, log, store, {"audits"})
            await asyncio.to_thread(job.run, settings, store, turn)
            assert (await session(api))["audits"]["capi"]["status"] == "running"
            await carry_out(settings, store)
            audit = (await session(api))["audits"]["capi"]
    assert audit["status"] == "warning"
    assert calls == list(STEPS["capi"])


DIES = """
import json, os, signal, sys
from orderwire.serve.audits import capi, job
from orderwire.serve.schedule.job import Turn
from orderwire.settings.program import Settings
from stream.store.sql.store import SqlStore

variables, url, shop = json.loads(sys.argv[1])
capi.STEPS["test_connection"] = lambda audited: os.kill(os.getpid(), signal.SIGKILL)
job.run(Settings.load(variables), SqlStore.open(url), Turn(shop, 0))
"""
"""Carries the shop's runs out, and is killed in the middle of the second step."""


async def test_a_run_goes_on_after_its_process_was_killed_in_the_middle_of_a_step(
    store: SqlStore, log: SqliteLog, store_url: str, tmp_path: Path
) -> None:
    async with GraphStandIn(tokens={TOKEN: [PIXEL]}, clock=lambda: NOW_MS / 1000) as graph:
        variables = {"META_GRAPH_URL": graph.url, "META_TEST_EVENT_CODE": "TEST123"}
        settings = settings_with(**variables)
        async with serving(store, log, api_settings(settings), now_ms=NOW_MS) as api:
            begun = await api.answer("/api/audits/capi", method="POST")
            await fold_all(settings, log, store, {"audits"})
            given = json.dumps([VARIABLES | variables, store_url, SHOP])
            output = tmp_path / "killed.log"
            killed = await asyncio.to_thread(
                Forked, [given], os.environ, tmp_path, output, script=DIES
            )
            assert await asyncio.to_thread(killed.wait) == -signal.SIGKILL, killed.said()
            cut_short = (await session(api))["audits"]["capi"]
            assert cut_short["status"] == "running"
            assert [step["status"] for step in cut_short["steps"]] == ["success", "running"]
            await carry_out(settings, store)
            audit = (await session(api))["audits"]["capi"]
        assert graph.received == 1
    assert (audit["id"], audit["status"]) == (begun["run_id"], "success")
    assert audit["steps"][0] == cut_short["steps"][0]
    assert [step["name"] for step in audit["steps"]] == list(STEPS["capi"])


async def test_eight_requests_in_parallel_are_one_run_of_each_type(
    store: SqlStore, log: SqliteLog
) -> None:
    settings = settings_with()
    async with serving(store, log, api_settings(settings), now_ms=NOW_MS) as api:
        begun = await asyncio.gather(
            *(api.answer(f"/api/audits/{kind}", method="POST") for kind in TYPES * 2)
        )
        assert [each["run_id"] for each in begun[:4]] == [each["run_id"] for each in begun[4:]]
        await fold_all(settings, log, store, {"audits"})
        await carry_out(settings, store)
        audits = (await session(api))["audits"]
    assert {run["id"] for run in audits.values()} == {each["run_id"] for each in begun}
    assert {run["status"] for run in audits.values()} <= {"success", "warning", "error"}


def test_a_record_that_comes_twice_or_late_changes_nothing(store: SqlStore) -> None:
    with store.begin() as transaction:
        assert ledger.begin(transaction, SHOP, "capi", "one", 365, NOW_MS)
        assert not ledger.begin(transaction, SHOP, "capi", "two", 365, NOW_MS + 1)
        run = ledger.runs(transaction, SHOP)[0]
        ledger.step_begun(transaction, run, 0, "check_credentials", NOW_MS)
        ledger.ended(transaction, run, "error", NOW_MS + 2)
        assert not ledger.begin(transaction, SHOP, "capi", "one", 365, NOW_MS)
        assert not ledger.begin(transaction, SHOP, "capi", "zero", 365, NOW_MS - 1)
        assert ledger.begin(transaction, SHOP, "capi", "three", 30, NOW_MS + 3)
        assert ledger.steps(transaction, SHOP) == []
        (latest,) = ledger.runs(transaction, SHOP)
    assert latest == replace_run(run, run_id="three", days=30, started_ms=NOW_MS + 3)


def replace_run(run: ledger.AuditRun, **changes: Any) -> ledger.AuditRun:
    return run._replace(updated_ms=changes["started_ms"], **changes)


def test_a_step_at_work_has_no_end_and_no_duration() -> None:
    run = ledger.AuditRun(SHOP, "capi", "one", "running", 365, NOW_MS, 0, NOW_MS, "[]", "{}")
    step = ledger.Step(SHOP, "capi", "one", 0, "pixel_info", "running", NOW_MS, 0, 0, "", "")
    shown = session_of(SHOP, [run], [step], NOW_MS).audits["capi"].steps
    assert isinstance(shown[0], AuditStep)
    assert (shown[0].completed_at, shown[0].duration_ms, shown[0].result) == (None, None, None)
