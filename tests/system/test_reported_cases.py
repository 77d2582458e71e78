"""Small cases from public bug reports, each with the right result, through the whole program."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from orderwire.settings.program import ConfigurationError
from tests.support.shopify import reported_cases
from tests.support.shopify.reported_cases import Played, case, configure, play
from tests.support.shops.shop_world import NOW, NOW_MS

NAMES = reported_cases.names()

Json = dict[str, Any]
Check = Callable[[Played], None]


def sent_once(played: Played) -> None:
    assert played.outcomes == {"sent": 1}
    assert len(played.events) == 1


def sent(value: float, variants: list[str], units: int) -> Check:
    def check(played: Played) -> None:
        sent_once(played)
        data = played.purchase["custom_data"]
        assert data["value"] == value
        assert [item["id"] for item in data["contents"]] == variants
        assert data["num_items"] == units

    return check


def revenue(amount: str, currency: str = "USD", orders: int = 1) -> Check:
    def check(played: Played) -> None:
        rfm = played.of("/v1/rfm")
        assert rfm["revenue"] == {"amount": amount, "currency_code": currency}
        assert rfm["orders"] == orders

    return check


def parked(*reasons: str) -> Check:
    def check(played: Played) -> None:
        assert played.of("/v1/status")["parked"]["by_reason"] == dict.fromkeys(reasons, 1)

    return check


def outcome(**expected: int) -> Check:
    def check(played: Played) -> None:
        assert played.outcomes == expected

    return check


def attempt(kind: str, state: str) -> Check:
    """The first attempt is of this class, the order is neither sent nor dead, the account waits."""

    def check(played: Played) -> None:
        answer = played.of("/v1/capi/orders/1")
        assert answer["attempts"][0]["class"] == kind
        assert answer["outcome"] == "pending"
        assert played.of("/v1/capi")["state"] == state

    return check


def fbc(played: Played) -> str:
    found: str = played.purchase["user_data"]["fbc"]
    return found


def newest_click(played: Played) -> None:
    assert fbc(played).endswith(".IwARnewClick")


def click_before_purchase(played: Played) -> None:
    clicked_ms = int(fbc(played).split(".")[2])
    assert clicked_ms <= played.purchase["event_time"] * 1000


def no_staff(played: Played) -> None:
    keys = {key for event in played.events for key in event["user_data"]}
    assert keys.isdisjoint({"client_ip_address", "client_user_agent"})


def no_identity(played: Played) -> None:
    no_staff(played)
    assert played.outcomes == {"skipped": 1}
    assert "staff" in played.of("/v1/capi/orders/1301")["reason"]


def open_value_in_dollars(played: Played) -> None:
    carts = played.of("/v1/carts")
    states = carts["states"]
    values = {states[name]["value"]["amount"] for name in ("active", "abandoned")}
    assert values == {"0.00", "50.00"}
    assert carts["other_currencies"] == {"JPY": 1}


def two_customers(played: Played) -> None:
    assert played.of("/v1/rfm")["customers"]["ever"] == 2


def nothing_counted(played: Played) -> None:
    assert played.of("/v1/rfm")["orders"] == 0


def at_checkout(played: Played) -> None:
    sent_once(played)
    assert played.purchase["event_time"] == NOW_MS // 1000 - 3 * 86_400


CHECKS: dict[str, tuple[Check, ...]] = {
    "capi-01-edited-down-before-payment": (sent(60, ["11"], 1), revenue("60.00")),
    "capi-03-paid-3-days-after-checkout": (at_checkout,),
    "capi-04-paid-8-days-after-checkout": (outcome(too_old=1),),
    "capi-05-cod-with-trigger-created": (sent_once,),
    "capi-08-code-4-is-transient": (attempt("throttle", "throttled"),),
    "capi-09-old-click-in-cart-attribute": (newest_click,),
    "capi-12-click-after-the-purchase": (click_before_purchase,),
    "capi-13-pos-with-the-tills-browser": (sent_once, no_staff),
    "capi-14-events-received-0": (attempt("transient", "sending"),),
    "capi-15-code-80009-101": (attempt("throttle", "throttled"),),
    "shopify-01-risk_assessment_changed": (parked(), nothing_counted),
    "shopify-02-include_fields": (parked("missing_fields:created_at,currency"),),
    "shopify-03-checkout_in_buyers_currency": (open_value_in_dollars,),
    "shopify-04-refund_in_two_steps": (revenue("113.00"),),
    "shopify-05-customers_merge_failed": (two_customers,),
    "shopify-07-edited_down_then_captured": (sent(113, ["900"], 1), revenue("113.00")),
    "shopify-08-partially_paid_arrives_first": (sent_once,),
    "shopify-09-draft_order_by_staff": (no_identity,),
    "shopify-10-jep": (revenue("12.34", "JEP"),),
    "shopify-11-usdc_refund": (revenue("100.00"), parked("refund_without_shop_money")),
}
"""By case. One that is not here is played as well: nothing may be refused or break."""
ASKED = {name: ("1",) for name in NAMES if name.startswith("capi-")} | {
    "shopify-09-draft_order_by_staff": ("1301",)
}
REFUSED = {"capi-06-event-id-template-that-no-order-has": "checkout_tokn"}
"""Settings that no start takes, and what the refusal names."""


@pytest.mark.parametrize("name", [name for name in NAMES if name not in REFUSED])
async def test_a_case_comes_to_its_right_result(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = case(name)
    settings = configure(answer.get("settings", {}), tmp_path, monkeypatch)
    played = await play(answer, settings, ASKED.get(name, ()))
    assert set(played.statuses) == {200}
    for check in CHECKS.get(name, ()):
        check(played)
    reasons = played.of("/v1/status")["parked"]["by_reason"]
    assert not [reason for reason in reasons if reason.startswith(("decode_failed", "fold_failed"))]


@pytest.mark.parametrize("name", [name for name in REFUSED if name in NAMES])
def test_settings_that_cannot_be_meant_are_refused_at_the_start(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=REFUSED[name]):
        configure(case(name)["settings"], tmp_path, monkeypatch)


async def test_catalogue_ids_of_a_feed_can_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = case("capi-17-catalogue-id-of-a-feed")
    settings = configure({"content_id": "shopify", "country": "US"}, tmp_path, monkeypatch)
    played = await play(answer, settings)
    ids = [item["id"] for item in played.purchase["custom_data"]["contents"]]
    assert ids == ["shopify_US_1_11", "shopify_US_2_12"]


async def test_a_payment_eight_days_late_is_in_time_where_its_own_time_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configure({"event_time": "payment"}, tmp_path, monkeypatch)
    played = await play(case("capi-04-paid-8-days-after-checkout"), settings)
    sent_once(played)
    assert played.purchase["event_time"] == NOW_MS // 1000


async def test_a_payment_three_days_late_can_be_kept_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configure({"late_payment": "skip"}, tmp_path, monkeypatch)
    played = await play(case("capi-03-paid-3-days-after-checkout"), settings)
    assert played.outcomes == {"too_old": 1}
    assert played.events == []


async def test_an_unknown_app_pauses_as_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = case("capi-15-code-80009-101")
    answer["graph"]["body"]["error"]["code"] = 101
    played = await play(answer, configure({}, tmp_path, monkeypatch), ("1",))
    assert played.of("/v1/capi")["state"] == "paused"
    assert played.outcomes == {"pending": 1}


async def test_half_an_emoji_in_a_note_is_answered_200_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = {
        "id": 1,
        "created_at": NOW.isoformat(),
        "updated_at": NOW.isoformat(),
        "currency": "USD",
        "total_price": "10.00",
        "financial_status": "paid",
        "email": "buyer@example.com",
    }
    answer = {"deliveries": [["orders/create", order]]}
    body = orjson.dumps(order)[:-1] + b',"note":"thanks \\ud83d"}'
    played = await play(answer, configure({}, tmp_path, monkeypatch), ("1",), [body])
    assert played.statuses == [200]
    revenue("10.00")(played)
    sent_once(played)
