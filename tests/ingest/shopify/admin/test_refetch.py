"""An order is fetched whole: all its lines, and without what the token may not read."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest

from ingest.shopify.admin.client import AccessDenied
from ingest.shopify.admin.documents import CUSTOMERS, PRODUCTS
from ingest.shopify.admin.refetch import Refetch
from simulator.admin.access import ALL_SCOPES
from simulator.admin.books import Books
from simulator.admin.stand_in import AdminStandIn
from simulator.shop import changes
from simulator.shop.sale import Sale
from stream.record import Record
from tests.support.shopify.admin_client import admin_of, books, kept
from tests.support.shopify.twin_orders import SHOP, graphql, sale

NOW_MS = 1_795_300_000_000
BEFORE = "2026-11-20T00:00:00Z"


@asynccontextmanager
async def refetch(held: Books) -> AsyncIterator[tuple[Refetch, AdminStandIn]]:
    async with admin_of(held) as (admin, client):
        yield Refetch(SHOP, client, lambda: NOW_MS), admin


async def fetched(made: Refetch, gid: str, no_earlier: str = BEFORE) -> Record:
    record = await asyncio.to_thread(made.record, gid, no_earlier)
    assert record is not None
    return record


def web(minimum: int = 1) -> Sale:
    return next(
        one for one in map(sale, range(200)) if one.person is not None and one.units >= minimum
    )


async def test_a_fetched_order_is_a_record_of_shopify_events() -> None:
    one = web()
    async with refetch(books(kept(one))) as (made, _):
        record = await fetched(made, f"gid://shopify/Order/{one.order_id}")
    assert record.topic == "orders"
    assert record.headers["topic"] == "Order"
    assert record.headers["origin"] == "refetch"
    assert record.headers["triggered_at"].startswith("2026-11-21T")
    body = json.loads(record.body)
    assert body["query_variables"] == {"orderId": f"gid://shopify/Order/{one.order_id}"}
    assert body["data"]["shop"] == {"ianaTimezone": "Europe/Paris"}
    assert body["data"]["order"]["updatedAt"] == graphql(one).order()["updatedAt"]


async def test_a_clock_behind_shopify_s_does_not_make_the_answer_look_older() -> None:
    one = web()
    async with refetch(books(kept(one))) as (made, _):
        record = await fetched(
            made, f"gid://shopify/Order/{one.order_id}", "2026-12-24T00:00:00.000000000Z"
        )
    assert record.headers["triggered_at"] == "2026-12-24T00:00:00.000000000Z"


async def test_lines_beyond_the_first_page_are_fetched_too() -> None:
    one = web()
    order = kept(one)
    (line, *_) = order["lineItems"]
    order["lineItems"] = [{**line, "id": f"gid://shopify/LineItem/{n}"} for n in range(1, 431)]
    async with refetch(books(order)) as (made, admin):
        record = await fetched(made, order["id"])
        assert admin.calls == ["Order", "OrderLines", "OrderLines"]
    lines = json.loads(record.body)["data"]["order"]["lineItems"]
    assert [each["id"].rpartition("/")[2] for each in lines["nodes"]] == [
        str(n) for n in range(1, 431)
    ]
    assert lines["pageInfo"] == {"hasNextPage": False}


async def test_lines_of_a_refund_beyond_the_first_page_are_fetched_too() -> None:

    one = web(2)
    one.financial_status = "paid"
    changes.send_back(Random(1), one, one.created, 900_000_000_000)
    order = kept(one)
    (line, *_) = order["refunds"][0]["refundLineItems"]
    order["refunds"][0]["refundLineItems"] = [line] * 25
    async with refetch(books(order)) as (made, admin):
        record = await fetched(made, order["id"])
        assert admin.calls == ["Order", "Refund"]
        refund = await fetched(made, order["refunds"][0]["id"])
    (answer,) = json.loads(record.body)["data"]["order"]["refunds"]
    assert len(answer["allLines"]["nodes"]) == 25
    assert refund.headers["topic"] == "Refund"
    assert refund.key == f"{SHOP}:{one.order_id}"


@pytest.mark.parametrize(
    ("missing", "field"),
    [(PRODUCTS, "variant"), (CUSTOMERS, "customer")],
)
async def test_a_scope_that_the_token_lacks_costs_its_fields_and_not_the_order(
    missing: str, field: str
) -> None:
    one = web()
    async with refetch(books(kept(one))) as (made, admin):
        admin.access.scopes = ALL_SCOPES - {missing}
        record = await fetched(made, f"gid://shopify/Order/{one.order_id}")
        assert made.without == {missing}
        calls = len(admin.calls)
        await fetched(made, f"gid://shopify/Order/{one.order_id}")
        assert len(admin.calls) == calls + 1
    assert f'"{field}"' not in record.body.decode()


async def test_without_the_scope_for_orders_nothing_is_fetched() -> None:
    one = web()
    async with refetch(books(kept(one))) as (made, admin):
        admin.access.scopes = frozenset[str]()
        with pytest.raises(AccessDenied, match="read_orders"):
            await fetched(made, f"gid://shopify/Order/{one.order_id}")


async def test_an_order_that_is_gone_is_none() -> None:
    async with refetch(books()) as (made, _):
        assert await asyncio.to_thread(made.record, "gid://shopify/Order/1", BEFORE) is None
