"""With which money: basis, currency, shipping, items and costs."""

from typing import Any

import pytest

from destinations.meta.event import payload
from processors.shopify.orders import Order
from stream.money import Money
from tests.support.delivery.capi_orders import (
    body,
    both,
    seen,
    settings,
)
from tests.support.delivery.purchase import event


def test_a_currency_that_only_shopify_has_is_known_to_be_refused() -> None:
    jersey = event(seen(currency="JEP", total_price_set=None), settings())
    assert jersey["custom_data"]["currency"] == "JEP"
    assert payload.refusal(jersey, by_staff=False).startswith("currency: ")
    assert payload.refusal(event(seen(), settings()), by_staff=False) == ""


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


def test_there_is_no_default_currency() -> None:
    assert (
        event(seen(currency="", total_price_set=both("10.00")), settings())["custom_data"][
            "currency"
        ]
        == "EUR"
    )
