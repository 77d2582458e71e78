"""From an order to a Purchase event: when, as what, with which money and which identity."""

import json
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.delivery.account import SettingsError
from destinations.meta import payload
from destinations.meta.detail import Money, detail
from destinations.meta.identity import digest
from destinations.meta.policy import Decision, decide
from destinations.meta.settings import CapiSettings
from processors.shopify.orders import Order, order
from simulator.meta.rules import event_broken, findings
from tests.support.delivery.capi_orders import (
    FBCLID,
    NOW,
    NOW_MS,
    TOKEN,
    body,
    both,
    record,
    seen,
    settings,
)


def decision(found: Order, chosen: CapiSettings) -> Decision:
    return decide(found, detail(found.body, chosen.currency), chosen)


def event(
    found: Order, chosen: CapiSettings, fbc: str | None = None, ltv: Money | None = None
) -> dict[str, Any]:
    shown = detail(found.body, chosen.currency)
    return payload.event(found, shown, chosen, decide(found, shown, chosen), "1001", fbc, ltv)


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
    ("changes", "outcome"),
    [
        ({}, "pending"),
        ({"financial_status": "partially_refunded"}, "pending"),
        ({"financial_status": "pending"}, "skipped"),
        ({"financial_status": "authorized"}, "skipped"),
        ({"financial_status": "voided"}, "skipped"),
        ({"financial_status": None}, "skipped"),
        ({"test": True}, "skipped"),
        ({"cancelled_at": NOW.isoformat()}, "skipped"),
        ({"made": NOW - timedelta(days=7, minutes=1)}, "too_old"),
        ({"made": NOW - timedelta(days=6, hours=23)}, "pending"),
        ({"made": NOW - timedelta(days=8), "source_name": "pos"}, "pending"),
        ({"made": NOW - timedelta(days=63), "source_name": "pos"}, "too_old"),
    ],
)
def test_only_money_that_came_in_time_is_sent(changes: dict[str, Any], outcome: str) -> None:
    decided = decision(seen(**changes), settings())
    assert decided.outcome == outcome
    assert bool(decided.reason) is (outcome != "pending")


def test_an_order_that_is_paid_late_is_not_said_to_have_come_late() -> None:
    late = seen(made=NOW - timedelta(days=9))
    assert (
        decision(late, settings()).reason
        == "the order was 9 days old when it was first seen to be a sale; Meta takes none older "
        "than 7"
    )


@pytest.mark.parametrize("status", ["pending", "authorized", "partially_paid", "paid", None])
def test_with_the_trigger_created_an_order_is_sent_paid_or_not(status: str | None) -> None:
    chosen = settings(trigger="created")
    assert decision(seen(financial_status=status), chosen).outcome == "pending"


@pytest.mark.parametrize("trigger", ["paid", "created"])
@pytest.mark.parametrize("status", ["voided", "expired"])
def test_an_order_whose_payment_is_over_is_no_sale(trigger: str, status: str) -> None:
    decided = decision(seen(financial_status=status), settings(trigger=trigger))
    assert (decided.outcome, decided.waits) == ("skipped", False)


@pytest.mark.parametrize("status", ["pending", "authorized", "partially_paid", None])
def test_an_order_that_only_lacks_payment_waits(status: str | None) -> None:
    waiting = seen(financial_status=status)
    assert decision(waiting, settings()).waits
    assert not decision(waiting, settings(consent="marketing")).waits
    assert not decision(waiting, settings(source_web="skip")).waits


DAY = timedelta(days=1)


def paid_after(days: float, **changes: Any) -> Order:
    """An order that was paid now, some days after it was made."""
    return seen(made=NOW - days * DAY, updated_at=NOW.isoformat(), **changes)


def test_an_order_paid_late_is_sent_with_its_own_time_and_known_to_be_late() -> None:
    decided = decision(paid_after(3), settings())
    assert (decided.outcome, decided.late) == ("pending", True)
    assert decided.event_time_s == NOW_MS // 1000 - 3 * 86_400
    assert not decision(paid_after(1.9), settings()).late
    assert not decision(paid_after(3), settings(trigger="created")).late


