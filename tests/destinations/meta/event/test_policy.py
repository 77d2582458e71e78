"""When an order is a sale for Meta, and as what."""

from datetime import timedelta
from typing import Any

import pytest

from destinations.meta.event import payload
from processors.shopify.orders import Order
from tests.support.delivery.capi_orders import (
    NOW,
    NOW_MS,
    seen,
    settings,
)
from tests.support.delivery.purchase import decision, event


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


def test_a_sale_keeps_its_time_though_our_clock_was_a_day_behind() -> None:
    made = NOW + timedelta(days=1)
    found = decision(seen(made=made), settings())
    assert (found.outcome, found.event_time_s) == ("pending", int(made.timestamp()))


def test_a_clock_ahead_of_ours_is_brought_back_to_now() -> None:
    assert (
        decision(seen(made=NOW + timedelta(minutes=5)), settings()).event_time_s == NOW_MS // 1000
    )
