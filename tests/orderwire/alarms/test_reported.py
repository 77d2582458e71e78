"""Each alarm of the guide is caused for real, and then the log, `/v1/status`, `doctor` and the
metrics say it, with the cause."""

import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from orderwire.alarms import rows, watch
from orderwire.alarms.conditions import Conditions
from orderwire.alarms.samples import samples
from orderwire.alarms.table import ALARMS
from orderwire.serve.reporting.role_metrics import ClockMetrics, SpoolMetrics
from orderwire.serve.roles import receive
from orderwire.serve.upkeep.clock_steps import ClockSteps
from processors.orders.processor import OrdersProcessor
from processors.shopify.orders import OrderEvent
from simulator.meta.graph import GraphStandIn
from simulator.servers.small_disk import SmallDisk
from stream.clock import WallClock
from stream.exposition import labelled
from stream.log.spool import SpooledLog
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry, Record
from stream.store.sql.store import SqlStore
from tests.contracts.log_kit import a_record
from tests.orderwire.alarms.deployment import (
    OTHER,
    PIXEL,
    SHOP,
    TOKEN,
    Deployment,
    deployment,
)
from tests.support.delivery import capi_orders
from tests.support.servers.outage import Outage


class Fault(NamedTuple):
    """How an alarm is caused, of which shop it is, and words of the cause that `doctor` says."""

    alarm: str
    cause: Callable[[Deployment], Awaitable[None]]
    words: str = ""
    shop: str | None = None
    """None: of the installation."""
    line: str = ""
    """Of doctor, where that says it otherwise than by the alarm."""


async def ignored(one: Deployment) -> None:
    for number in range(12):
        await one.deliver("orders/risk_assessment_changed", {"order_id": number})


async def unsigned(one: Deployment) -> None:
    for number in range(25):
        assert await one.deliver("orders/paid", {"id": number}, secret="another") == 401


async def filtered(one: Deployment) -> None:
    body = capi_orders.body(1)
    for left_out in ("created_at", "processed_at", "currency", "financial_status"):
        del body[left_out]
    assert await one.deliver("orders/paid", body) == 200


async def mistake_of_ours(one: Deployment) -> None:
    """An exception in our own decode, for every order of one shop."""
    decode = OrdersProcessor.decode

    def mistaken(self: OrdersProcessor, entry: Entry) -> OrderEvent | None:
        if entry.record.headers["shop"] == OTHER:
            raise KeyError("our mistake")
        return decode(self, entry)

    OrdersProcessor.decode = mistaken  # type: ignore[method-assign]
    try:
        for number in range(4):
            await one.deliver("orders/updated", capi_orders.body(50 + number), shop=OTHER)
        await one.until("it stops", lambda: said(one, "ShopStopped"))
    finally:
        OrdersProcessor.decode = decode  # type: ignore[method-assign]


async def refused_sale(one: Deployment) -> None:
    """A sale of the shop whose token Meta does not take."""
    await one.sell(70, shop=OTHER)


async def broken_edit(one: Deployment) -> None:
    """Until the next fault writes another."""
    one.config.write_text(one.config.read_text() + "\n[shops.")


async def no_admin_api(one: Deployment) -> None:
    """At that address something else answers, with 404."""
    url = f"http://{one.environment['ORDERWIRE_RECEIVER']}"
    one.write_config(two={"admin_token": "shpat_x", "admin_url": url})


async def nothing(_: Deployment) -> None:
    """What caused the alarm before causes this one as well."""


async def meta_away(one: Deployment) -> None:
    await GRAPHS[-1].__aexit__(None, None, None)
    for number in range(4):
        await one.sell(100 + number)
    await one.sell(110, age_s=2 * 3_600)


async def another_round(one: Deployment) -> None:
    """What waits is measured once a minute, and at the start of a round."""
    one.write_config(two={"timezone": "Europe/Rome"})


async def position_lost(one: Deployment) -> None:
    """As with a log file that was restored from before."""
    store = SqlStore.open(one.environment["ORDERWIRE_STORE_URL"])
    with store.begin() as transaction:
        transaction.execute("UPDATE positions SET next = next + 1000 WHERE processor = 'orders'")
    store.close()
    await one.sell(120)


async def nobody_processes(one: Deployment) -> None:
    await one.end("process")
    log = await SqliteLog.open(one.folder / "log.db")
    old_ms = round(time.time() * 1_000) - 120_000
    record = Record("checkouts", "k", "behind", old_ms, {"shop": SHOP, "topic": "x"}, b"{}")
    await log.append([record])
    await log.close()


async def restarted_often(one: Deployment) -> None:
    await one.start("process", restarts=5)


FAULTS = (
    Fault("RecordsIgnored", ignored, shop=SHOP),
    Fault("UnsignedDeliveries", unsigned, shop=SHOP),
    Fault("RecordsParked", filtered, "missing_fields:", shop=SHOP),
    Fault("DeliveryPaused", refused_sale, "Invalid OAuth access token", shop=OTHER),
    Fault("ShopStopped", mistake_of_ours, "decode_failed_KeyError", shop=OTHER),
    Fault("SettingsRefused", broken_edit, line="settings: "),
    Fault("JobFailing", no_admin_api, "HTTP 404", shop=OTHER),
    Fault("TopicSilent", nothing, "HTTP 404", shop=OTHER),
    Fault("DeliveryFailing", meta_away, "no connection", shop=SHOP),
    Fault("EventsWait", another_round, shop=SHOP),
    Fault("PartStopped", position_lost, "outside what the log holds"),
    Fault("NotReady", nothing, "outside what the log holds"),
    Fault("Behind", nobody_processes),
    Fault("RoleRestarts", restarted_often),
)
GRAPHS: list[GraphStandIn] = []


