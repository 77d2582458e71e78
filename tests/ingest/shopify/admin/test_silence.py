"""A topic is silent if it did not tell what the Admin API shows, and nothing else is an alarm."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from ingest.shopify.admin.silence import GRACE_MS, RETIRED_MS, Silent, newest, silent
from tests.support.shopify.admin_client import admin_of, books, kept
from tests.support.shopify.twin_orders import sale

AT = "2026-11-22T12:00:00Z"
AT_MS = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp() * 1000)
ORDER, CHANGE = {"created": AT}, {"updated": AT}
SUBSCRIBED = ("orders/create", "orders/updated", "checkouts/create")


@pytest.mark.parametrize(
    ("happened", "last_ms", "expected", "topics"),
    [
        (ORDER, {"orders/create": AT_MS - 1}, (), ("orders/create",)),
        (ORDER, {"orders/create": AT_MS}, (), None),
        (ORDER, {"Order": AT_MS + 1}, (), None),
        (ORDER, {"Order": AT_MS - 1}, (), ("Order",)),
        (ORDER, {"orders/create": AT_MS - 1, "Order": AT_MS}, (), ("orders/create",)),
        (ORDER, {"orders/create": AT_MS, "Order": AT_MS - 1}, (), ("Order",)),
        (ORDER, {"orders/create": AT_MS - 1, "Order": AT_MS - 1}, (), ("orders/create", "Order")),
        (ORDER, {"orders/create": AT_MS, "Order": AT_MS - RETIRED_MS - 1}, (), None),
        (
            ORDER,
            {"orders/create": AT_MS - RETIRED_MS - 1, "Order": 1},
            (),
            ("orders/create", "Order"),
        ),
        (ORDER, {"Order": AT_MS}, SUBSCRIBED, ("orders/create",)),
        (ORDER, {"carts/update": AT_MS}, (), None),
        (ORDER, {"carts/update": AT_MS}, SUBSCRIBED, ("orders/create",)),
        (ORDER, {}, (), ("orders/create",)),
        (CHANGE, {"Order": AT_MS - 1}, (), None),
        (CHANGE, {"orders/updated": AT_MS - 1}, (), ("orders/updated",)),
        ({"checkouts": AT}, {"checkouts/create": AT_MS - 1}, (), ("checkouts/create",)),
        ({"checkouts": AT}, {"checkouts/update": AT_MS - 1}, (), None),
        ({}, {}, SUBSCRIBED, None),
    ],
)
def test_what_nobody_reported_is_found(
    happened: dict[str, str],
    last_ms: dict[str, int],
    expected: tuple[str, ...],
    topics: tuple[str, ...] | None,
) -> None:
    found = silent(happened, last_ms, expected, 0)
    assert [each.topics for each in found] == ([] if topics is None else [topics])


def test_what_happened_before_anybody_listened_is_no_alarm() -> None:
    assert silent(ORDER, {}, SUBSCRIBED, AT_MS + 1) == []
    assert silent(ORDER, {}, SUBSCRIBED, AT_MS) == [
        Silent(("orders/create",), "an order", AT, None)
    ]


async def test_the_newest_order_old_enough_to_have_been_delivered_is_found() -> None:
    orders = [kept(one) for one in map(sale, range(6))]
    times = sorted(order["createdAt"] for order in orders)
    newest_at = datetime.fromisoformat(times[-1])
    async with admin_of(books(*orders)) as (_, client):

        def at(now: datetime) -> dict[str, str]:
            return newest(client, int(now.timestamp() * 1000))

        late = newest_at + timedelta(milliseconds=GRACE_MS, seconds=1)
        assert (await asyncio.to_thread(at, late))["created"] == times[-1]
        soon = newest_at + timedelta(milliseconds=GRACE_MS)
        assert (await asyncio.to_thread(at, soon))["created"] == times[-2]
        assert await asyncio.to_thread(at, newest_at + timedelta(days=3)) == {}


async def test_a_change_that_comes_with_an_order_s_making_need_not_be_reported_by_itself() -> None:
    def changed(seed: int, minutes: int) -> dict[str, str]:
        made = datetime(2026, 11, 22, 12, tzinfo=UTC)
        times = (made, made + timedelta(minutes=minutes))
        created, updated = (at.strftime("%Y-%m-%dT%H:%M:%SZ") for at in times)
        return kept(sale(seed)) | {"createdAt": created, "updatedAt": updated}

    now_ms = int(datetime(2026, 11, 22, 14, tzinfo=UTC).timestamp() * 1000)
    async with admin_of(books(changed(1, 5))) as (_, client):
        assert "updated" not in await asyncio.to_thread(newest, client, now_ms)
    async with admin_of(books(changed(1, 5), changed(2, 4), changed(3, 6))) as (_, client):
        found = await asyncio.to_thread(newest, client, now_ms)
        assert found["updated"] == "2026-11-22T12:06:00Z"
