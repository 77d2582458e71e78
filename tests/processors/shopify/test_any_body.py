"""Any JSON is decoded or rejected, and nothing else happens."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.shopify.checkouts import decode_checkout
from processors.shopify.orders import (
    Order,
    decode_order,
)
from processors.shopify.tolerance import Rejected
from stream.record import Entry, Record
from tests.processors.shopify.bodies import NOON, ORDER, SHOP, entry, order, reason
from tests.support.shopify import golden


@pytest.mark.parametrize(("changes", "why"), [
    ({"id": None}, "no_order_id"),
    ({"created_at": None}, "missing_fields:created_at"),
    ({"currency": None}, "missing_fields:currency"),
    ({"currency": None, "created_at": ""}, "missing_fields:created_at,currency"),
    ({"currency": "example string"}, "malformed_currency"),
    ({"currency": "XQQ"}, "unknown_currency"),
    ({"total_price": None}, "missing_fields:total_price"),
    ({"total_price": "example string"}, "malformed_money"),
    ({"total_price": float("nan")}, "missing_fields:total_price"),
    ({"updated_at": "2024-09-16T03:50:1500:00"}, "malformed_timestamp"),
])  # fmt: skip
def test_what_cannot_be_understood_is_rejected_with_its_reason(
    changes: dict[str, Any], why: str
) -> None:
    assert reason("orders/updated", {**ORDER, **changes}) == why


REFUND = {"id": 1, "transactions": [
    {"kind": "refund", "status": "success", "currency": "USD", "amount": "600000000000.00"}
]}  # fmt: skip


@pytest.mark.parametrize(("topic", "body", "why"), [
    ("orders/create", {**ORDER, "total_price": "1000000000000.01"}, "total_price"),
    ("orders/create", {**ORDER, "total_price": 1e40}, "total_price"),
    ("orders/create", {**ORDER, "total_price": "-1000000000000.01"}, "total_price"),
    ("orders/create", {**ORDER, "current_total_price": "10000000000000"}, "current_total_price"),
    ("orders/create", {**ORDER, "refunds": [REFUND, {**REFUND, "id": 2}]}, "refunds"),
    ("refunds/create", {"order_id": 5, "id": 1, "transactions": [
        {"kind": "refund", "status": "success", "currency": "USD", "amount": "999999999999999"}
    ]}, "refund_transaction_amount"),
    ("checkouts/create", {"token": "t", "created_at": NOON, "currency": "USD",
        "presentment_currency": "USD",
        "total_price": "1000000000000.01"}, "total_price"),
])  # fmt: skip
def test_more_than_one_record_may_count_is_parked_under_the_name_of_the_field(
    topic: str, body: dict[str, Any], why: str
) -> None:
    assert reason(topic, body) == f"out_of_range:{why}"


def test_the_largest_amount_there_may_be_is_counted() -> None:
    assert order(total_price="1000000000000.00").total == 10**14


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b'"x"', b"\xff\xfe", b"null"])
@pytest.mark.parametrize(
    "topic",
    [
        "orders/create",
        "orders/delete",
        "refunds/create",
        "customers/merge",
        "checkouts/update",
        "carts/update",
    ],
)
def test_a_body_that_is_no_object_is_malformed(topic: str, body: bytes) -> None:
    assert reason(topic, body) == "malformed_json"


@pytest.mark.parametrize(
    "topic",
    ["orders/risk_assessment_changed", "orders/shopify_protect_eligibility_changed", "orders/next"],
)
@pytest.mark.parametrize(
    "body",
    [
        {"provider_id": 123, "risk_level": "low", "created_at": NOON, "order_id": "1721"},
        {"order_id": 1721, "status": "active", "eligibility": {"status": "eligible"}},
        {"id": 9, "order_id": 1721, "created_at": NOON, "updated_at": NOON},
        {},
    ],
)
def test_a_body_that_is_no_order_is_ignored_under_any_topic_of_the_family(
    topic: str, body: dict[str, Any]
) -> None:
    assert decode_order(entry(topic, body), {}) is None


@pytest.mark.parametrize("oddity", [b'"thanks \\ud83d"', b'"caf\xe9"', b'"a\nb"', b"NaN", b"1e999"])
def test_an_oddity_in_a_field_that_nobody_reads_costs_no_order(oddity: bytes) -> None:
    body = json.dumps(ORDER | {"note": "here"}).encode().replace(b'"here"', oddity)
    headers = {"shop": SHOP, "topic": "orders/create"}
    event = decode_order(Entry(Record("orders", "", "", 0, headers, body), 0, 0), {})
    assert isinstance(event, Order)
    assert event.total == order().total
    assert json.loads(event.body)["id"] == ORDER["id"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(["1.00", "USD", "2026-01-01T00:00:00Z"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "amount", "shop_money", "transactions", "kind", "status"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    fields=st.dictionaries(
        st.sampled_from(
            [
                *ORDER,
                "refunds",
                "cancelled_at",
                "token",
                "cart_token",
                "order_id",
                "order_edit",
                "transactions",
                "refund_line_items",
                "completed_at",
            ]
        ),
        JSON,
    ),
    topic=st.sampled_from(
        [
            "orders/create",
            "refunds/create",
            "orders/delete",
            "customers/merge",
            "checkouts/create",
            "checkouts/delete",
            "carts/create",
        ]
    ),
)
def test_any_json_decodes_or_is_rejected_and_nothing_else(
    fields: dict[str, Any], topic: str
) -> None:
    body = {**ORDER, **fields}
    try:
        decode_checkout(entry(topic, body)) if topic.startswith(
            ("checkouts", "carts")
        ) else decode_order(entry(topic, body), {})
    except Rejected as rejected:
        assert rejected.reason.isascii()  # noqa: PT017 - either outcome is fine, another exception is not


@pytest.mark.parametrize("payload", golden.every_payload(), ids=lambda payload: payload.name)
def test_every_payload_decodes_or_is_rejected_under_every_topic(payload: golden.Payload) -> None:
    for topic in (
        "orders/create",
        "refunds/create",
        "checkouts/update",
        "carts/update",
        "orders/delete",
        "checkouts/delete",
    ):
        try:
            decode_checkout(entry(topic, payload.body)) if topic.startswith(
                ("checkouts", "carts")
            ) else decode_order(entry(topic, payload.body), {})
        except Rejected as rejected:
            assert rejected.reason  # noqa: PT017 - either outcome is fine, another exception is not


READ = {
    "orders.create": ("6101000000064", "7001000000200", 4_589, False, False),
    "orders.create.guest": ("6101000000048", None, 7_679, False, False),
    "orders.cancelled": ("6101000000208", None, 42_660, True, False),
    "orders.create.test": ("6101000000112", None, 5_873, False, True),
    # Its ids were rounded in JavaScript (..500); the gids beside them are exact.
    "shopifydocs-2026-04_orders.create": (
        "820982911946154508",
        "115310627314723954",
        40_495,
        True,
        True,
    ),
}
"""Example -> (order id, customer id, total, cancelled, test)."""


@pytest.mark.parametrize(
    "payload",
    [each for each in golden.every_payload() if each.name in READ],
    ids=lambda payload: payload.name,
)
def test_an_example_order_is_read(payload: golden.Payload) -> None:
    event = decode_order(entry(payload.topic, payload.body), {})
    assert isinstance(event, Order)
    read = (event.order_id, event.customer_id, event.total, event.cancelled, event.test)
    assert read == READ[payload.name]
