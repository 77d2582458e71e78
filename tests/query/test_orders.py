"""`GET /v1/orders/{id}`: one order by id or name, where it counts, and what was sent of it."""

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from processors.orders.row import OrderDetail, OrderLine, encoded
from processors.shopify.orders import CustomersMerged, OrderDeleted, OrderEvent, Refund
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import NOW_MS, TODAY, Api, fold, serving
from tests.support.delivery import capi_orders
from tests.support.shopify.orders import SHOP, order
from tests.support.shops.folding import all_orders


@pytest.fixture
async def api(store: SqlStore, log: SqliteLog) -> AsyncIterator[Api]:
    detail = OrderDetail(
        discount_codes=("SUMMER10",), lines=(OrderLine("1", "2", "S-1", 2, 1, 6_000),)
    )
    told: list[OrderEvent] = [
        replace(
            order(
                "1001",
                customer="5",
                day=TODAY - 3,
                total=12_000,
                refunds=(Refund("r1", 1_000),),
                landing_site="/?utm_source=ig&utm_campaign=Summer",
            ),
            name="#1001",
            country="FR",
            detail=encoded(detail),
        ),
        replace(order("1002", customer="6", day=TODAY - 1), name="#1002"),
        replace(order("77", customer="7", day=TODAY - 1, cancelled=True), name="N-1003"),
        CustomersMerged(shop=SHOP, kept_id="5", deleted_id="6"),
        OrderDeleted(shop=SHOP, order_id="88"),
    ]
    fold(store, [told], processor=all_orders())
    capi = capi_orders.processor(capi_orders.settings())
    with store.begin() as transaction:
        capi.apply(transaction, [capi_orders.seen(id=1002)], NOW_MS)
    async with serving(store, log) as running:
        yield running


async def test_an_order_is_found_by_id_and_by_name(api: Api) -> None:
    for wanted in ("1001", "%231001"):
        found = await api.answer(f"/v1/orders/{wanted}")
        assert (found["id"], found["name"]) == ("1001", "#1001")
    assert (await api.answer("/v1/orders/N-1003"))["id"] == "77"


async def test_its_facts_and_where_it_counts_are_told(api: Api) -> None:
    found = await api.answer("/v1/orders/1001")
    assert found["country"] == "FR"
    assert found["refunded"] == {"amount": "10.00", "currency_code": "USD"}
    assert found["discount_codes"] == ["SUMMER10"]
    assert found["lines"][0]["unit_price"] == {"amount": "60.00", "currency_code": "USD"}
    assert found["aggregates"] == {
        "counts": True,
        "day": found["aggregates"]["day"],
        "net": {"amount": "110.00", "currency_code": "USD"},
        "customer": "5",
        "first_of_customer": True,
        "ad_channel": "meta",
        "campaign": "summer",
        "cart": None,
    }
    assert found["destinations"] == []


async def test_a_merged_customer_s_order_counts_for_the_one_that_is_kept(api: Api) -> None:
    found = (await api.answer("/v1/orders/1002"))["aggregates"]
    assert (found["customer"], found["first_of_customer"]) == ("5", False)


async def test_its_delivery_is_told_for_each_account(api: Api) -> None:
    (sent,) = (await api.answer("/v1/orders/1002"))["destinations"]
    assert sent["name"] == "meta"
    assert sent["event_name"] == "Purchase"
    assert [each["outcome"] for each in sent["events"]] == ["pending"]


async def test_a_cancelled_order_does_not_count_and_a_deletion_alone_says_little(api: Api) -> None:
    found = await api.answer("/v1/orders/77")
    assert found["cancelled"]
    assert not found["aggregates"]["counts"]
    assert found["aggregates"]["first_of_customer"] is None
    gone = await api.answer("/v1/orders/88")
    assert gone["deleted"]
    assert (gone["aggregates"], gone["total"], gone["made_at"]) == (None, None, None)


async def test_an_order_that_nobody_knows_is_not_found(api: Api) -> None:
    for wanted in ("999", "%239", "0"):
        problem = await api.answer(f"/v1/orders/{wanted}", status=404)
        assert "no order of this id or name is known" in problem["detail"]
