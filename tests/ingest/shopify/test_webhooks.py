"""Shopify deliveries as the receiver sees them before any log: who signed it, which record it
makes, where that goes."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from ingest.receiver.outcome import Outcome
from ingest.shopify import webhooks as shopify
from ingest.shopify.routing import EVENT_RULES, MALFORMED, RULES, Ids, read_ids, route
from tests.support.shopify import golden

SHOP = "example.myshopify.com"
secrets = st.binary(min_size=1, max_size=80)


def signature(secret: bytes, body: bytes) -> str:
    return base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()


def sent(body: bytes, secret: bytes, **headers: str) -> CIMultiDict[str]:
    return CIMultiDict({"X-Shopify-Hmac-Sha256": signature(secret, body), **headers})


def placed(topic: str, value: object) -> tuple[str, str, str]:
    routed = route(SHOP, topic, value if isinstance(value, bytes) else json.dumps(value).encode())
    return routed.topic, routed.key.removeprefix(f"{SHOP}:"), routed.reason


# --- signatures ---


@given(body=st.binary(), secret=secrets)
def test_a_body_signed_with_a_secret_is_verified_by_it(body: bytes, secret: bytes) -> None:
    assert shopify.verify([secret], sent(body, secret), body) == 0


@given(body=st.binary(), secret=secrets, other=secrets)
def test_another_secret_never_verifies(body: bytes, secret: bytes, other: bytes) -> None:
    # HMAC pads a key with zero bytes up to its block (RFC 2104), so keys that differ only in those
    # are one key.
    if other.rstrip(b"\0") != secret.rstrip(b"\0"):
        assert shopify.verify([other], sent(body, secret), body) is None


@given(body=st.binary(min_size=1), secret=secrets, data=st.data())
def test_a_body_changed_in_one_bit_is_not_verified(
    body: bytes, secret: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(body) - 1))
    changed = body[:at] + bytes([body[at] ^ 1 << data.draw(st.integers(0, 7))]) + body[at + 1 :]
    assert shopify.verify([secret], sent(body, secret), changed) is None


@given(body=st.binary(), text=st.text(), secret=secrets)
def test_no_text_in_the_signature_header_is_an_error(body: bytes, text: str, secret: bytes) -> None:
    expected = 0 if text == signature(secret, body) else None
    assert shopify.verify([secret], CIMultiDict({"X-Shopify-Hmac-Sha256": text}), body) == expected


def test_during_a_rotation_both_secrets_verify_and_show_which_it_was() -> None:
    new, old, body = b"new", b"old", b"{}"
    assert [shopify.verify([new, old], sent(body, each), body) for each in (new, old)] == [0, 1]
    assert shopify.verify([new], sent(body, old), body) is None


def test_a_signature_that_is_missing_or_empty_is_none() -> None:
    assert shopify.verify([b"s"], CIMultiDict(), b"{}") is None
    assert shopify.verify([b"s"], CIMultiDict({"X-Shopify-Hmac-Sha256": ""}), b"{}") is None


@pytest.mark.parametrize(
    "name",
    [
        "X-Shopify-Hmac-Sha256",
        "x-shopify-hmac-sha256",
        "Shopify-Hmac-Sha256",
        "SHOPIFY-HMAC-SHA256",
    ],
)
def test_both_spellings_of_a_header_are_read_in_any_case(name: str) -> None:
    assert shopify.verify([b"s"], CIMultiDict({name: signature(b"s", b"{}")}), b"{}") == 0


def test_a_shop_is_known_only_by_its_own_secret() -> None:
    identified = shopify.identifier(
        {"a.myshopify.com": [b"secret-a"], "b.myshopify.com": [b"secret-b"]}
    )

    def shop_of(shop: str, secret: bytes) -> str | None:
        delivery = identified(
            sent(b'{"id":1}', secret, **{"X-Shopify-Shop-Domain": shop}), b'{"id":1}', 0
        )
        return delivery and delivery.record.headers["shop"]

    assert shop_of("a.myshopify.com", b"secret-a") == "a.myshopify.com"
    assert shop_of("A.MyShopify.com", b"secret-a") == "a.myshopify.com"
    assert shop_of("a.myshopify.com", b"secret-b") is None
    assert shop_of("c.myshopify.com", b"secret-a") is None
    assert shop_of("", b"secret-a") is None


@pytest.mark.parametrize("none", [[], [b""], [b"good", b""]])
def test_a_shop_without_a_secret_is_refused_at_the_start(none: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"example\.myshopify\.com"):
        shopify.identifier({SHOP: none})


# --- where it goes ---


GID = "gid://shopify/Order/5"
ORDER_EVENT: dict[str, object] = {
    "topic": "Order",
    "action": "update",
    "handle": "orderwire-order",
    "fields_changed": {"added": [], "updated": [f"order[id: '{GID}'].note"], "removed": []},
    "query_variables": {"orderId": f"{GID}?source=x"},
    "data": {"order": {"id": GID}},
}
REFUND_EVENT = ORDER_EVENT | {
    "topic": "Refund",
    "query_variables": {"refundId": "gid://shopify/Refund/9"},
    "data": None,
}
OF_CUSTOMER = {"order": {"id": GID, "customer": {"id": "gid://shopify/Customer/7"}}}
OF_ORDER = {"refund": {"order": {"id": GID}}}


@pytest.mark.parametrize(
    ("topic", "body", "expected"),
    [
        ("orders/create", {"id": 5, "customer": {"id": 7}}, ("orders", "7", "")),
        ("orders/create", {"id": "5", "customer": {"id": "7"}}, ("orders", "7", "")),
        ("orders/paid", {"id": 5}, ("orders", "5", "")),
        ("orders/updated", {"id": 5, "customer": None}, ("orders", "5", "")),
        ("orders/updated", {"id": 5, "customer": []}, ("orders", "5", "")),
        ("orders/updated", {"id": 5, "customer": ""}, ("orders", "5", "")),
        ("orders/updated", {"id": 5, "customer": {}}, ("orders", "5", "")),
        ("orders/updated", {"id": 5, "customer": {"id": ""}}, ("orders", "5", "")),
        ("orders/updated", {"id": 5, "customer": {"id": 7.5}}, ("orders", "5", "")),
        ("orders/updated", {"id": 5, "customer": {"id": True}}, ("orders", "5", "")),
        ("orders/delete", {"id": 820982911946154508}, ("orders", "820982911946154508", "")),
        ("orders/edited", {"order_edit": {"id": 1, "order_id": 5}}, ("orders", "5", "")),
        ("orders/risk_assessment_changed", {"order_id": 5}, ("orders", "5", "")),
        ("orders/next", {"status": "active"}, ("orders", "orders/*", "")),
        ("checkouts/next", {"status": "active"}, ("checkouts", "checkouts/*", "")),
        ("refunds/create", {"id": 1, "order_id": 5}, ("orders", "5", "")),
        (
            "customers/merge",
            {"admin_graphql_api_customer_kept_id": "gid://shopify/Customer/7"},
            ("orders", "7", ""),
        ),
        ("checkouts/create", {"token": "t", "cart_token": "c", "id": 1}, ("checkouts", "t", "")),
        ("checkouts/delete", {"id": 1, "cart_token": "c"}, ("checkouts", "c", "")),
        ("checkouts/delete", {"id": 1}, ("checkouts", "1", "")),
        ("carts/update", {"id": "c", "token": "c"}, ("checkouts", "c", "")),
        ("customers/redact", {"customer": {"id": 7}}, ("privacy", "privacy", "")),
        ("customers/data_request", {"customer": {"id": 7}}, ("privacy", "privacy", "")),
        ("shop/redact", {"shop_id": 1}, ("privacy", "privacy", "")),
        ("app/uninstalled", {"id": 1}, ("privacy", "privacy", "")),
        ("orders/create", {"customer": {}}, ("parked", SHOP, "no_order_id")),
        ("orders/create", {"id": "9" * 300}, ("parked", SHOP, "no_order_id")),
        ("orders/edited", {"order_edit": None}, ("parked", SHOP, "no_order_id")),
        ("refunds/create", {"id": 1}, ("parked", SHOP, "no_order_id")),
        ("customers/merge", {}, ("parked", SHOP, "no_customer_id")),
        ("checkouts/update", {"token": None}, ("parked", SHOP, "no_checkout_token")),
        ("carts/update", {}, ("parked", SHOP, "no_cart_token")),
        ("disputes/create", {"id": 1, "order_id": 5}, ("parked", SHOP, "unknown_topic")),
        ("fulfillments/create", {"id": 1}, ("parked", SHOP, "unknown_topic")),
        ("orders/*", {"id": 1}, ("orders", "1", "")),
        ("", {"id": 1}, ("parked", SHOP, "unknown_topic")),
        (
            "orders/updated",
            {"id": 1, "fields_changed": ["note"]},
            ("parked", SHOP, "unknown_topic"),
        ),
        ("Order", ORDER_EVENT, ("orders", "5", "")),
        ("orders/updated", ORDER_EVENT, ("orders", "5", "")),
        ("", ORDER_EVENT, ("orders", "5", "")),
        ("Order", ORDER_EVENT | {"fields_changed": ["note"]}, ("orders", "5", "")),
        ("Order", ORDER_EVENT | {"data": OF_CUSTOMER}, ("orders", "7", "")),
        ("Order", ORDER_EVENT | {"data": None, "query_errors": [{}]}, ("orders", "5", "")),
        ("Order", ORDER_EVENT | {"data": {"order": []}}, ("orders", "5", "")),
        ("Order", ORDER_EVENT | {"action": "delete"}, ("orders", "5", "")),
        ("Order", ORDER_EVENT | {"query_variables": {}}, ("parked", SHOP, "no_order_id")),
        ("Order", ORDER_EVENT | {"query_variables": []}, ("parked", SHOP, "unknown_topic")),
        ("Refund", REFUND_EVENT, ("orders", "9", "")),
        (
            "Refund",
            REFUND_EVENT | {"data": OF_ORDER},
            ("orders", "5", ""),
        ),
        ("Customer", ORDER_EVENT | {"topic": "Customer"}, ("parked", SHOP, "unknown_topic")),
        ("orders/create", b"", ("parked", SHOP, "empty_body")),
        ("orders/create", b"{", ("parked", SHOP, "malformed_json")),
        ("orders/create", b'{"id":1} {"id":2}', ("parked", SHOP, "malformed_json")),
        ("orders/create", b'{"id":1,"note":"\xff"}', ("orders", "1", "")),
        ("orders/create", b'{"id":1,"note":"thanks \\ud83d"}', ("orders", "1", "")),
        ("orders/create", b'{"id":1,"note":"a\nb","weight":NaN}', ("orders", "1", "")),
        ("orders/create", b'{"id":1,"customer":[}', ("parked", SHOP, "malformed_json")),
        ("orders/create", b'{"id":1,"x":' + b"[" * 100_000, ("parked", SHOP, "malformed_json")),
        ("orders/create", b"[]", ("parked", SHOP, "not_an_object")),
        ("orders/create", b"null", ("parked", SHOP, "not_an_object")),
        ("disputes/create", b"{", ("parked", SHOP, "malformed_json")),
    ],
)
def test_a_delivery_goes_where_its_topic_and_ids_send_it(
    topic: str, body: object, expected: tuple[str, str, str]
) -> None:
    assert placed(topic, body) == expected


@pytest.mark.parametrize("changed", [{"added": [], "updated": ["order.note"]}, ["note"], None])
def test_a_body_of_events_costs_no_second_reading(changed: object) -> None:
    """As `_read_tolerantly` would be: a hundred times dearer."""
    body = json.dumps(ORDER_EVENT | {"fields_changed": changed, "data": OF_CUSTOMER}).encode()
    assert msgspec.json.decode(body, type=Ids) == read_ids(body)


def test_an_id_keeps_all_its_digits() -> None:
    assert placed("orders/delete", b'{"id":9223372036854775807}')[1] == "9223372036854775807"
    assert placed("orders/delete", b'{"id":92233720368547758079}')[1] == "92233720368547758079"


def test_orders_of_one_customer_stay_together_whatever_the_topic() -> None:
    order = {"id": 5, "customer": {"id": 7}}
    assert (
        len(
            {
                placed(topic, order)
                for topic in ("orders/create", "orders/paid", "orders/updated", "orders/cancelled")
            }
        )
        == 1
    )


@given(topic=st.one_of(st.sampled_from(sorted(RULES)), st.text()), body=st.binary())
def test_any_bytes_on_any_topic_have_a_route(topic: str, body: bytes) -> None:
    routed = route(SHOP, topic, body)
    assert (routed.topic == "parked") == bool(routed.reason)
    assert routed.label in RULES or routed.label == "other" or routed.label in EVENT_RULES


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)
id_names = [
    *("id", "order_id", "token", "cart_token", "customer", "order_edit", "fields_changed"),
    *("topic", "action", "query_variables", "data"),
]


@given(
    topic=st.sampled_from(sorted(RULES)),
    body=st.dictionaries(st.sampled_from(id_names), json_values),
)
def test_an_object_is_never_undecodable_whatever_its_fields_hold(
    topic: str, body: Mapping[str, object]
) -> None:
    assert placed(topic, body)[2] not in (MALFORMED, "empty_body", "not_an_object")


# --- the record ---


def test_a_record_is_the_body_as_signed_with_the_few_headers_that_are_kept() -> None:
    body = b'{ "id" : 5 }'
    headers = sent(
        body,
        b"s",
        **{
            "X-Shopify-Topic": "orders/create",
            "X-Shopify-Webhook-Id": "w-1",
            "X-Shopify-Event-Id": "e-1",
            "Cookie": "c",
            "X-Shopify-API-Version": "2026-10",
            "X-Shopify-Triggered-At": "2026-11-22T15:01:03.1Z",
            "X-Shopify-Test": "true",
        },
    )
    delivery = shopify.identify(SHOP, headers, body, 1_000)
    assert delivery.outcome is Outcome.ACCEPTED
    record = delivery.record
    assert (record.topic, record.key, record.id, record.time_ms) == (
        "orders",
        f"{SHOP}:5",
        "w-1",
        1_000,
    )
    assert record.body is body
    assert record.headers == {
        "source": "shopify",
        "topic": "orders/create",
        "shop": SHOP,
        "event_id": "e-1",
        "api_version": "2026-10",
        "triggered_at": "2026-11-22T15:01:03.1Z",
        "test": "true",
    }


def both_families(body: bytes, secret: bytes, **events: str) -> CIMultiDict[str]:
    """Headers of both families at once, as a fixture of Shopify's library has them
    (docs/facts/shopify.md, "Headers"); `events` are those of Shopify Events."""
    classic = {
        "Hmac-Sha256": "of another body",
        "Topic": "orders/updated",
        "Shop-Domain": SHOP,
        "API-Version": "2026-07",
        "Webhook-Id": "classic",
        "Triggered-At": "2026-11-22T15:00:00Z",
        "Event-Id": "e-1",
    }
    newer = {"Hmac-Sha256": signature(secret, body), "Shop-Domain": SHOP, **events}
    return CIMultiDict(
        {f"X-Shopify-{name}": value for name, value in classic.items()}
        | {f"Shopify-{name}": value for name, value in newer.items()}
    )


def test_a_delivery_with_both_families_of_headers_is_known_by_its_body() -> None:
    events = {"Topic": "Order", "Webhook-Id": "events", "Triggered-At": "2026-11-22T15:00:01Z"}
    body = json.dumps(ORDER_EVENT).encode()
    headers = both_families(body, b"s", **events, **{"API-Version": "2026-10"})
    found = shopify.identifier({SHOP: [b"s"]})(headers, body, 0)
    assert found is not None
    assert found.record.id == "events"
    assert found.label == "Order"
    assert found.record.headers == {
        "source": "shopify", "topic": "Order", "shop": SHOP, "api_version": "2026-10",
        "triggered_at": "2026-11-22T15:00:01Z",
    }  # fmt: skip
    classic = b'{"id": 5}'
    found = shopify.identifier({SHOP: [b"s"]})(both_families(classic, b"s", **events), classic, 0)
    assert found is not None
    assert (found.record.id, found.record.headers["topic"]) == ("classic", "orders/updated")
    assert found.record.headers["event_id"] == "e-1"


def test_events_without_the_headers_that_shopify_dropped_are_taken() -> None:
    """`shopify-event-id` and `shopify-resource-id` are not sent since 16 September 2026."""
    body = json.dumps(ORDER_EVENT).encode()
    headers = CIMultiDict(
        {
            "shopify-hmac-sha256": signature(b"s", body),
            "shopify-topic": "Order",
            "shopify-shop-domain": SHOP,
            "shopify-api-version": "2026-10",
            "shopify-webhook-id": "w-1",
        }
    )
    found = shopify.identifier({SHOP: [b"s"]})(headers, body, 0)
    assert found is not None
    assert (found.outcome, found.record.id) == (Outcome.ACCEPTED, "w-1")


def test_a_wrong_signature_beside_a_right_one_changes_nothing() -> None:
    body = json.dumps(ORDER_EVENT).encode()
    assert shopify.verify([b"s"], both_families(body, b"s"), body) == 0
    assert shopify.verify([b"other"], both_families(body, b"s"), body) is None


def test_a_parked_record_says_why_and_where_from() -> None:
    delivery = shopify.identify(SHOP, CIMultiDict({"Shopify-Topic": "disputes/create"}), b"{}", 0)
    assert delivery.outcome is Outcome.PARKED
    assert delivery.record.headers == {
        "source": "shopify", "topic": "disputes/create", "shop": SHOP,
        "parked_reason": "unknown_topic", "parked_from": "receiver",
    }  # fmt: skip


def test_without_a_webhook_id_the_same_delivery_has_the_same_id_again() -> None:
    def id_of(topic: str, body: bytes) -> str:
        return shopify.identify(SHOP, CIMultiDict({"X-Shopify-Topic": topic}), body, 0).record.id

    assert id_of("orders/create", b'{"id":1}') == id_of("orders/create", b'{"id":1}')
    assert (
        len(
            {
                id_of("orders/create", b'{"id":1}'),
                id_of("orders/paid", b'{"id":1}'),
                id_of("orders/create", b'{"id":2}'),
            }
        )
        == 3
    )
    assert len(id_of("orders/create", b"")) == 32


def test_header_bytes_that_are_no_text_can_still_be_stored() -> None:
    wild = b"w-\xff".decode("utf-8", "surrogateescape")
    record = shopify.identify(
        SHOP, CIMultiDict({"X-Shopify-Webhook-Id": wild, "X-Shopify-Topic": wild}), b"{}", 0
    ).record
    assert record.id.encode()
    assert json.dumps(dict(record.headers)).encode()


@pytest.mark.parametrize("payload", golden.every_payload(), ids=lambda payload: payload.name)
def test_every_payload_finds_its_place(payload: golden.Payload) -> None:
    expected = {
        "orders": "orders",
        "refunds": "orders",
        "checkouts": "checkouts",
        "carts": "checkouts",
    }.get(payload.topic.partition("/")[0])
    routed = route(SHOP, payload.topic, payload.body)
    if expected:
        assert (routed.topic, routed.reason) == (expected, "")
    elif payload.topic in RULES:
        assert not routed.reason
    else:
        assert routed.reason == "unknown_topic"
