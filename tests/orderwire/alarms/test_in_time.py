"""Whatever alarm's condition begins, log, `/v1/status` and `doctor` say it within 30 s, as shipped:
by a clock that the test moves."""

from collections.abc import Mapping

import pytest
import structlog

from destinations.delivery.sending import gauges
from destinations.delivery.sending.tuning import Tuning
from orderwire.alarms.alarm import Alarm
from orderwire.alarms.reporting import Reporter
from orderwire.alarms.table import ALARMS
from orderwire.alarms.watch import LOOK_S, AlarmWatch
from orderwire.doctor.keeping import alarm_lines
from orderwire.serve.reporting import heartbeat
from query.status import readiness, stalled
from query.status.alarms import read_alarms
from stream import metric_names as names
from stream.metric_names import MetricName
from stream.store.sql.store import SqlStore
from tests.orderwire.alarms.test_watch import World

WITHIN_S = 30.0
MEASURED_S: Mapping[MetricName, float] = {
    names.READY: readiness.LOOK_S,
    names.UNREAD_SECONDS: readiness.LOOK_S,
    names.STORE_WRITABLE: heartbeat.EVERY_S * heartbeat.REPORTED_FROM,
    names.DELIVERY_OLDEST: gauges.MEASURE_MS / 1000 + Tuning().poll_s,
}
"""How late a metric may be; the others are set as it happens, or read when they are asked for."""


def value_of(alarm: Alarm, *, holds: bool) -> float:
    """A value of its metric with which its condition holds, or not."""
    if alarm.below is not None:
        return alarm.below - 1 if holds else alarm.below
    return alarm.above + 1 if holds else 0.0


def exposition(alarm: Alarm, *, holds: bool) -> bytes:
    """Metrics with which its condition holds, or not."""
    labels = {
        **dict.fromkeys(alarm.metric.labels, "x"),
        **{label: values[0] for label, values in alarm.where.items()},
        "role": "process",
        "instance": "here:1",
    }
    written = ",".join(f'{name}="{each}"' for name, each in labels.items())
    return f"{alarm.metric.series[0]}{{{written}}} {value_of(alarm, holds=holds)}\n".encode()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.name)
async def test_within_30_s_it_is_in_the_log_in_the_status_and_to_be_fixed(
    store: SqlStore, alarm: Alarm
) -> None:
    world = World(store)
    now = exposition(alarm, holds=False)

    async def texts() -> list[bytes]:
        return [now]

    async def leads() -> bool:
        return True

    watch = AlarmWatch(
        texts,
        leads,
        store,
        Reporter(list, world.call, "web-1"),
        reasons=lambda: "a reason",
        clock_ms=lambda: round(world.now_s * 1000),
        monotonic=lambda: world.now_s,
    )
    with structlog.testing.capture_logs() as before:
        await watch.look()
    assert before == []
    # It begins just after a look.
    now = exposition(alarm, holds=True)
    passed_s = MEASURED_S.get(alarm.metric, 0.0) + LOOK_S
    assert passed_s <= WITHIN_S
    world.now_s += passed_s
    with structlog.testing.capture_logs() as lines:
        await watch.look()
    state = "pending" if alarm.for_s else "firing"
    (line,) = lines
    assert (line["event"], line["alarm"], line["state"]) == ("alarm", alarm.name, state)
    with store.snapshot() as snapshot:
        found = read_alarms(snapshot, None, round(world.now_s * 1000))
    assert [(each.alarm, each.state) for each in found] == [(alarm.name, state)]
    (advice,) = alarm_lines(found)
    assert (advice.state, advice.subject) == ("fix", f"alarm {alarm.name}")
    if alarm.metric.kind == "gauge":  # Once it has lasted, the log says so again.
        world.now_s += alarm.for_s
        with structlog.testing.capture_logs() as later:
            await watch.look()
        assert [line["state"] for line in later] == (["firing"] if alarm.for_s else [])


def test_a_processor_that_stands_still_makes_the_api_unready_within_30_s() -> None:
    for wait_ms in (stalled.STILL_MS, stalled.SILENT_MS):
        assert wait_ms / 1000 + readiness.LOOK_S <= WITHIN_S