def test_an_order_paid_after_meta_s_seven_days_is_too_old_unless_the_payment_s_time_counts() -> (
    None
):
    decided = decision(paid_after(8), settings())
    assert decided.outcome == "too_old"
    assert decided.reason.endswith("(META_EVENT_TIME=payment counts from the payment)")
    decided = decision(paid_after(8), settings(event_time="payment"))
    assert (decided.outcome, decided.event_time_s) == ("pending", NOW_MS // 1000)


def test_a_shop_whose_pixel_reports_at_checkout_can_skip_what_is_paid_late() -> None:
    chosen = settings(late_payment="skip")
    decided = decision(paid_after(3), chosen)
    assert (decided.outcome, decided.waits) == ("too_old", False)
    assert decided.reason.startswith("the order was paid 72 hours after it was made")
    assert decision(paid_after(1.9), chosen).outcome == "pending"
    by_payment = settings(late_payment="skip", event_time="payment")
    assert decision(paid_after(3), by_payment).outcome == "too_old"


STAFF_S = {"browser_ip": "198.51.100.7", "user_agent": "Mozilla/5.0 (X11; Linux x86_64)"}
NOBODY: dict[str, Any] = {
    "email": "",
    "customer": None,
    "billing_address": None,
    "shipping_address": None,
    "landing_site": None,
    "note_attributes": [],
}


@pytest.mark.parametrize(
    "entered",
    [
        {"source_name": "shopify_draft_order"},
        {"source_name": "pos"},
        {"source_name": "web", "user_id": 94873289014},
        {"source_name": "580111", "user_id": 94873289014},
        {"source_name": "phone"},
    ],
)
def test_the_browser_of_staff_is_not_sent_as_the_buyer_s(entered: dict[str, Any]) -> None:
    data = event(seen(**entered, client_details=STAFF_S), settings())["user_data"]
    assert data.keys() >= {"em", "ph", "external_id"}
    assert data.keys().isdisjoint({"client_ip_address", "client_user_agent"})


def test_a_till_is_known_by_its_user_agent_and_by_what_the_shop_calls_its_source() -> None:
    till = {"browser_ip": "81.2.69.160", "user_agent": "Shopify POS/9.30.0 (iPad)"}
    assert decision(seen(source_name="580111", client_details=till), settings()).by_staff
    own_till = settings(sources={"580111": "physical_store"})
    assert decision(seen(source_name="580111"), own_till).by_staff
    assert not decision(seen(source_name="580111"), settings()).by_staff
    assert not decision(seen(), settings()).by_staff


def test_an_app_s_order_with_the_browser_of_staff_is_no_web_order() -> None:
    assert decision(seen(source_name="580111", user_id=5), settings()).action_source == "other"


def test_a_sale_whose_only_identity_is_staff_s_says_so() -> None:
    found = seen(source_name="shopify_draft_order", client_details=STAFF_S, **NOBODY)
    decided = decision(found, settings())
    assert decided.by_staff
    refused = payload.refusal(event(found, settings()), by_staff=decided.by_staff)
    assert refused.startswith("2804050: ")
    assert "staff" in refused


def test_a_currency_that_only_shopify_has_is_known_to_be_refused() -> None:
    jersey = event(seen(currency="JEP", total_price_set=None), settings())
    assert jersey["custom_data"]["currency"] == "JEP"
    assert payload.refusal(jersey, by_staff=False).startswith("currency: ")
    assert payload.refusal(event(seen(), settings()), by_staff=False) == ""


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({"source_name": "web"}, "website"),
        ({"source_name": "pos"}, "physical_store"),
        ({"source_name": "shopify_draft_order"}, "phone_call"),
        ({"source_name": "subscription_contract_checkout_one"}, "system_generated"),
        ({"source_name": "web", "tags": "vip, Subscription Recurring Order"}, "system_generated"),
        ({"source_name": "580111"}, "website"),
        ({"source_name": "580111", "client_details": None}, "other"),
        ({"source_name": None, "client_details": []}, "other"),
    ],
)
def test_the_action_source_follows_the_source_name(changes: dict[str, Any], source: str) -> None:
    assert decision(seen(**changes), settings()).action_source == source


def test_a_source_can_be_skipped_or_named_one_by_one() -> None:
    assert (
        decision(seen(source_name="shopify_draft_order"), settings(source_draft="skip")).outcome
        == "skipped"
    )
    assert (
        decision(seen(source_name="5806"), settings(sources={"5806": "app"})).action_source == "app"
    )


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "no_consent"),
        ({"note_attributes": [{"name": "marketing", "value": "granted"}]}, "pending"),
        ({"note_attributes": [{"name": "marketing", "value": True}]}, "pending"),
        ({"note_attributes": [{"name": "marketing", "value": "No"}]}, "no_consent"),
        ({"note_attributes": [{"name": "marketing", "value": ""}]}, "no_consent"),
        ({"customer": {"marketing": "yes"}}, "pending"),
        ({"customer": {"marketing": None}}, "no_consent"),
    ],
)
def test_consent_is_a_gate(changes: dict[str, Any], outcome: str) -> None:
    assert decision(seen(**changes), settings(consent="marketing")).outcome == outcome


