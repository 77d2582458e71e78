"""Writes `data.order` of the Admin API as the order body of classic webhooks.

Everything behind reads classic names: the decoder, and settings that name a field of the order
(META_EVENT_ID, META_CONSENT). What GraphQL has no twin of stays absent: the browser's user agent,
`contact_email`, the order's own `token` (docs/facts/shopify-admin.md, "Classic names and GraphQL
names").
"""

from datetime import tzinfo
from typing import Any

from processors.shopify.graphql.refunds import refund
from processors.shopify.graphql.values import (
    Json,
    local,
    lower,
    money_set,
    nodes,
    number,
    plain,
)
from processors.shopify.tolerance import mapping, sequence

TOTALS = (
    ("total_price", "totalPriceSet"),
    ("current_total_price", "currentTotalPriceSet"),
    ("subtotal_price", "subtotalPriceSet"),
    ("current_subtotal_price", "currentSubtotalPriceSet"),
    ("total_tax", "totalTaxSet"),
    ("current_total_tax", "currentTotalTaxSet"),
    ("total_discounts", "totalDiscountsSet"),
)
"""Classic name of the plain field, with `_set` that of the set, and GraphQL's name."""
SAME = (
    ("name", "name"),
    ("order_number", "number"),
    ("test", "test"),
    ("confirmed", "confirmed"),
    ("source_name", "sourceName"),
    ("currency", "currencyCode"),
    ("presentment_currency", "presentmentCurrencyCode"),
    ("taxes_included", "taxesIncluded"),
    ("cart_token", "cartToken"),
    ("checkout_token", "checkoutToken"),
    ("customer_locale", "customerLocale"),
    ("note", "note"),
    ("email", "email"),
    ("phone", "phone"),
    ("browser_ip", "clientIp"),
    ("order_status_url", "statusPageUrl"),
)
TIMES = (
    ("created_at", "createdAt"),
    ("processed_at", "processedAt"),
    ("updated_at", "updatedAt"),
    ("cancelled_at", "cancelledAt"),
)
FULFILMENT = {
    "UNFULFILLED": None,
    "FULFILLMENT_NOT_REQUIRED": None,
    "PARTIALLY_FULFILLED": "partial",
}
"""Values of `displayFulfillmentStatus` whose classic `fulfillment_status` is not the same word."""


def order(told: Json, zone: tzinfo | None) -> Json:
    """The classic order body; `zone` is the shop's time zone, None where it is not known."""
    currency = told.get("currencyCode")
    written: Json = {
        "id": number(told.get("id")),
        "admin_graphql_api_id": told.get("id"),
        **{classic: told.get(name) for classic, name in SAME},
        **{classic: local(told.get(name), zone) for classic, name in TIMES},
        "cancel_reason": lower(told.get("cancelReason")),
        "fulfillment_status": _fulfilment(told.get("displayFulfillmentStatus")),
        "total_shipping_price_set": money_set(told.get("totalShippingPriceSet"), currency),
        "shipping_lines": _shipping(told.get("shippingLine"), currency),
        "tags": ", ".join(str(tag) for tag in sequence(told.get("tags"))),
        "note_attributes": _pairs(told.get("customAttributes")),
        "discount_codes": [{"code": code} for code in sequence(told.get("discountCodes"))],
        "client_details": {"browser_ip": told["clientIp"]} if told.get("clientIp") else None,
        "customer": _customer(told.get("customer"), zone),
        "billing_address": _address(told.get("billingAddress")),
        "shipping_address": _address(told.get("shippingAddress")),
        **_visit(told.get("customerJourneySummary")),
        "refunds": [
            refund(each, told.get("id"), currency, zone) for each in nodes(told.get("refunds"))
        ],
    }
    for classic, name in TOTALS:
        if (amount_set := money_set(told.get(name), currency)) is not None:
            written[classic], written[f"{classic}_set"] = plain(amount_set), amount_set
    # Absent where the answer lacks them: the decoder refuses an order that is not whole.
    if "displayFinancialStatus" in told:
        written["financial_status"] = lower(told["displayFinancialStatus"])
    if told.get("lineItems") is not None:
        written["line_items"] = [_line(each, currency) for each in nodes(told["lineItems"])]
    return written


def _fulfilment(status: Any) -> Any:
    known = isinstance(status, str) and status in FULFILMENT
    return FULFILMENT[status] if known else lower(status)


def _shipping(line: Any, currency: Any) -> list[Json]:
    """`shippingLine` is Shopify's sum of all shipping lines, their discounts and their taxes."""
    if not isinstance(line, dict):
        return []
    paid = money_set(line.get("discountedPriceSet"), currency)
    taxes = [
        money_set(mapping(tax).get("priceSet"), currency) for tax in nodes(line.get("taxLines"))
    ]
    return [
        {
            "discounted_price": plain(paid),
            "discounted_price_set": paid,
            "tax_lines": [{"price": plain(tax), "price_set": tax} for tax in taxes],
        }
    ]


def _line(line: Json, currency: Any) -> Json:
    price = money_set(line.get("originalUnitPriceSet"), currency)
    return {
        "id": number(line.get("id")),
        "admin_graphql_api_id": line.get("id"),
        "variant_id": number(mapping(line.get("variant")).get("id")),
        "product_id": number(mapping(line.get("product")).get("id")),
        "sku": line.get("sku"),
        "quantity": line.get("quantity"),
        "current_quantity": line.get("currentQuantity"),
        "requires_shipping": line.get("requiresShipping"),
        "price": plain(price),
        "price_set": price,
        "properties": _pairs(line.get("customAttributes")),
    }


def _pairs(attributes: Any) -> list[Json]:
    return [
        {"name": each.get("key"), "value": each.get("value")} for each in nodes(attributes or [])
    ]


def _customer(told: Any, zone: tzinfo | None) -> Json | None:
    if not isinstance(told, dict):
        return None
    email = mapping(told.get("defaultEmailAddress"))
    written = {
        "id": number(told.get("id")),
        "admin_graphql_api_id": told.get("id"),
        "created_at": local(told.get("createdAt"), zone),
        "state": lower(told.get("state")),
        "first_name": told.get("firstName"),
        "last_name": told.get("lastName"),
        "email": email.get("emailAddress"),
        "phone": mapping(told.get("defaultPhoneNumber")).get("phoneNumber"),
        "default_address": _address(told.get("defaultAddress")),
    }
    if email.get("marketingState"):
        # Classic webhooks had it until 2025-01, and META_CONSENT may still name it.
        written["email_marketing_consent"] = {"state": lower(email["marketingState"])}
    return written


def _address(told: Any) -> Json | None:
    if not isinstance(told, dict):
        return None
    return {
        "first_name": told.get("firstName"),
        "last_name": told.get("lastName"),
        "phone": told.get("phone"),
        "city": told.get("city"),
        "province_code": told.get("provinceCode"),
        "zip": told.get("zip"),
        "country_code": told.get("countryCodeV2"),
    }


def _visit(journey: Any) -> Json:
    """Where the buyer came from: of the visit that ordered, else of the first one.

    Null until `ready`: Shopify attributes visits after the order (Admin schema,
    `CustomerJourneySummary.ready`). So a first delivery may lack them and a later one not.
    """
    visits = [mapping(mapping(journey).get(name)) for name in ("lastVisit", "firstVisit")]
    landings = [visit for visit in visits if visit.get("landingPage")]
    visit = landings[0] if landings else {}
    return {"landing_site": visit.get("landingPage"), "referring_site": visit.get("referrerUrl")}
