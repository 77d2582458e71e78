"""The stand-in for the Admin API answers, refuses and counts as the real one is recorded to."""

import time
from importlib.resources import files
from typing import Any

import orjson
import pytest
from graphql import parse, validate

from ingest.shopify.admin import documents
from ingest.shopify.admin.documents import CUSTOMERS, PERSONAL, PRODUCTS, document
from simulator.admin.access import Access
from simulator.admin.documents import read, schema
from simulator.admin.stand_in import AdminStandIn
from tests.support.shopify.admin_shop import books

EVERY = sorted(
    file.name.removesuffix(".graphql")
    for file in files(documents).iterdir()
    if file.name.endswith(".graphql") and file.name != "fields.graphql"
)
SENT = ("order", "order_event", "order_lines", "refund", "refund_event")


def answer(admin: AdminStandIn, text: str, **variables: Any) -> dict[str, Any]:
    status, shown = admin._answer(text, variables)
    assert status == 200
    found: dict[str, Any] = orjson.loads(orjson.dumps(shown))
    return found


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("without", [frozenset(), frozenset({CUSTOMERS, PERSONAL, PRODUCTS})])
def test_every_document_there_is_fits_shopifys_published_schema(
    name: str, without: frozenset[str]
) -> None:
    text = document(name, without)
    if name == "orders_bulk":
        text %= "created_at:>=2026-01-01"
    assert [error.message for error in validate(schema(), parse(text))] == []


@pytest.mark.parametrize("name", SENT)
@pytest.mark.parametrize(
    "without", [frozenset(), frozenset({PRODUCTS}), frozenset({CUSTOMERS, PERSONAL, PRODUCTS})]
)
def test_the_queries_for_one_order_or_refund_cost_less_than_a_query_may(
    name: str, without: frozenset[str]
) -> None:
    variables = {"id": "gid://shopify/Order/1", "orderId": "gid://shopify/Order/1"}
    variables |= {"refundId": "gid://shopify/Refund/1", "after": "x"}
    assert read(document(name, without), variables, frozenset()).cost <= 1_000


def test_an_order_comes_back_whole() -> None:
    held = books(30)
    admin = AdminStandIn(held)
    wanted = next(one for one in held.orders if one["refunds"])
    found = answer(admin, document("order"), id=wanted["id"])["data"]["order"]
    assert found["id"] == wanted["id"]
    assert len(found["lineItems"]["nodes"]) == len(wanted["lineItems"])
    assert found["refunds"][0]["transactions"] or found["refunds"][0]["refundLineItems"]
    assert found["customer"]["id"] == wanted["customer"]["id"]


def test_without_read_all_orders_older_orders_are_absent_and_no_error_says_so() -> None:
    held = books(40)
    text = "{ orders(first: 250) { nodes { processedAt } } }"
    everything = answer(AdminStandIn(held), text)
    access = Access(time.time, scopes=frozenset({"read_orders"}))
    recent = answer(AdminStandIn(held, access=access), text)
    assert "errors" not in recent
    assert len(recent["data"]["orders"]["nodes"]) < len(everything["data"]["orders"]["nodes"])


def test_a_search_by_another_time_than_the_one_sorted_by_times_out_in_a_large_shop() -> None:
    admin = AdminStandIn(books(10), sorts_slowly=True)
    text = """{ orders(first: 5, sortKey: UPDATED_AT, query: "processed_at:>='2026-01-01'") {
      nodes { id } } }"""
    assert answer(admin, text)["errors"][0]["extensions"]["code"] == "TIMEOUT"
    assert "errors" not in answer(admin, text.replace("UPDATED_AT", "PROCESSED_AT"))


def test_cost_is_asked_for_before_and_given_back_after() -> None:
    admin = AdminStandIn(books(10))
    cost = answer(admin, "{ orders(first: 250) { nodes { id } } }")["extensions"]["cost"]
    assert cost["requestedQueryCost"] == 13
    assert cost["actualQueryCost"] < cost["requestedQueryCost"]
    assert cost["throttleStatus"]["maximumAvailable"] == 2000


def test_a_field_that_is_not_searchable_matches_everything_in_silence() -> None:
    admin = AdminStandIn(books(10))
    found = answer(admin, """{ orders(first: 50, query: "colour:red") { nodes { id } } }""")
    assert len(found["data"]["orders"]["nodes"]) == 10
