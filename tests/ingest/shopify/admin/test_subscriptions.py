"""Subscriptions become what is wanted, whatever there was, and nobody else's are touched."""

import asyncio
import tomllib

import pytest
from graphql import parse
from hypothesis import given
from hypothesis import strategies as st

from ingest.shopify.admin.app_toml import app_toml
from ingest.shopify.admin.by_hand import FORMS, by_hand
from ingest.shopify.admin.subscriptions import (
    Subscription,
    Wanted,
    apply,
    difference,
    elsewhere,
    listed,
)
from ingest.shopify.routing import RULES
from simulator.admin.access import ALL_SCOPES
from simulator.admin.documents import read
from tests.support.shopify.admin_client import admin_of, books

OURS = "https://orders.example/webhooks/shopify"
OTHER = "https://other.example/hook"
WANTED = (Wanted("ORDERS_CREATE", ("id", "updated_at")), Wanted("CARTS_UPDATE"))
topics = st.sampled_from(("ORDERS_CREATE", "CARTS_UPDATE", "PRODUCTS_CREATE"))
fields = st.sampled_from(((), ("id", "updated_at"), ("updated_at", "id"), ("id",), ("id", "note")))


def subscriptions(uris: tuple[str, ...]) -> st.SearchStrategy[list[Subscription]]:
    one = st.builds(
        Subscription,
        id=st.integers(1, 10**6).map(lambda n: f"gid://shopify/WebhookSubscription/{n}"),
        topic=topics,
        uri=st.sampled_from(uris),
        format=st.sampled_from(("JSON", "XML")),
        filter=st.sampled_from((None, "test:false")),
        include_fields=fields,
    )
    return st.lists(one, max_size=8, unique_by=lambda each: each.id)


def changed(found: list[Subscription]) -> list[Subscription]:
    """What Shopify has after the changes."""
    there = {each.id: each for each in found}
    for number, change in enumerate(difference(found, WANTED, OURS)):
        if change.action == "delete":
            del there[change.id]
        else:
            assert change.wanted is not None
            gid = change.id or f"new-{number}"
            there[gid] = Subscription(
                gid, change.topic, OURS, include_fields=change.wanted.include_fields
            )
    return list(there.values())


@given(subscriptions((OURS, "https://Orders.example:443/webhooks/shopify/", OTHER)))
def test_whatever_there_was_the_changes_lead_to_what_is_wanted(found: list[Subscription]) -> None:
    after = changed(found)
    assert difference(after, WANTED, OURS) == []
    assert elsewhere(after, OURS) == elsewhere(found, OURS)
    assert len([each for each in after if each not in elsewhere(after, OURS)]) == len(WANTED)


@given(subscriptions((OTHER, "https://orders.example/another", "pubsub://project:topic")))
def test_subscriptions_of_other_addresses_are_never_changed(found: list[Subscription]) -> None:
    assert [change.action for change in difference(found, WANTED, OURS)] == ["create", "create"]


def test_creations_come_before_deletions() -> None:
    found = [
        Subscription("a", "PRODUCTS_CREATE", OURS),
        Subscription("b", "PRODUCTS_CREATE", OTHER),
    ]
    assert [change.action for change in difference(found, WANTED, OURS)] == [
        *("create", "create", "delete")
    ]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (Subscription("a", "ORDERS_CREATE", OURS, "XML"), "its format is XML"),
        (Subscription("a", "ORDERS_CREATE", OURS, filter="test:false"), "it has a filter"),
        (Subscription("a", "ORDERS_CREATE", OURS), "it sends fields that nothing reads"),
        (Subscription("a", "ORDERS_CREATE", OURS, include_fields=("id",)), "leaves out updated_at"),
        (Subscription("a", "CARTS_UPDATE", OURS, include_fields=("id",)), "it leaves fields out"),
    ],
)
def test_what_is_not_as_wanted_is_said(found: Subscription, why: str) -> None:
    (update,) = [each for each in difference([found], WANTED, OURS) if each.action == "update"]
    assert why in update.why