def said(one: Deployment, alarm: str) -> bool:
    """Whether the log has a line on it."""
    return any(line["event"] == "alarm" and line["alarm"] == alarm for line in one.lines)


async def nothing_holds(one: Deployment) -> bool:
    return not (await one.get("/v1/status"))[1]["alarms"]


async def check(one: Deployment, fault: Fault) -> None:
    """Log, status and doctor say it; a heartbeat may bring the cause 2 s later."""
    await one.until(f"the log says {fault.alarm}", lambda: said(one, fault.alarm))

    async def in_status() -> bool:
        held = (await one.get("/v1/status"))[1]["alarms"]
        return any(
            (each["alarm"], each["shop"]) == (fault.alarm, fault.shop)
            and fault.words in str(each["cause"])
            for each in held
        )

    await one.until(f"the status says {fault.alarm}, {fault.words!r}", in_status)
    code, lines = await one.doctor()
    assert code == 1
    start = f"fix   {fault.line or f'alarm {fault.alarm}:'}"
    assert any(line.startswith(start) and fault.words in line for line in lines), lines


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_every_fault_is_reported_everywhere_with_its_cause(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        GRAPHS.append(GraphStandIn(tokens={TOKEN: [PIXEL]}))
        graph = await stack.enter_async_context(GRAPHS[-1])
        port = int(graph.url.rpartition(":")[2].partition("/")[0])
        one = await stack.enter_async_context(deployment(tmp_path, tmp_path, monkeypatch, port))
        await one.until("nothing holds", lambda: nothing_holds(one))

        async def is_well() -> bool:
            return (await one.doctor())[0] == 0 and await one.alarms() == {}

        await one.until("doctor finds nothing", is_well)  # the API may just be reading its cells
        for module in (rows, watch):
            monkeypatch.setattr(module, "GONE_MS", 60_000)
        seen, conditions = set[str](), Conditions()
        for fault in FAULTS:
            conditions.look(samples([(await one.get("/metrics"))[1].encode()]), time.monotonic())
            await fault.cause(one)
            await check(one, fault)
            text = (await one.get("/metrics"))[1].encode()
            holding = conditions.look(samples([text]), time.monotonic())
            seen |= {subject.alarm for subject in holding}
            if fault.alarm == "NotReady":
                status, answer = await one.get("/readyz")
                assert (status, "outside what the log" in str(answer["reasons"])) == (503, True)
        assert {fault.alarm for fault in FAULTS} <= seen


async def test_a_full_disk_is_reported_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    with SmallDisk(data, 24) as disk:
        if not disk.mounted:
            pytest.skip("a small disk can only be mounted by root")
        async with deployment(tmp_path, data, monkeypatch, 9) as one:
            await check(one, Fault("DiskShort", nothing))
            disk.fill(())
            await one.until("what is left of the log's pages is used", lambda: refused(one))
            await one.until("the log says it", lambda: said(one, "DeliveriesRefused"))
            await one.until("the log says it", lambda: said(one, "StoreNotWritten"))
            assert await one.healthz() == 503
            reasons = await one.until("it is not ready", lambda: not_ready(one))
            assert "the store cannot be written: its disk is full" in reasons
            assert "no process role" not in str(reasons)
            code, lines = await one.doctor()
            assert code == 1
            assert any("a full disk answers deliveries with 503" in line for line in lines)
            disk.empty()


async def refused(one: Deployment) -> bool:
    large = {**capi_orders.body(1), "note": "x" * 500_000}
    return await one.deliver("orders/paid", large) == 503


async def not_ready(one: Deployment) -> list[str]:
    reasons = (await one.get("/readyz"))[1]["reasons"]
    return reasons if any("cannot be written" in reason for reason in reasons) else []


async def test_what_waits_in_a_spool_or_was_refused_for_good_is_an_alarm(tmp_path: Path) -> None:
    source = Outage(await SqliteLog.open(tmp_path / "log.db"))
    spool = tmp_path / "spool.db"
    spooled = await SpooledLog.open(source, spool, max_bytes=1 << 20)
    SpoolMetrics(registry := CollectorRegistry(), lambda: receive.details(spool)["spool"])

    def holding() -> set[str]:
        texts = [labelled(registry, "receive", "here:1")]
        return {subject.alarm for subject in Conditions().look(samples(texts), 0.0)}

    try:
        assert holding() == set()
        source.largest = 10
        await spooled.append([a_record("orders", 1, body=b"x" * 100)])
        assert holding() == {"RecordsSetAside"}
        source.refusing = True
        await spooled.append([a_record("orders", 2, body=b"x")])
        assert holding() == set(KAFKA)
    finally:
        await spooled.close()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_clock_that_was_set_is_an_alarm(store: SqlStore) -> None:
    ahead_ms = 0
    clock = WallClock(lambda: 1_795_000_000_000 + ahead_ms, lambda: 1_000_000)
    steps = ClockSteps(store, clock, "this boot")
    ClockMetrics(registry := CollectorRegistry(), lambda: steps.noticed)
    conditions = Conditions()

    def holding() -> set[str]:
        steps.follow()
        texts = [labelled(registry, "process", "here:1")]
        return {subject.alarm for subject in conditions.look(samples(texts), 0.0)}

    assert holding() == set()
    ahead_ms = 3_600_000
    assert holding() == {CLOCK}


CLOCK = "ClockStepped"
DISK = ("DiskShort", "DeliveriesRefused", "StoreNotWritten")
KAFKA = ("SpoolUsed", "RecordsSetAside")


def test_every_alarm_is_caused_by_a_test_of_this_file() -> None:
    caused = [*(fault.alarm for fault in FAULTS), *DISK, *KAFKA, CLOCK]
    assert sorted(caused) == sorted(alarm.name for alarm in ALARMS)