def consented(answer: Any, **chosen: Any) -> str:
    return decision(
        seen(note_attributes=[{"name": "marketing", "value": answer}]),
        settings(consent="marketing", **chosen),
    ).outcome


NOES = ["n", "refused", "Rejected", "revoked", "withdrawn", "opted_out", "opt-out", "disabled"]
NO_CLEAR_YES = [
    "N/A",
    "undefined",
    "not_granted",
    "consent_denied",
    "opt out",
    "nein",
    "non",
    "no, thanks",
    "{}",
    "not yes",
    "0",
    0,
    False,
]


@pytest.mark.parametrize("answer", [*NOES, *NO_CLEAR_YES])
def test_what_is_not_a_clear_yes_is_no(answer: Any) -> None:
    assert consented(answer) == "no_consent"


@pytest.mark.parametrize(
    "answer", ["true", " YES ", "1", 1, "Opt-In", "opted in", "granted", "Accepted", "subscribed"]
)
def test_a_clear_yes_is_one_however_it_is_written(answer: Any) -> None:
    assert consented(answer) == "pending"


def test_what_says_yes_is_a_setting() -> None:
    assert [
        consented(answer, consent_values=("ja", "Alle Cookies"))
        for answer in ("JA", "alle-cookies", "yes")
    ] == [
        "pending",
        "pending",
        "no_consent",
    ]
    assert [
        consented(answer, consent_values=("*",)) for answer in ("2026-11-22T12:00:00Z", "", None)
    ] == [
        "pending",
        "no_consent",
        "no_consent",
    ]


@pytest.mark.parametrize("field", [{"ads": True}, ["yes"], [], {}, 1.5])
def test_what_is_no_single_word_is_no_consent(field: Any) -> None:
    assert decision(seen(marketing=field), settings(consent="marketing")).outcome == "no_consent"


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("subscribed", "pending"), ("not_subscribed", "no_consent"), (None, "no_consent")],
)
def test_a_consent_object_of_shopifys_says_what_its_state_says(
    state: str | None, outcome: str
) -> None:
    consent = {"state": state, "opt_in_level": "single_opt_in", "consent_updated_at": None}
    chosen = settings(consent="email_marketing_consent")
    assert decision(seen(customer={"email_marketing_consent": consent}), chosen).outcome == outcome


def test_consent_may_stand_deep_in_the_order() -> None:
    chosen = settings(consent="customer.email_marketing_consent.state")
    for state, outcome in (
        ("subscribed", "pending"),
        ("not_subscribed", "no_consent"),
        ("pending", "no_consent"),
    ):
        assert (
            decision(seen(customer={"email_marketing_consent": {"state": state}}), chosen).outcome
            == outcome
        )


def test_a_clock_ahead_of_ours_is_brought_back_to_now() -> None:
    assert (
        decision(seen(made=NOW + timedelta(minutes=5)), settings()).event_time_s == NOW_MS // 1000
    )


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({}, (59.9, "EUR")),
        ({"value_basis": "without_shipping"}, (55.0, "EUR")),
        ({"value_basis": "without_tax"}, (49.92, "EUR")),
        ({"value_basis": "without_shipping_and_tax"}, (45.02, "EUR")),
        ({"value_basis": "net_of_discounts"}, (55.0, "EUR")),
        ({"currency": "presentment"}, (56.1, "CHF")),
        ({"currency": "presentment", "value_basis": "without_tax"}, (46.75, "CHF")),
    ],
)
def test_the_value_is_on_the_basis_and_in_the_currency_of_the_setting(
    changes: dict[str, Any], value: tuple[float, str]
) -> None:
    custom = event(seen(), settings(**changes))["custom_data"]
    assert (custom["value"], custom["currency"]) == value


def shipped(price: str, paid: str | None, tax: str) -> list[dict[str, Any]]:
    line = {
        "price": price,
        "price_set": both(price),
        "tax_lines": [{"price": tax, "price_set": both(tax)}],
    }
    return [
        line
        if paid is None
        else {**line, "discounted_price": paid, "discounted_price_set": both(paid)}
    ]


