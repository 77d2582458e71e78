"""Decoding orders: every tolerance for odd payloads."""

from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.shopify.orders import (
    CustomersMerged,
    Order,
    OrderDeleted,
    decode_order,
)
from processors.shopify.tolerance import Rejected, identifier, shop_day, timestamp
from processors.shopify.version import STATUSES, sortable
from tests.processors.shopify.bodies import NOON, ORDER, SHOP, entry, order, reason

MERGE = {
    "admin_graphql_api_customer_kept_id": "gid://shopify/Customer/1",
    "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/2",
    "status": "completed",
}


@pytest.mark.parametrize("nothing", [None, "", [], "absent"])
def test_absent_null_empty_string_and_empty_list_are_the_same(nothing: Any) -> None:
    optional = [
        "customer",
        "email",
        "cancelled_at",
        "refunds",
        "current_total_price",
        "landing_site",
        "checkout_token",
        "test",
        "processed_at",
    ]
    body = {key: value for key, value in ORDER.items() if key not in optional}
    if nothing != "absent":
        body |= dict.fromkeys(optional, nothing)
    event = decode_order(entry("orders/create", body), {})
    assert isinstance(event, Order)
    assert (
        event.customer_id,
        event.email,
        event.cancelled,
        event.refunds,
        event.current_total,
    ) == (None, None, False, (), 3511)


@pytest.mark.parametrize(
    ("given_id", "meant"),
    [
        (5, "5"),
        ("5", "5"),
        ("gid://shopify/Order/5", "5"),
        (2**63 - 1, str(2**63 - 1)),
        (" 007 ", "7"),
    ],
)
def test_ids_are_numbers_strings_or_gids(given_id: Any, meant: str) -> None:
    assert identifier(given_id) == meant


@pytest.mark.parametrize(
    "given_id",
    [None, "", 0, -5, True, 1.5, "abc", 2**63, [], {}, "gid://shopify/Order/", "9" * 30, "٣"],
)
def test_what_is_no_id_is_none(given_id: Any) -> None:
    assert identifier(given_id) is None


def test_an_id_rounded_by_javascript_is_exact_in_its_gid() -> None:
    event = order(
        id=820982911946154500, admin_graphql_api_id="gid://shopify/Order/820982911946154508"
    )
    assert event.order_id == "820982911946154508"


def test_the_day_is_the_shop_s_by_the_offset_that_the_time_carries_or_by_its_zone() -> None:
    late = order(processed_at="2025-01-01T23:30:00-01:00")
    assert (late.day, late.offset_s) == (20_089, -3_600)
    assert shop_day(late.processed_at, ZoneInfo("Europe/Paris")) == (20_090, 3_600)


@given(
    st.integers(631_152_000, 4_102_444_800),
    st.integers(-14, 14),
    st.sampled_from([None, "Europe/Paris", "America/St_Johns", "Pacific/Apia"]),
)
def test_the_offset_of_an_order_is_the_one_that_its_day_begins_by(
    seconds: int, hours: int, zone: str | None
) -> None:
    made = datetime.fromtimestamp(seconds, timezone(timedelta(hours=hours)))
    day, offset_s = shop_day(made, ZoneInfo(zone) if zone else None)
    assert (seconds + offset_s) // 86_400 == day


def test_processed_at_decides_the_day_since_imports_keep_their_own_time() -> None:
    assert order(processed_at="2025-01-01T12:00:00Z").day == 20_089


