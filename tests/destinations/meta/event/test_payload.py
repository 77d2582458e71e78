"""From an order to a Purchase event: with which identity, and JSON whatever the order holds."""

import json
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.delivery.account import SettingsError
from destinations.meta.event import payload
from destinations.meta.event.detail import detail
from destinations.meta.event.identity import digest
from destinations.meta.event.match_keys import MATCH_KEYS
from processors.shopify.orders import order
from simulator.meta.rules import event_broken, findings
from tests.support.delivery.capi_orders import (
    FBCLID,
    NOW_MS,
    TOKEN,
    body,
    record,
    seen,
    settings,
)
from tests.support.delivery.purchase import event


def test_a_paid_web_order_becomes_a_whole_purchase_event() -> None:
    fbc = f"fb.1.{NOW_MS}.{FBCLID}"
    built = event(seen(), settings(), fbc)
    assert built == {
        "event_name": "Purchase",
        "event_time": NOW_MS // 1000 - 60,
        "event_id": "1001",
        "action_source": "website",
        "event_source_url": "https://shop.example.com/",
        "referrer_url": "https://l.facebook.com/",
        "user_data": {
            "em": [digest("zoe.oconnor@example.com")],
            "ph": [digest("33612345678")],
            "fn": [digest("zoë")],
            "ln": [digest("oconnor")],
            "ct": [digest("saintétienne")],
            "st": [digest("ara")],
            "zp": [digest("42000")],
            "country": [digest("fr")],
            "external_id": [digest("7123456789")],
            "client_ip_address": "203.0.113.7",
            "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
            "fbc": fbc,
            "fbp": "fb.1.1790000000123.1116446470",
        },
        "custom_data": {
            "value": 59.9,
            "currency": "EUR",
            "order_id": "1001",
            "contents": [
                {"id": "41", "quantity": 2, "item_price": 20.0},
                {
                    "id": "42",
                    "quantity": 1,
                    "item_price": 15.0,
                    "delivery_category": "home_delivery",
                },
            ],
            "content_type": "product",
            "num_items": 3,
        },
    }
    assert tuple(built["user_data"]) == MATCH_KEYS  # as an outbox row lists them
    assert event_broken(built, NOW_MS / 1000) is None
    assert findings(built) == []


FRENCH = {"city": "Lyon", "province_code": "ARA", "zip": "69001", "country_code": "FR"}


def test_a_billing_address_with_only_a_country_does_not_hide_the_place_in_another() -> None:
    user_data = event(
        seen(billing_address={"country_code": "CH"}, shipping_address=FRENCH), settings()
    )["user_data"]
    assert (user_data["ct"], user_data["zp"], user_data["country"]) == (
        [digest("lyon")],
        [digest("69001")],
        [digest("fr")],
    )
    alone = event(seen(billing_address={"country_code": "CH"}, shipping_address=None), settings())[
        "user_data"
    ]
    assert (alone["country"], alone.keys() & {"ct", "st", "zp"}) == ([digest("ch")], set())


def test_a_province_is_sent_without_anything_else_of_the_address() -> None:
    alone = {"province_code": "ARA"}
    found = seen(billing_address=alone, shipping_address=None, customer=None)
    assert event(found, settings())["user_data"]["st"] == [digest("ara")]


def test_a_phone_number_is_from_whichever_country_of_the_order_it_is_valid_in() -> None:
    places: dict[str, Any] = {"billing_address": {"country_code": "US"}, "shipping_address": FRENCH}
    assert event(seen(phone="06 12 34 56 78", **places), settings())["user_data"]["ph"] == [
        digest("33612345678")
    ]
    assert event(seen(phone="020 7946 0018", **places), settings(country="GB"))["user_data"][
        "ph"
    ] == [digest("442079460018")]


ZOE, ANNA, GIFT = (
    {"first_name": first, "last_name": last}
    for first, last in (("Zoë", "Li"), ("Anna", "May"), ("Ben", "Cho"))
)


