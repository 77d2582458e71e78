"""The Graph stand-in refuses what Meta documents that it refuses, and takes the rest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.meta.rules import event_broken, findings, request_broken
from tests.support.shopify.graph_events import DAY_S, HASH, NOW_S, Event, purchase


def only(**user_data: Any) -> Event:
    return {**purchase(), "user_data": user_data}


REFUSED: list[tuple[Any, str, int | None]] = [
    ("no object", "event_is_no_object", None),
    (purchase(event_name=None), "required_event_name", None),
    (purchase(event_time=None), "required_event_time", None),
    (purchase(event_time="yesterday"), "required_event_time", None),
    (purchase(user_data=None), "required_user_data", None),
    (purchase(action_source=None), "required_action_source", None),
    (purchase(action_source="shop"), "required_action_source", None),
    (purchase(event_id=""), "event_id", None),
    (purchase(event_id=1001), "event_id", None),
    (purchase(event_time=NOW_S - 7 * DAY_S - 1), "event_time_old", 2804003),
    (
        purchase(event_time=NOW_S - 62 * DAY_S - 1, action_source="physical_store"),
        "event_time_old",
        2804003,
    ),
    (purchase(event_time=NOW_S + 61), "event_time_future", 2804004),
    (purchase(event_time=NOW_S * 1000), "event_time_future", 2804004),
    (purchase(custom_data=None), "purchase_without_value", 2804009),
    (purchase(custom_data={"value": None}), "purchase_without_value", 2804009),
    (purchase(custom_data={"value": -1}), "value", None),
    (purchase(custom_data={"value": "1,50"}), "value", None),
    (purchase(custom_data={"currency": None}), "value_without_currency", 2804023),
    (
        purchase(event_name="AddToCart", custom_data={"currency": None}),
        "value_without_currency",
        2804023,
    ),
    (purchase(custom_data={"currency": "US"}), "currency", None),
    (purchase(custom_data={"currency": "QQQ"}), "currency", None),
    (purchase(custom_data={"contents": [{"quantity": 1}]}), "content_without_id", 2804008),
    (purchase(custom_data={"contents": {"id": "1"}}), "contents", None),
    (purchase(custom_data={"contents": [{"id": "1", "quantity": 0}]}), "content_quantity", None),
    (
        purchase(custom_data={"contents": [{"id": "1", "item_price": "x"}]}),
        "content_item_price",
        None,
    ),
    (
        purchase(custom_data={"contents": [{"id": "1", "delivery_category": "drone"}]}),
        "content_delivery_category",
        None,
    ),
    (purchase(custom_data={"content_ids": "1"}), "content_ids", None),
    (purchase(custom_data={"content_type": "variant"}), "content_type", None),
    (purchase(custom_data={"num_items": "2"}), "num_items", None),
    (purchase(custom_data={"order_id": 1001}), "order_id", None),
    (purchase(user_data={"em": ["john@example.com"]}), "hash_em", None),
    (purchase(user_data={"em": HASH.upper()}), "hash_em", None),
    (purchase(user_data={"em": []}), "hash_em", None),
    (purchase(user_data={"ph": [HASH, "d41d8cd98f00b204e9800998ecf8427e"]}), "hash_ph", None),
    (only(em=None, fbp="fb.1.1795348800000.1"), "hash_em", None),
    (purchase(user_data={"external_id": [""]}), "external_id", None),
    (
        purchase(user_data={"client_ip_address": "203.0.113.1, 203.0.113.2"}),
        "client_ip_address",
        None,
    ),
    (purchase(user_data={"client_ip_address": HASH}), "client_ip_address", None),
    (purchase(user_data={"client_user_agent": HASH}), "client_user_agent", None),
    (purchase(user_data={"client_user_agent": " "}), "client_user_agent", None),
    (purchase(user_data={"fbc": "IwAR2_x-Y"}), "fbc", 2804001),
    (purchase(user_data={"fbc": f"fb.1.{NOW_S}.IwAR2_x-Y"}), "fbc", 2804001),
    (purchase(user_data={"fbc": f"fb.1.{(NOW_S - 91 * DAY_S) * 1000}.IwAR"}), "fbc", 2804001),
    (purchase(user_data={"fbp": "fb.1.x.y"}), "fbp", None),
    (only(), "too_little_identity", 2804050),
    (
        only(ct=HASH, country=HASH, st=HASH, zp=HASH, client_user_agent="Mozilla"),
        "too_little_identity",
        2804050,
    ),
    (only(fn=HASH, ge=HASH), "too_little_identity", 2804050),
    (only(db=HASH, client_user_agent="Mozilla"), "too_little_identity", 2804050),
    (purchase(data_processing_options=["GDPR"]), "data_processing_options", None),
    (purchase(data_processing_options=["LDU"]), "ldu_without_place", 2804030),
    (
        purchase(
            data_processing_options=["LDU"],
            data_processing_options_country=0,
            data_processing_options_state=1000,
        ),
        "ldu_place",
        None,
    ),
    (
        purchase(
            data_processing_options=["LDU"],
            data_processing_options_country=1,
            data_processing_options_state=1014,
        ),
        "ldu_place",
        None,
    ),
]


@pytest.mark.parametrize(
    ("event", "rule", "subcode"),
    REFUSED,
    ids=[f"{rule}-{n}" for n, (_, rule, _) in enumerate(REFUSED)],
)
def test_an_event_that_breaks_a_documented_rule_is_refused_by_its_subcode(
    event: Any, rule: str, subcode: int | None
) -> None:
    broken = event_broken(event, NOW_S)
    assert broken is not None
    assert (broken.rule, broken.subcode) == (rule, subcode)


@pytest.mark.parametrize(
    "event",
    [
        purchase(),
        purchase(event_id=None),
        purchase(event_time=NOW_S - 7 * DAY_S),
        purchase(event_time=NOW_S + 60),
        purchase(event_time=NOW_S - 61 * DAY_S, action_source="physical_store"),
        purchase(custom_data={"value": "0.00", "currency": "usd"}),
        purchase(custom_data={"value": 0}),
        purchase(event_name="AddToCart", custom_data=None),
        purchase(
            user_data={
                "fbc": f"fb.1.{NOW_S * 1000}.IwAR.AQQCAQIB",
                "fbp": f"fb.2.{NOW_S * 1000}.12.AQQCAQIB",
            }
        ),
        purchase(user_data={"external_id": "customer-7"}),
        purchase(
            data_processing_options=["LDU"],
            data_processing_options_country=0,
            data_processing_options_state=0,
        ),
        purchase(
            data_processing_options=["LDU"],
            data_processing_options_country=1,
            data_processing_options_state=1013,
        ),
        only(fn=HASH, ln=HASH),
        only(client_ip_address="203.0.113.1", client_user_agent="Mozilla"),
    ],
)
def test_an_event_within_the_rules_is_taken(event: Event) -> None:
    assert event_broken(event, NOW_S) is None


def test_what_meta_takes_but_a_good_sender_avoids_is_a_finding() -> None:
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    event = purchase(
        event_id=None, event_source_url=None, user_data={"client_user_agent": None, "ct": [nothing]}
    )
    assert event_broken(event, NOW_S) is None
    assert {finding.name for finding in findings(event)} == {
        "no_event_id",
        "website_without_event_source_url",
        "website_without_client_user_agent",
        "hash_of_nothing_in_ct",
    }
    assert findings(purchase()) == []


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (None, "no_data"),
        ({"data": []}, "no_data"),
        ({"data": "x"}, "no_data"),
        ({"data": [purchase()] * 1001}, "too_many_events"),
        ({"data": [purchase()], "partner_agent": "23"}, "partner_agent"),
        ({"data": [purchase()], "partner_agent": "a" * 23}, "partner_agent"),
        ({"data": [purchase()], "test_event_code": ""}, "test_event_code"),
    ],
)
def test_a_request_is_judged_before_its_events(body: Any, rule: str) -> None:
    broken = request_broken(body)
    assert broken is not None
    assert broken.rule == rule
    assert (
        request_broken(
            {"data": [purchase()] * 1000, "partner_agent": "orderwire", "test_event_code": "TEST1"}
        )
        is None
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(field=st.sampled_from(sorted(purchase())), value=json_values)
def test_no_value_of_any_field_makes_a_rule_fail(field: str, value: Any) -> None:
    event_broken({**purchase(), field: value}, NOW_S)


@given(
    part=st.sampled_from(["user_data", "custom_data"]),
    key=st.text()
    | st.sampled_from(
        ["em", "fbc", "external_id", "contents", "value", "currency", "content_type"]
    ),
    value=json_values,
)
def test_no_value_inside_an_event_makes_a_rule_fail(part: str, key: str, value: Any) -> None:
    event = purchase()
    event_broken({**event, part: {**event[part], key: value}}, NOW_S)
