"""The fields that subscriptions ask for are all that is read, and no more of an order travels."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.meta.event.amounts import SIDES, CurrencySide
from destinations.meta.event.detail import detail
from destinations.webhook.detail import detail as webhook_detail
from ingest.shopify.routing import RULES
from orderwire.operation.refused import Refused
from orderwire.operation.shopify.subscribing import checked
from orderwire.operation.shopify.wanted_subscriptions import (
    ORDER_FIELDS,
    OTHERS,
    WHOLE_ORDERS,
    topic_name,
    wanted,
)
from orderwire.settings.program import Settings, ShopSettings
from processors.shopify.orders import WHOLE_ORDERS as DECODED_WHOLE
from processors.shopify.orders import Order, decode_with_facts
from tests.support.delivery.purchase import amounts
from tests.support.shopify.twin_orders import classic_entry, entry, lives


def shop(monkeypatch: pytest.MonkeyPatch, **variables: str) -> ShopSettings:
    for name, value in {
        "SHOPIFY_SHOP": "example",
        "SHOPIFY_WEBHOOK_SECRET": "secret",
        "META_PIXEL_ID": "1",
        "META_ACCESS_TOKEN": "token",
        **variables,
    }.items():
        monkeypatch.setenv(name, value)
    (only,) = Settings.load().shops.values()
    return only


@given(seed=st.integers(0, 10_000), side=st.sampled_from(SIDES))
def test_an_order_reduced_to_the_fields_asked_for_reads_the_same(
    seed: int, side: CurrencySide
) -> None:
    for one in lives(seed):
        whole = classic_entry(one)
        body: dict[str, Any] = json.loads(whole.record.body)
        reduced = entry("orders/updated", {k: v for k, v in body.items() if k in ORDER_FIELDS}, one)
        found, expected = (decode_with_facts(each, {}) for each in (reduced, whole))
        assert isinstance(found, Order)
        assert isinstance(expected, Order)
        for name in set(Order.__struct_fields__) - {"body", "version"}:
            assert getattr(found, name) == getattr(expected, name), name
        assert detail(found.raw, side) == detail(expected.raw, side)
        assert amounts(found.raw, side) == amounts(expected.raw, side)
        assert webhook_detail(found.raw, "USD") == webhook_detail(expected.raw, "USD")


def test_shopify_s_own_needs_are_among_the_fields() -> None:
    assert {"id", "admin_graphql_api_id", "updated_at"} <= ORDER_FIELDS
    assert "note" not in ORDER_FIELDS


def test_every_topic_has_a_route_and_a_reader() -> None:
    assert {topic_name(topic) for topic in WHOLE_ORDERS} <= DECODED_WHOLE
    assert {topic_name(topic) for topic in (*WHOLE_ORDERS, *OTHERS)} <= RULES.keys()


@pytest.mark.parametrize(
    ("variables", "whole"),
    [
        ({}, False),
        ({"META_EVENT_ID": "{checkout_token}"}, False),
        ({"META_EVENT_ID": "{note_attributes.event_id}"}, False),
        ({"META_EVENT_ID": "{pixel.event_id}"}, False),
        ({"META_EVENT_ID": "{order_number}"}, True),
        ({"META_CONSENT": "customer.email_marketing_consent.state"}, False),
        ({"META_CONSENT": "buyer_accepts_marketing"}, True),
    ],
)
def test_a_setting_that_names_another_field_leaves_orders_whole(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], whole: bool
) -> None:
    orders = [each for each in wanted(shop(monkeypatch, **variables)) if each.topic in WHOLE_ORDERS]
    assert [not each.include_fields for each in orders] == [whole] * len(WHOLE_ORDERS)


@pytest.mark.parametrize(
    "url", ["http://h/webhooks/shopify", "h/webhooks", "https://h", "https://h/"]
)
def test_an_address_that_shopify_would_not_reach_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        checked(url)


def test_an_address_loses_its_closing_slash() -> None:
    assert checked(" https://h/webhooks/shopify/ ") == "https://h/webhooks/shopify"