@pytest.mark.parametrize(
    ("basis", "included", "lines", "value"),
    [
        ("without_shipping", False, shipped("4.90", None, "0.00"), 55.0),
        ("without_shipping", False, shipped("4.90", "0.00", "0.00"), 59.9),
        ("without_shipping", False, shipped("4.90", "2.00", "0.40"), 57.5),
        ("without_shipping", True, shipped("4.90", "4.90", "0.82"), 55.0),
        ("without_tax", True, shipped("4.90", "4.90", "0.82"), 49.92),
        ("without_shipping_and_tax", False, shipped("4.90", "4.90", "0.82"), 45.02),
        ("without_shipping_and_tax", True, shipped("4.90", "4.90", "0.82"), 45.84),
        ("net_of_discounts", True, shipped("4.90", "4.90", "0.82"), 55.0),
    ],
)
@pytest.mark.parametrize("side", ["shop", "presentment"])
def test_shipping_is_what_the_buyer_paid_for_it_and_its_tax_is_taken_off_once(
    basis: Any, included: bool, lines: list[Any], value: float, side: Any
) -> None:
    amounts: dict[str, Any] = {
        "total_price_set": both("59.90"),
        "subtotal_price_set": both("55.00"),
        "total_tax_set": both("9.98"),
    }
    found = seen(taxes_included=included, shipping_lines=lines, **amounts)
    assert event(found, settings(value_basis=basis, currency=side))["custom_data"]["value"] == value


@pytest.mark.parametrize(("included", "value"), [(True, 55.0), (False, 45.02)])
def test_without_a_subtotal_the_items_are_what_is_left_of_the_total(
    included: bool, value: float
) -> None:
    missing: dict[str, Any] = {"subtotal_price": None, "subtotal_price_set": None}
    found = seen(taxes_included=included, shipping_lines=shipped("4.90", "4.90", "0.82"), **missing)
    assert event(found, settings(value_basis="net_of_discounts"))["custom_data"]["value"] == value


def test_item_prices_are_in_the_currency_of_the_value_or_left_out() -> None:
    contents = event(seen(), settings(currency="presentment"))["custom_data"]["contents"]
    assert [item.get("item_price") for item in contents] == [18.7, None]


def test_a_currency_without_decimals_keeps_none() -> None:
    plain: dict[str, Any] = {"currency": "JPY", "total_price": "1200.00", "total_price_set": None}
    assert event(seen(**plain), settings())["custom_data"]["value"] == 1200


def test_products_can_be_named_instead_of_variants_and_lines_without_id_still_count() -> None:
    lines = [{"product_id": 4, "quantity": 2}, {"product_id": None, "quantity": 5}]
    custom = event(seen(line_items=lines), settings(content_id="product"))["custom_data"]
    assert (custom["contents"], custom["content_type"], custom["num_items"]) == (
        [{"id": "4", "quantity": 2}],
        "product_group",
        7,
    )


def test_what_rfm_expects_of_the_customer_is_sent_in_the_same_currency_only() -> None:
    assert (
        event(seen(), settings(), ltv=Money(12345, "EUR"))["custom_data"]["predicted_ltv"] == 123.45
    )
    assert "predicted_ltv" not in event(seen(), settings(), ltv=Money(12345, "USD"))["custom_data"]


def costing(*costs: str | None) -> Order:
    """The order of two lines, two units and one, with what a unit costs the shop."""
    lines = body()["line_items"]
    for line, cost in zip(lines, costs, strict=True):
        line["properties"] = [{"name": "_cost", "value": cost}]
    return seen(line_items=lines)


def test_net_revenue_is_the_value_less_what_the_items_cost() -> None:
    chosen = settings(cost_property="_cost")
    assert event(costing("8.00", "5.50"), chosen)["custom_data"]["net_revenue"] == 38.4
    for unknown in (costing("8.00", None), costing("8.00", "much"), seen()):
        assert "net_revenue" not in event(unknown, chosen)["custom_data"]


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [
        ("variant", ["41", "42"]),
        ("product", ["4", "4"]),
        ("sku", ["A-1", "A-2"]),
        ("shopify", ["shopify_FR_4_41", "shopify_FR_4_42"]),
        ("shopify_US_{product_id}_{variant_id}", ["shopify_US_4_41", "shopify_US_4_42"]),
        ("{country}-{sku}", ["FR-A-1", "FR-A-2"]),
    ],
)
def test_items_carry_the_ids_of_the_catalogue(chosen: str, ids: list[str]) -> None:
    data = event(seen(), settings(content_id=chosen, country="fr"))["custom_data"]
    assert [item["id"] for item in data["contents"]] == ids
    assert data["content_type"] == ("product_group" if chosen == "product" else "product")


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
    ],
)
def test_one_ip_address_is_sent_ipv6_first(
    addresses: tuple[str, ...], expected: str | None
) -> None:
    assert payload.ip(addresses) == expected


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
    shown = detail(found.body)
    assert built["custom_data"].get("num_items", 0) == sum(item.quantity for item in shown.items)
    broken = event_broken(built, NOW_MS / 1000)
    assert broken is None or (
        broken.rule == "too_little_identity" and not payload.identifies(built["user_data"])
    )


def test_there_is_no_default_currency() -> None:
    assert (
        event(seen(currency="", total_price_set=both("10.00")), settings())["custom_data"][
            "currency"
        ]
        == "EUR"
    )