@pytest.mark.parametrize(
    "bad",
    [
        "2024-09-16T03:50:1500:00",
        "yesterday",
        "2024-01-01T00:00:00",
        5,
        {"a": 1},
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_a_malformed_timestamp_is_rejected_not_guessed(bad: Any) -> None:
    with pytest.raises(Rejected, match="malformed_timestamp"):
        timestamp(bad, "updated_at")


@pytest.mark.parametrize(
    "good",
    ["2021-12-31T19:00:00-05:00", "2019-01-01 00:00:00.000Z", "2026-11-22T15:00:00.123456789Z"],
)
def test_timestamps_with_any_offset_and_precision_are_read(good: str) -> None:
    assert timestamp(good, "updated_at") is not None


def test_money_has_the_currency_s_own_digits() -> None:
    assert order(currency="JPY", total_price="1200").total == 1200
    assert order(currency="KWD", total_price="1.234").total == 1234
    assert (
        order(
            total_price=None,
            total_price_set={"shop_money": {"amount": "9.5", "currency_code": "USD"}},
        ).total
        == 950
    )
    assert order(total_price=12.3).total == 1230


def test_an_order_under_the_label_of_a_deletion_is_an_order() -> None:
    """Labels are headers, and no header is signed."""
    event = decode_order(entry("orders/delete", ORDER), {})
    assert isinstance(event, Order)
    assert event.order_id == str(ORDER["id"])


def test_topics_that_carry_no_whole_order() -> None:
    assert decode_order(entry("orders/delete", {"id": 5}), {}) == OrderDeleted(
        shop=SHOP, order_id="5"
    )
    assert decode_order(entry("orders/edited", {"order_edit": {"order_id": 5}}), {}) is None
    assert decode_order(entry("customers/merge", MERGE), {}) == CustomersMerged(
        shop=SHOP, kept_id="1", deleted_id="2"
    )


def test_an_order_without_the_fields_that_a_subscription_left_out_is_parked_with_their_names() -> (
    None
):
    left = {"id": 1671, "updated_at": NOON, "total_price": "100.00", "financial_status": "paid"}
    assert reason("orders/updated", left) == "missing_fields:created_at,currency"
    left = {"id": 1671, "updated_at": NOON, "customer": {"id": 1}}
    assert reason("orders/create", left) == (
        "missing_fields:created_at,currency,total_price,financial_status,line_items"
    )
    whole = {"id": 1671, "created_at": NOON, "currency": "USD", "total_price": "100.00"}
    assert reason("orders/paid", whole) == "missing_fields:financial_status,line_items"
    assert reason("orders/delete", whole) == "missing_fields:financial_status,line_items"
    assert reason("orders/paid", whole | {"line_items": []}) == "missing_fields:financial_status"
    del whole["id"]
    assert reason("orders/paid", whole | {"financial_status": "paid"}) == "no_order_id"


@pytest.mark.parametrize("status", ["failed", "in_progress", "requested", "FAILED"])
def test_a_merge_that_is_not_carried_out_merges_nobody(status: str) -> None:
    assert decode_order(entry("customers/merge", MERGE | {"status": status}), {}) is None


@pytest.mark.parametrize("status", [None, "", "done"])
def test_a_merge_that_does_not_say_whether_it_was_carried_out_is_parked(status: str | None) -> None:
    assert reason("customers/merge", MERGE | {"status": status}) == "no_merge_status"


def test_state_comes_from_the_body_whatever_the_unsigned_topic_says() -> None:
    answer = [
        decode_order(entry(topic, ORDER), {})
        for topic in ("orders/create", "orders/paid", "orders/cancelled", "orders/anything")
    ]
    assert all(event == answer[0] for event in answer)


def test_versions_compare_by_updated_at_then_triggered_at_then_digest() -> None:
    early, late = order(), order(updated_at="2026-11-22T23:31:01-05:00")
    assert early.version < late.version
    first = decode_order(entry("orders/create", ORDER, triggered_at="2026-11-23T04:31:00.1Z"), {})
    second = decode_order(entry("orders/create", ORDER, triggered_at="2026-11-23T04:31:00.2Z"), {})
    assert isinstance(first, Order)
    assert isinstance(second, Order)
    assert first.version < second.version
    assert (
        sortable("2026-11-23T04:31:00Z")
        < sortable("2026-11-23T04:31:00.5Z")
        < sortable("2026-11-23T04:31:00.52Z")
    )
    assert order(note="a").version != order(note="b").version


def test_of_states_of_one_second_the_one_further_on_is_newer() -> None:
    states = [order(financial_status=status) for status in ("", *STATUSES)]
    states.append(order(cancelled_at="2026-11-22T23:30:59-05:00"))
    versions = [each.version for each in states]
    assert versions == sorted(versions)