@pytest.mark.parametrize(
    ("customer", "billing", "shipping", "names"),
    [
        (ZOE, ANNA, GIFT, ("zoë", "li")),
        ({"first_name": "Zoë", "last_name": None}, ZOE, GIFT, ("zoë", "li")),
        ({"first_name": None, "default_address": ZOE}, {"first_name": "Z."}, GIFT, ("zoë", "li")),
        ({"first_name": "Zoë"}, None, GIFT, ("zoë", None)),
        (None, None, GIFT, ("ben", "cho")),
        (None, None, None, (None, None)),
    ],
)
def test_both_names_are_the_buyers_and_of_one_source(
    customer: dict[str, Any] | None,
    billing: dict[str, Any] | None,
    shipping: dict[str, Any] | None,
    names: tuple[str | None, str | None],
) -> None:
    user_data = event(
        seen(customer=customer, billing_address=billing, shipping_address=shipping), settings()
    )["user_data"]
    assert tuple(user_data.get(field) for field in ("fn", "ln")) == tuple(
        name and [digest(name)] for name in names
    )


def test_no_secret_part_of_a_url_is_sent() -> None:
    assert "secret" not in json.dumps(event(seen(), settings()))


@pytest.mark.parametrize(
    ("states", "place", "expected"),
    [
        (None, ("US", "CA"), (None, None, None)),
        (("CA",), ("US", "CA"), (["LDU"], 1, 1000)),
        (("CA",), ("US", "NY"), ([], None, None)),
        (("CA",), ("FR", "CA"), ([], None, None)),
        (("ca",), ("us", "ca"), (["LDU"], 1, 1000)),
        (("*",), ("US", "NY"), (["LDU"], 0, 0)),
        (("*",), ("US", "RI"), (["LDU"], 0, 0)),
        (("RI",), ("US", "RI"), (["LDU"], 0, 0)),
        (("CA",), (None, "CA"), (["LDU"], 1, 1000)),
        (("*",), (None, "ARA"), ([], None, None)),
    ],
)
def test_limited_data_use_follows_state_and_country(
    states: tuple[str, ...] | None, place: tuple[str | None, str], expected: Any
) -> None:
    address = {"country_code": place[0], "province_code": place[1]}
    built = event(seen(billing_address=address, shipping_address=None), settings(ldu_states=states))
    names = (
        "data_processing_options",
        "data_processing_options_country",
        "data_processing_options_state",
    )
    assert tuple(built.get(name) for name in names) == expected
    assert event_broken(built, NOW_MS / 1000) is None


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("203.0.113.7",), "203.0.113.7"),
        (("203.0.113.7", "2001:db8::1"), "2001:db8::1"),
        (("203.0.113.7, 10.0.0.1",), "203.0.113.7"),
        (("::ffff:203.0.113.7",), "203.0.113.7"),
        (("::ffff:203.0.113.7", "2001:db8::1"), "2001:db8::1"),
        (("not an address", ""), None),
        (("127.0.0.1", "::"), None),
        (
            (
                "10.0.0.1",
                "192.168.1.4",
                "172.20.0.9",
                "100.64.3.1",
                "169.254.1.1",
                "fe80::1",
                "fd12:3456::1",
                "255.255.255.255",
            ),
            None,
        ),
        (("::ffff:10.0.0.1", "203.0.113.7"), "203.0.113.7"),
        (("203.0.113.7:443",), "203.0.113.7"),
        (("[2001:db8::1]:443",), "2001:db8::1"),
        (("[2001:db8::1]", "10.0.0.1"), "2001:db8::1"),
        (("2a02:8109::1%eth0", "fec0::1", "ff02::1", "::1"), None),
        (("2001:0DB8:0:0:1:0:0:1",), "2001:db8::1:0:0:1"),
    ],
)
def test_one_ip_address_is_sent_ipv6_first(
    addresses: tuple[str, ...], expected: str | None
) -> None:
    assert payload.ip(addresses) == expected


@given(
    st.one_of(
        st.ip_addresses(v=6, network="2000::/3"),
        st.lists(st.sampled_from([0, 0, 1, 0xA0]), min_size=15, max_size=15).map(
            lambda tail: IPv6Address(bytes([0x20, *tail]))
        ),
    ),
    st.sampled_from([str, lambda address: address.exploded, lambda address: str(address).upper()]),
)
def test_a_public_ipv6_address_is_sent_as_python_writes_it(
    address: IPv6Address, written: Callable[[IPv6Address], str]
) -> None:
    assert payload.ip((written(address),)) == str(address)


