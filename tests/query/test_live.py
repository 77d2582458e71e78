"""`GET /v1/events`: what changes arrives by itself, and a client that was away misses nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse
from msgspec.structs import replace

from query.live.orders import BACK_RECORDS, parsed, written
from query.live.watch import MOST
from query.services import SERVICES
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import Api, serving
from tests.support.api.api_shop import fill
from tests.support.api.receiving import until
from tests.support.delivery import capi_orders

Event = tuple[str, str, Any]


async def events(response: ClientResponse) -> AsyncIterator[Event]:
    """(event, id, data) as they come."""
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
            fields = {}
        else:
            fields = {}


async def wanted(stream: AsyncIterator[Event], kind: str) -> Event:
    async with asyncio.timeout(60):
        async for event in stream:
            if event[0] == kind:
                return event
    raise AssertionError(f"the stream ended before {kind}")


@asynccontextmanager
async def listening(api: Api, last_event_id: str = "") -> AsyncIterator[AsyncIterator[Event]]:
    headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
    async with api.client.get("/v1/events", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        yield events(response)


def a_record(number: int) -> Record:
    return capi_orders.record(capi_orders.body(number))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_new_order_arrives_without_being_asked_for(store: SqlStore, log: SqliteLog) -> None:
    fill(store)
    await log.append([a_record(1)])
    async with serving(store, log) as api, listening(api) as stream:
        live = (await wanted(stream, "live"))[2]
        assert live["counters"]["accounts"][0]["name"] == "meta"
        assert [order["order_id"] for order in (await wanted(stream, "orders"))[2]] == ["1"]
        await log.append([a_record(2)])
        (order,) = (await wanted(stream, "orders"))[2]
        assert order["order_id"] == "2"
        assert order["total"]["currency_code"]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_client_that_reconnects_gets_what_came_meanwhile(
    store: SqlStore, log: SqliteLog
) -> None:
    await log.append([a_record(1)])
    async with serving(store, log) as api:
        async with listening(api) as stream:
            last_id = (await wanted(stream, "orders"))[1]
        await log.append([a_record(2), a_record(3)])
        async with listening(api, last_id) as stream:
            orders = (await wanted(stream, "orders"))[2]
    assert [order["order_id"] for order in orders] == ["2", "3"]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_client_gets_what_came_while_the_api_was_restarted(
    store: SqlStore, log: SqliteLog
) -> None:
    await log.append([a_record(1)])
    async with serving(store, log) as api, listening(api) as stream:
        last_id = (await wanted(stream, "orders"))[1]
        await log.append([a_record(2)])
        _, last_id, orders = await wanted(stream, "orders")
        assert [order["order_id"] for order in orders] == ["2"]
    await log.append([a_record(3)])
    async with serving(store, log) as api, listening(api, last_id) as stream:
        orders = (await wanted(stream, "orders"))[2]
        await log.append([a_record(4)])
        later = (await wanted(stream, "orders"))[2]
    assert [[order["order_id"] for order in each] for each in (orders, later)] == [["3"], ["4"]]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_shop_is_looked_at_once_for_all_of_its_clients(
    store: SqlStore, log: SqliteLog
) -> None:
    async with serving(store, log) as api, AsyncExitStack() as stack:
        watches = api.client.server.app[SERVICES].watches  # type: ignore[attr-defined]
        streams = [await stack.enter_async_context(listening(api)) for _ in range(MOST)]
        for stream in streams:
            assert await wanted(stream, "live")
            assert await wanted(stream, "orders")
        before = watches.looks
        await log.append([a_record(1)])
        for stream in streams:
            _, _, orders = await wanted(stream, "orders")
            assert [order["order_id"] for order in orders] == ["1"]
        assert watches.looks - before < MOST
        problem = await api.answer("/v1/events", status=503)
        assert problem["type"] == "/docs#too-many-streams"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_shop_to_which_nobody_listens_is_not_looked_at(
    store: SqlStore, log: SqliteLog
) -> None:
    async with serving(store, log) as api:
        watches = api.client.server.app[SERVICES].watches  # type: ignore[attr-defined]
        async with listening(api) as stream:
            assert await wanted(stream, "live")
        await until(lambda: not watches.listened())
        async with listening(api) as stream:
            assert await wanted(stream, "live")


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_stream_shows_nothing_of_another_shop_and_no_personal_data(
    store: SqlStore, log: SqliteLog
) -> None:
    other = a_record(7)
    await log.append(
        [replace(other, headers={**other.headers, "shop": "other.myshopify.com"}), a_record(8)]
    )
    async with serving(store, log) as api, listening(api) as stream:
        _, _, orders = await wanted(stream, "orders")
    assert [order["order_id"] for order in orders] == ["8"]
    assert "@" not in json.dumps(orders)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_counters_come_again_when_they_change_and_alerts_say_what_to_do(
    store: SqlStore, log: SqliteLog
) -> None:
    async with serving(store, log) as api, listening(api) as stream:
        first = (await wanted(stream, "live"))[2]
        assert "no process role" in first["alerts"][0]["message"]
        await asyncio.to_thread(fill, store)
        second = (await wanted(stream, "live"))[2]
        while not second["counters"]["parked"]:
            second = (await wanted(stream, "live"))[2]
    assert second["counters"]["parked"] == 3
    assert second["counters"]["records"] > first["counters"]["records"]


@pytest.mark.parametrize(
    ("text", "cursor"),
    [("0.12-3.4", {0: 12, 3: 4}), ("", None), ("x", None), ("0.1.2", None), ("0.-5", None)],
)
def test_a_cursor_is_a_place_in_each_partition(text: str, cursor: dict[int, int] | None) -> None:
    assert parsed(text) == cursor
    if cursor:
        assert written(cursor) == text


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_cursor_far_behind_is_given_the_newest_only(
    store: SqlStore, log: SqliteLog
) -> None:
    await log.append([a_record(number) for number in range(1, BACK_RECORDS + 100)])
    async with serving(store, log) as api, listening(api, "0.1") as stream:
        _, event_id, orders = await wanted(stream, "orders")
    assert orders[-1]["order_id"] == str(BACK_RECORDS + 99)
    assert event_id == f"0.{BACK_RECORDS + 99}"
