"""What the documents select is all that the translation reads: Events, refetch and bulk bring the
same facts as a classic webhook."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.meta.event.amounts import SIDES, CurrencySide
from destinations.meta.event.detail import detail
from ingest.shopify.admin.documents import CUSTOMERS, PRODUCTS, document
from processors.orders.state import fold, net
from processors.shopify.orders import Order, RefundCreated, decode_with_facts
from simulator.admin.access import ALL_SCOPES, Access
from simulator.admin.bulk import BulkOperations
from simulator.admin.documents import read
from simulator.admin.events import event_body
from simulator.admin.fields import single
from simulator.admin.world import World
from simulator.shop.sale import Sale
from tests.support.delivery.purchase import amounts
from tests.support.shopify.admin_client import books, kept
from tests.support.shopify.twin_orders import classic_entry, entry, lives, sale

seeds = st.integers(0, 20_000)
NOT_COMPARED = {"version", "body", "raw", "landing_site", "refunds", "lacking"}


def world(one: Sale, scopes: frozenset[str] = ALL_SCOPES) -> World:
    access = Access(lambda: 0.0, scopes=scopes)
    return World(books(kept(one)), access, BulkOperations(None), lambda: 0.0)


def gid(one: Sale) -> str:
    return f"gid://shopify/Order/{one.order_id}"


def decoded(body: Any, one: Sale, **headers: str) -> Order:
    found = decode_with_facts(entry("Order", json.loads(json.dumps(body)), one, **headers), {})
    assert isinstance(found, Order)
    return found


def facts(found: Order) -> dict[str, Any]:
    answer = msgspec.structs.asdict(found)
    return {name: answer[name] for name in answer.keys() - NOT_COMPARED}


def whole(one: Sale) -> Order:
    found = decode_with_facts(classic_entry(one), {})
    assert isinstance(found, Order)
    return found


@given(seed=seeds)
def test_the_query_of_events_brings_what_a_webhook_brings(seed: int) -> None:
    for one in lives(seed):
        body = event_body(world(one), "Order", "update", gid(one), document("order_event"))
        found, expected = decoded(body, one), whole(one)
        assert found.lacking is None
        assert facts(found) == facts(expected)
        rest, expected_rest = (
            msgspec.structs.replace(
                detail(each.raw),
                user_agent=None,
                landing_site=None,
                referring_site=None,
                items=(),
            )
            for each in (found, expected)
        )
        assert rest == expected_rest
        if not one.refunds:
            assert amounts(found.raw, "shop") == amounts(expected.raw, "shop")
            assert detail(found.raw).items == detail(expected.raw).items
        if not one.edited:
            assert net(fold(None, found)) == net(fold(None, expected))


@given(seed=seeds, side=st.sampled_from(SIDES))
def test_the_query_of_one_order_brings_all(seed: int, side: CurrencySide) -> None:
    for one in lives(seed):
        request = read(document("order"), {"id": gid(one)}, ALL_SCOPES)
        found = single.order(world(one), {"id": gid(one)})
        data = {
            root.key: root.project(
                found if root.name == "order" else {"ianaTimezone": "Europe/Paris"}
            )
            for root in request.roots
        }
        body = {
            "topic": "Order",
            "action": "update",
            "query_variables": {"orderId": gid(one)},
            "data": data,
        }
        answer, expected = decoded(body, one, origin="refetch"), whole(one)
        assert facts(answer) | {"refunds": answer.refunds} == facts(expected) | {
            "refunds": expected.refunds
        }
        assert detail(answer.raw, side).items == detail(expected.raw, side).items
        assert amounts(answer.raw, side) == amounts(expected.raw, side)


@given(seed=seeds)
def test_the_query_of_a_refund_brings_what_its_webhook_brings(seed: int) -> None:
    for one in lives(seed):
        for refund in one.refunds:
            body = event_body(
                world(one),
                "Refund",
                "create",
                refund["admin_graphql_api_id"],
                document("refund_event"),
            )
            found = decode_with_facts(entry("Refund", json.loads(json.dumps(body)), one), {})
            assert isinstance(found, RefundCreated)
            assert found == decode_with_facts(entry("refunds/create", refund, one), {})


@pytest.mark.parametrize("missing", [PRODUCTS, CUSTOMERS])
def test_an_app_without_a_scope_delivers_query_errors_and_the_order_counts(missing: str) -> None:
    one = next(one for one in map(sale, range(200)) if one.person is not None and not one.guest)
    body = event_body(
        world(one, ALL_SCOPES - {missing}), "Order", "create", gid(one), document("order_event")
    )
    assert body["query_errors"]
    found = decoded(body, one)
    assert found.lacking is not None
    assert found.lacking.why == "query_errors"
    assert found.total == one.total
    permitted = event_body(
        world(one, ALL_SCOPES - {missing}),
        "Order",
        "create",
        gid(one),
        document("order_event", frozenset({missing})),
    )
    assert decoded(permitted, one).lacking is None