@pytest.mark.parametrize(
    ("data", "enough"),
    [
        ({"ct", "country", "st", "zp", "client_user_agent"}, False),
        ({"fn", "ge"}, False),
        (set(), False),
        ({"fn", "ln"}, True),
        ({"em"}, True),
        ({"client_user_agent", "client_ip_address"}, True),
    ],
)
def test_too_little_identity_is_known_before_meta_says_so(data: set[str], enough: bool) -> None:
    assert payload.identifies(dict.fromkeys(data, "x")) is enough


def test_the_event_id_is_a_template_of_order_fields() -> None:
    fields: dict[str, str | None] = {"order_id": "1", "checkout_token": "c", "name": None}
    assert payload.filled("{order_id}", fields) == "1"
    assert payload.filled("purchase_{checkout_token}_{order_id}", fields) == "purchase_c_1"
    assert payload.filled("{name}", fields) is None


def test_a_template_that_no_order_can_fill_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(SettingsError, match=r"\{checkout_tokn\}.*\{checkout_token\}"):
        settings(event_id="{checkout_tokn}")
    assert settings(event_id="web_{note_attributes._event_id}").event_id


def test_bad_settings_are_refused_with_what_to_do_and_without_secrets() -> None:
    for changes in (
        {"test_hours": 100},
        {"event_id": "purchase"},
        {"event_id": "{checkout_tokn}"},
        {"event_id": "{line_items}"},
        {"event_id": "{note_attributes.}"},
        {"event_id": "{{order_id}}"},
        {"event_id": "{checkout_token}{"},
        {"content_id": "shopify"},
        {"content_id": "{country}_{sku}"},
        {"content_id": "variants"},
        {"content_id": "{varient_id}"},
        {"source_pos": "shop"},
        {"pixel_id": "abc"},
        {"partner_agent": "x"},
        {"access_token": "a\nb"},
        {"consent_values": ()},
    ):
        with pytest.raises(SettingsError) as refused:
            settings(**changes)
        assert TOKEN not in str(refused.value)
    assert TOKEN not in repr(settings(app_secret="hush"))
    assert "hush" not in repr(settings(app_secret="hush"))


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=30),
    st.lists(st.none() | st.text(max_size=5), max_size=2),
    st.dictionaries(
        st.sampled_from(
            ["first_name", "phone", "name", "value", "quantity", "amount", "shop_money"]
        ),
        st.text(max_size=9),
        max_size=3,
    ),
)


READ = [
    "email",
    "phone",
    "customer",
    "billing_address",
    "shipping_address",
    "client_details",
    "browser_ip",
    "landing_site",
    "referring_site",
    "order_status_url",
    "note_attributes",
    "line_items",
    "tags",
    "presentment_currency",
    "subtotal_price",
    "subtotal_price_set",
    "total_tax",
    "total_tax_set",
    "total_shipping_price_set",
    "shipping_lines",
    "taxes_included",
    "source_name",
]


ITEM = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("variant_id", "product_id", "sku", "quantity", "price", "price_set"), ODD
    ),
)


@given(
    st.dictionaries(st.sampled_from(READ), ODD, max_size=8),
    st.lists(ITEM, max_size=3),
    st.sampled_from(["shop", "presentment"]),
    st.sampled_from(["total", "without_shipping", "without_tax", "net_of_discounts"]),
    st.sampled_from(["USD", "JPY", "KWD"]),
)
def test_whatever_an_order_holds_the_event_is_json_with_what_is_required(
    odd: dict[str, Any], items: list[Any], currency: Any, basis: Any, code: str
) -> None:
    lines: dict[str, Any] = {"line_items": items} if "line_items" not in odd else {}
    found = order(record({**body(currency=code, total_price_set=None, **lines), **odd}), {})
    built = orjson.loads(orjson.dumps(event(found, settings(currency=currency, value_basis=basis))))
    assert built["action_source"]
    assert built["event_time"] == NOW_MS // 1000 - 60
    assert built["custom_data"]["currency"] == code
    assert built["custom_data"]["value"] >= 0
    shown = detail(found.raw)
    assert built["custom_data"].get("num_items", 0) == sum(item.quantity for item in shown.items)
    broken = event_broken(built, NOW_MS / 1000)
    assert broken is None or (
        broken.rule == "too_little_identity" and not payload.identifies(built["user_data"])
    )
