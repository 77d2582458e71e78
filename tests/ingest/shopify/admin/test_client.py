"""The client of the Admin API, against the stand-in: within its limits, and never in the way of a
person who has to mend something."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
import stamina

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.errors import (
    AccessDenied,
    AdminUnavailable,
    QueryRefused,
    TokenRefused,
)
from ingest.shopify.admin.tokens import StaticToken
from simulator.admin.access import Access
from simulator.admin.stand_in import AdminCall, AdminStandIn
from simulator.servers.stand_in import ScriptedReply
from tests.support.shopify.admin_shop import books

SHOP_QUERY = "query Shop { shop { name ianaTimezone } }"
PAGE = """query Page($first: Int!, $after: String) {
  orders(first: $first, after: $after, sortKey: UPDATED_AT) {
    nodes { id updatedAt } pageInfo { hasNextPage endCursor } } }"""
WITH_CUSTOMER = "query Q { orders(first: 2) { nodes { id customer { id } } } }"


@asynccontextmanager
async def client(
    admin: AdminStandIn, token: str = "shpat_static", patience_s: float = 5.0
) -> AsyncIterator[Callable[..., Any]]:
    """Asks the stand-in from a thread, as jobs do."""
    made = AdminClient(
        f"{admin.url}/admin/api/2026-10/graphql.json", StaticToken(token), patience_s=patience_s
    )
    try:
        yield lambda document, variables=None: asyncio.to_thread(made.query, document, variables)
    finally:
        made.close()


async def test_the_answers_data_comes_back() -> None:
    async with AdminStandIn(books(0)) as admin, client(admin) as ask:
        assert await ask(SHOP_QUERY) == {
            "shop": {"name": "example", "ianaTimezone": "Europe/Paris"}
        }


async def test_pages_follow_the_cursor_to_the_end_without_gap_or_repeat() -> None:
    held = books(40)
    async with AdminStandIn(held) as admin:
        made = AdminClient(
            f"{admin.url}/admin/api/2026-10/graphql.json",
            StaticToken("shpat_static"),
            patience_s=5,
        )
        pages = await asyncio.to_thread(list, made.pages(PAGE, {"first": 7}, "orders"))
        made.close()
    assert [len(page) for page in pages] == [7, 7, 7, 7, 7, 5]
    found = [node["id"] for page in pages for node in page]
    assert sorted(found) == sorted(one["id"] for one in held.orders)
    times = [node["updatedAt"] for page in pages for node in page]
    assert times == sorted(times)


@pytest.mark.parametrize("throttle_as", [200, 429])
async def test_a_query_waits_until_the_bucket_can_pay_for_it(throttle_as: int) -> None:
    admin = AdminStandIn(books(5), throttle_as=throttle_as, maximum=40, restore=60)
    async with admin, client(admin, patience_s=20) as ask:
        started_s = time.monotonic()
        for _ in range(6):
            await ask(PAGE, {"first": 250})
        took_s = time.monotonic() - started_s
    assert len(admin.calls) == 6
    # Each asks for 13 points and gets back those of the pages that are empty.
    assert took_s < 10


async def test_known_costs_are_waited_for_instead_of_being_throttled() -> None:
    admin = AdminStandIn(books(260), maximum=30, restore=100)
    async with admin, client(admin, patience_s=20) as ask:
        for _ in range(8):
            await ask(PAGE, {"first": 250})
    assert admin.budget.throttled <= 1


async def test_what_passes_by_itself_is_tried_again() -> None:
    troubles = iter(
        [
            ScriptedReply(503),
            ScriptedReply(reset=True, status=500),
            ScriptedReply(200, b"<html>"),
            ScriptedReply(
                200,
                orjson.dumps(
                    {"errors": [{"message": "x", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]}
                ),
            ),
        ]
    )

    def script(_: AdminCall) -> ScriptedReply | None:
        return next(troubles, None)

    stand_in = AdminStandIn(books(0), script=script)
    # Without the pauses between.
    with stamina.set_testing(True, attempts=10):
        async with stand_in as admin, client(admin) as ask:
            assert (await ask(SHOP_QUERY))["shop"]["name"] == "example"


async def test_after_its_patience_it_gives_up_and_says_so() -> None:
    admin = AdminStandIn(books(0), script=lambda _: ScriptedReply(502))
    async with admin, client(admin, patience_s=0.5) as ask:
        with pytest.raises(AdminUnavailable, match="HTTP 502"):
            await ask(SHOP_QUERY)


async def test_a_missing_scope_is_named_and_so_is_the_field() -> None:
    access = Access(time.time, scopes=frozenset({"read_orders", "read_all_orders"}))
    async with AdminStandIn(books(5), access=access) as admin, client(admin) as ask:
        with pytest.raises(AccessDenied) as denied:
            await ask(WITH_CUSTOMER)
    assert denied.value.scopes == ("read_customers",)
    assert denied.value.field == "orders.nodes.customer"
    assert "read_customers" in str(denied.value)
    assert denied.value.data is not None
    assert denied.value.data["orders"]["nodes"][0]["customer"] is None


async def test_a_missing_approval_names_where_it_is_given() -> None:
    access = Access(time.time, approved=False)
    async with AdminStandIn(books(5), access=access) as admin, client(admin) as ask:
        with pytest.raises(AccessDenied, match="protected-customer-data") as denied:
            await ask(WITH_CUSTOMER)
    assert denied.value.scopes == ()


async def test_a_wrong_question_is_not_asked_twice() -> None:
    async with AdminStandIn(books(0)) as admin, client(admin) as ask:
        with pytest.raises(QueryRefused, match="undefinedField"):
            await ask("{ shop { nickname } }")
        with pytest.raises(QueryRefused, match="MAX_COST_EXCEEDED"):
            await ask(
                "{ orders(first: 250) { nodes { lineItems(first: 250) { nodes {"
                " product { id } variant { id } } } more: lineItems(first: 250) { nodes {"
                " product { id } variant { id } } } refunds { refundLineItems(first: 250) {"
                " nodes { id } } transactions(first: 250) { nodes { id } } } } } }"
            )


async def test_a_token_that_is_not_taken_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    async with AdminStandIn(books(0)) as admin, client(admin, "shpat_secret") as ask:
        with pytest.raises(TokenRefused) as refused:
            await ask(SHOP_QUERY)
    assert "SHOPIFY_ADMIN_TOKEN" in str(refused.value)
    assert "shpat_secret" not in str(refused.value) + caplog.text


@pytest.mark.parametrize("status", [402, 403, 404, 423])
async def test_what_no_waiting_mends_is_said_at_the_first_answer(status: int) -> None:
    calls: list[int] = []

    def script(call: AdminCall) -> ScriptedReply:
        calls.append(call.number)
        return ScriptedReply(status, b"{}")

    async with AdminStandIn(books(0), script=script) as admin, client(admin) as ask:
        with pytest.raises(TokenRefused, match=f"HTTP {status}"):
            await ask(SHOP_QUERY)
    assert len(calls) == 1
