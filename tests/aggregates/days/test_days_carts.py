"""`GET /v1/days`: carts abandoned and recovered are what a plain loop over the checkouts finds,
after any shuffle and after a rebuild."""

import random
from collections import Counter
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aggregates.carts import projection as carts
from stream.store.sql.store import SqlStore
from tests.aggregates.days.test_days_answer import answer
from tests.support.oracles.oracle_carts import HOUR, seen
from tests.support.shopify.cart_events import DAY, SHOP, CartEvent, checkout, fold, ms
from tests.support.shops.carts_shop import before, simulated
from tests.support.shops.days_shop import events_of_shop, fold_days, rebuilt
from tests.support.shops.folding import carts_checkouts

AFTER_MINUTES = 60
RECOVERED = ("recovered_direct", "recovered_assisted")
ASKED: dict[str, Any] = {
    "since": "2026-07-25",
    "to": "2026-08-31",
    "metrics": "carts_abandoned,carts_recovered",
}
ZONES = ("UTC", "America/Los_Angeles", "Asia/Kolkata")


def expected(events: list[CartEvent], now: int, zone: ZoneInfo) -> dict[str, tuple[int, int]]:
    """Day -> carts abandoned on it, and those of them recovered since."""
    abandoned, recovered = Counter[str](), Counter[str]()
    after = AFTER_MINUTES * 60_000
    for it in seen(events, now, AFTER_MINUTES):
        left = [since + after for since, length in it.idle if length >= after]
        if left and it.newest.currency == "USD":
            hour_s = left[0] // HOUR * 3_600  # An hour is of the day in which it begins.
            day = datetime.fromtimestamp(hour_s, zone).date().isoformat()
            abandoned[day] += 1
            recovered[day] += it.state in RECOVERED
    return {day: (abandoned[day], recovered[day]) for day in abandoned}


@pytest.mark.parametrize("seed", [21, 22])
def test_carts_are_what_a_loop_over_the_checkouts_finds_after_any_shuffle_and_rebuild(
    store: SqlStore, seed: int
) -> None:
    now_ms = ms(24 * DAY)
    events = before(simulated(seed, 150, 25), now_ms)
    random.Random(seed).shuffle(events)
    for start in range(0, len(events), 60):
        fold(store, events[start : start + 60], now_ms)

    def check() -> None:
        for zone in map(ZoneInfo, ZONES):
            items = answer(store, zone=zone, now_ms=now_ms, **ASKED)["items"]
            counted = {
                item["day"]: (item["carts_abandoned"], item["carts_recovered"]) for item in items
            }
            wanted = expected(events, now_ms, zone)
            assert counted == {day: wanted.get(day, (0, 0)) for day in counted}
            assert wanted.keys() <= counted.keys()
            assert min(map(sum, zip(*wanted.values(), strict=True))) > 10, "recovered ones too"

    check()
    rebuilt(store, carts.projection(), shop=SHOP)
    check()


def test_carts_count_on_the_shop_s_day_on_which_they_were_left(store: SqlStore) -> None:
    fold_days(store, events_of_shop(3), [])
    checkouts = carts_checkouts()
    minute = 22 * 60 + 30  # Left for an hour at 23:30 UTC, 16:30 in Los Angeles, 08:30 in Tokyo.
    left = [checkout("c1", minute), checkout("c2", minute)]
    with store.begin() as transaction:
        checkouts.apply(transaction, left, ms(minute))
        done = checkout("c2", minute + 200, completed=minute + 200)
        checkouts.apply(transaction, [done], ms(minute + 200))
    asked: dict[str, Any] = {
        "since": "2026-07-30",
        "to": "2026-08-05",
        "now_ms": ms(minute + 1_000),
    }
    for zone, day in (("UTC", "2026-08-01"), ("America/Los_Angeles", "2026-08-01"),
                      ("Asia/Tokyo", "2026-08-02")):  # fmt: skip
        items = answer(store, zone=ZoneInfo(zone), **asked)["items"]
        assert {
            item["day"]: (item["carts_abandoned"], item["carts_recovered"])
            for item in items
            if item["carts_abandoned"]
        } == {day: (2, 1)}
