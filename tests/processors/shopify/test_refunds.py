"""What a refund gives back, in shop money."""

from typing import Any

import pytest

from processors.shopify.orders import (
    Refund,
    RefundCreated,
    decode_order,
)
from tests.processors.shopify.bodies import SHOP, entry, order, reason


def test_a_refund_is_the_sum_of_its_successful_refund_transactions() -> None:
    body = {
        "id": 9,
        "order_id": 5,
        "transactions": [
            {"kind": "refund", "status": "success", "amount": "3.00", "currency": "USD"},
            {"kind": "refund", "status": "failure", "amount": "5.00", "currency": "USD"},
            {"kind": "sale", "status": "success", "amount": "7.00", "currency": "USD"},
        ],
        "refund_line_items": [
            {
                "subtotal": 2.5,
                "subtotal_set": {"shop_money": {"amount": "2.50", "currency_code": "USD"}},
            }
        ],
    }
    event = decode_order(entry("refunds/create", body), {})
    assert event == RefundCreated(
        shop=SHOP, order_id="5", refund=Refund("9", 300, 250), currency="USD"
    )


@pytest.mark.parametrize(("paid", "worth"), [("500", 300), ("417", 250)])
def test_a_refund_in_the_buyer_s_currency_is_worth_its_lines_in_shop_money(
    paid: str, worth: int
) -> None:
    """The money says whether the subtotal includes the tax: 417 yen, or 500 with 83 of tax on
    top."""

    def both(dollars: str, yen: str) -> dict[str, Any]:
        return {
            "shop_money": {"amount": dollars, "currency_code": "USD"},
            "presentment_money": {"amount": yen, "currency_code": "JPY"},
        }

    line = {"subtotal_set": both("2.50", "417"), "total_tax_set": both("0.50", "83")}
    body = {
        "id": 9,
        "order_id": 5,
        "transactions": [
            {"kind": "refund", "status": "success", "amount": paid, "currency": "JPY"}
        ],
        "refund_line_items": [line],
    }
    event = decode_order(entry("refunds/create", body), {})
    assert isinstance(event, RefundCreated)
    assert event.refund == Refund("9", worth, worth)


def test_a_partly_paid_return_in_the_buyer_s_currency_is_its_lines_less_the_adjustment() -> None:
    """As a real shop sent it (shop money CAD, buyer's USD), once with the money and once while it
    was pending."""

    def both(cad: str, usd: str) -> dict[str, Any]:
        return {
            "shop_money": {"amount": cad, "currency_code": "CAD"},
            "presentment_money": {"amount": usd, "currency_code": "USD"},
        }

    line = {"subtotal_set": both("1240.71", "919.80"), "total_tax_set": both("125.31", "92.90")}
    kept = {
        "kind": "refund_discrepancy",
        "amount": "66.02",
        "amount_set": both("66.02", "48.94"),
        "tax_amount_set": both("0.00", "0.00"),
    }
    transaction = {"kind": "refund", "status": "success", "amount": "963.76", "currency": "USD"}
    body = {
        "id": 9,
        "order_id": 5,
        "refund_line_items": [line],
        "order_adjustments": [kept],
        "transactions": [transaction],
    }
    event = decode_order(entry("refunds/create", body), {})
    assert event == RefundCreated(
        shop=SHOP, order_id="5", refund=Refund("9", 130_000, 136_602), currency="CAD"
    )
    pending = decode_order(
        entry("refunds/create", {**body, "transactions": [{**transaction, "status": "pending"}]}),
        {},
    )
    assert isinstance(pending, RefundCreated)
    # No money says whether the subtotal includes the tax: the smaller worth, until an order says.
    assert pending.refund == Refund("9", 0, 124_071)


def test_shipping_given_back_counts_once_whether_it_has_lines_or_an_adjustment_or_both() -> None:
    five = {"shop_money": {"amount": "5.00", "currency_code": "USD"}}
    adjustment = {
        "kind": "shipping_refund",
        "amount_set": {"shop_money": {"amount": "-5.00", "currency_code": "USD"}},
    }
    transaction = {"kind": "refund", "status": "success", "amount": "750", "currency": "JPY"}
    for lines in (
        {"refund_shipping_lines": [{"subtotal_amount_set": five}]},
        {"order_adjustments": [adjustment]},
    ):
        for also in ({}, {"order_adjustments": [adjustment]}):
            event = decode_order(
                entry(
                    "refunds/create",
                    {"id": 9, "order_id": 5, "transactions": [transaction], **lines, **also},
                ),
                {},
            )
            assert isinstance(event, RefundCreated)
            assert event.refund.amount == 500


def test_where_the_current_total_is_missing_it_lacks_what_was_returned() -> None:
    line = {"subtotal_set": {"shop_money": {"amount": "3.00", "currency_code": "USD"}}}
    assert order(refunds=[{"id": 9, "refund_line_items": [line]}]).current_total == 3211
    assert (
        order(
            refunds=[{"id": 9, "refund_line_items": [line]}], current_total_price="35.11"
        ).current_total
        == 3511
    )


def test_a_refund_paid_in_a_currency_that_no_shop_has_counts_by_the_shop_money_beside_it() -> None:
    usdc = {"kind": "refund", "status": "success", "amount": "30.00", "currency": "USDC"}
    body = {"id": 9, "order_id": 5, "transactions": [usdc], "total_duties_set": None}
    assert reason("refunds/create", body) == "refund_without_shop_money"

    def both(amount: str) -> dict[str, Any]:
        return {
            "shop_money": {"amount": amount, "currency_code": "USD"},
            "presentment_money": {"amount": amount, "currency_code": "USDC"},
        }

    answer = {**body, "order_adjustments": [{"amount_set": both("-30.00")}]}
    event = decode_order(entry("refunds/create", answer), {})
    assert isinstance(event, RefundCreated)
    assert (event.refund, event.currency) == (Refund("9", 3000), "USD")
    assert order(refunds=[answer]).refunds == (Refund("9", 3000),)
    assert order(refunds=[body]).refunds == (Refund("9", 0),)
