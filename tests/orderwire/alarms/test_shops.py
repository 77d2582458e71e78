"""An alarm of a shop's condition names the shop, and reaches its addresses and no other shop's."""

import pytest

from orderwire.alarms.alarm import Alarm
from orderwire.alarms.reporting import Reporter
from orderwire.alarms.table import ALARMS
from orderwire.alarms.watch import AlarmWatch
from orderwire.settings.alerts import Target
from stream.store.sql.store import SqlStore
from tests.orderwire.alarms.test_in_time import value_of
from tests.orderwire.alarms.test_watch import OTHER, SHOP, World, world

OF_THE_INSTALLATION = {
    "NotReady",
    "StoreNotWritten",
    "DiskShort",
    "DeliveriesRefused",
    "Behind",
    "PartStopped",
    "SpoolUsed",
    "RecordsSetAside",
    "SettingsRefused",
    "ClockStepped",
    "RoleRestarts",
}
"""Log, store, disks, clock and processes are shared: their alarms meet every shop alike."""
OF_A_SHOP = [alarm for alarm in ALARMS if alarm.of == "shop"]


def test_an_alarm_is_of_a_shop_unless_what_it_reports_is_shared_by_all() -> None:
    assert {alarm.name for alarm in ALARMS if alarm.of != "shop"} == OF_THE_INSTALLATION


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda alarm: alarm.name)
def test_an_alarm_names_a_shop_exactly_where_it_is_of_one(alarm: Alarm) -> None:
    assert ("shop" in alarm.about) == (alarm.of == "shop")


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("alarm", OF_A_SHOP, ids=lambda alarm: alarm.name)
async def test_one_shops_condition_is_reported_to_that_shop_and_not_to_another(
    store: SqlStore, alarm: Alarm
) -> None:
    async with world(store) as one:
        url = one.targets[0].url
        one.targets += [
            Target("SHOPIFY_ALERT_WEBHOOK_URL", shop, "webhook", url.replace("/all", path))
            for shop, path in ((SHOP, "/shop"), (OTHER, "/other"))
        ]
        watch = watching(one, alarm)
        await watch.look()
        for _ in range(alarm.for_s // 10 + 2):
            one.now_s += 10
            await watch.look()
        assert sorted(path for path, _ in one.notices) == ["/all", "/shop"]
        assert {notice["shop"] for _, notice in one.notices} == {SHOP}


def watching(one: World, alarm: Alarm) -> AlarmWatch:
    """Sees the condition begin for `SHOP` after the first look, and never for `OTHER`."""
    looks = 0

    async def texts() -> list[bytes]:
        nonlocal looks
        looks += 1
        return [(series(alarm, SHOP, holds=looks > 1) + series(alarm, OTHER, holds=False)).encode()]

    async def leads() -> bool:
        return True

    return AlarmWatch(
        texts,
        leads,
        one.store,
        Reporter(lambda: one.targets, one.call, "web-1"),
        clock_ms=lambda: round(one.now_s * 1000),
        monotonic=lambda: one.now_s,
    )


def series(alarm: Alarm, shop: str, *, holds: bool) -> str:
    """A sample of the alarm's metric that names this shop."""
    labels = {label: alarm.where.get(label, ("x",))[0] for label in alarm.metric.labels}
    written = ",".join(f'{name}="{each}"' for name, each in {**labels, "shop": shop}.items())
    return f"{alarm.metric.series[0]}{{{written}}} {value_of(alarm, holds=holds)}\n"