async def test_shopify_is_brought_to_what_is_wanted_and_stays_there() -> None:
    held = books()
    theirs = {"id": "gid://shopify/WebhookSubscription/5", "topic": "ORDERS_CREATE", "uri": OTHER}
    held.subscriptions[theirs["id"]] = {**theirs, "format": "JSON", "includeFields": []}
    async with admin_of(held) as (admin, client):

        def work() -> tuple[int, int]:
            first = difference(listed(client), WANTED, OURS)
            assert apply(client, first, OURS) == []
            return len(first), len(difference(listed(client), WANTED, OURS))

        assert await asyncio.to_thread(work) == (2, 0)
        assert await asyncio.to_thread(work) == (0, 0)
        assert held.subscriptions[theirs["id"]]["uri"] == OTHER
        ours = [each for each in held.subscriptions.values() if each["uri"] == OURS]
        ours[0]["filter"], ours[0]["format"] = "test:false", "XML"
        assert await asyncio.to_thread(work) == (1, 0)
        assert admin.calls.count("WebhookUpdate") == 1


async def test_more_than_a_page_of_subscriptions_is_listed_once_each() -> None:
    held = books()
    for number in range(1001, 1251):
        gid = f"gid://shopify/WebhookSubscription/{number}"
        held.subscriptions[gid] = {"id": gid, "topic": "CARTS_UPDATE", "uri": f"{OTHER}/{number}",
                                   "format": "JSON", "includeFields": []}  # fmt: skip
    async with admin_of(held) as (_, client):
        found = await asyncio.to_thread(listed, client)
    assert len({each.id for each in found}) == len(found) == 250


async def test_what_shopify_refuses_is_reported_in_its_words_and_stops_nothing_else() -> None:
    async with admin_of(books()) as (admin, client):
        admin.access.scopes = ALL_SCOPES - {"read_customers"}
        wanted = (Wanted("CUSTOMERS_MERGE"), *WANTED)

        def work() -> list[str]:
            changes = difference(listed(client), wanted, OURS)
            return [problem.message for problem in apply(client, changes, OURS)]

        (message,) = await asyncio.to_thread(work)
        assert "customers/merge" in message
        assert {each["topic"] for each in admin.books.subscriptions.values()} == {
            *("ORDERS_CREATE", "CARTS_UPDATE")
        }


async def test_a_subscription_that_another_process_made_meanwhile_is_no_problem() -> None:
    async with admin_of(books()) as (_, client):

        def work() -> list[object]:
            changes = difference(listed(client), WANTED, OURS)
            apply(client, changes, OURS)
            return [*apply(client, changes, OURS), *difference(listed(client), WANTED, OURS)]

        assert await asyncio.to_thread(work) == []


def test_the_toml_is_one_and_its_queries_cost_less_than_100_points() -> None:
    answer = tomllib.loads(app_toml(OURS, "2026-10"))
    assert answer["webhooks"]["subscriptions"][0]["compliance_topics"] == [
        *("customers/data_request", "customers/redact", "shop/redact")
    ]
    events = answer["events"]["subscription"]
    assert [(each["topic"], each["actions"]) for each in events] == [
        ("Order", ["create", "update"]),
        ("Order", ["delete"]),
        ("Refund", ["create", "update"]),
    ]
    assert len({each["handle"] for each in events}) == len(events)
    for each in events:
        assert each["uri"] == OURS
        assert ("update" in each["actions"]) == ("triggers" in each)
        if "query" in each:
            parse(each["query"])
            variables = {"orderId": "gid://shopify/Order/1", "refundId": "gid://shopify/Refund/1"}
            assert read(each["query"], variables, ALL_SCOPES).cost <= 100
    assert "read_orders" in answer["access_scopes"]["scopes"]


def test_forms_by_hand_name_topics_that_orderwire_reads_and_what_is_missing() -> None:
    text = by_hand(OURS, "2026-10")
    for name, topic in FORMS:
        assert topic in RULES
        assert name in text
    assert OURS in text
    assert "customers/merge" in text
