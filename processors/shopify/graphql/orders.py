"""Writes `data.order` of the Admin API as the order body of classic webhooks, which the decoder and
settings such as META_EVENT_ID read.

Fields without a GraphQL twin stay absent: the browser's user agent, `contact_email`, the order's
own `token` (docs/facts/shopify-admin.md, "Classic names and GraphQL names").
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


def order(given: Json, zone: tzinfo | None) -> Json:
    """The classic order body; `zone` is the shop's time zone, None if unknown."""
    currency = given.get("currencyCode")
    written: Json = {
        "id": number(given.get("id")),
        "admin_graphql_api_id": given.get("id"),
        **{classic: given.get(name) for classic, name in SAME},
        **{classic: local(given.get(name), zone) for classic, name in TIMES},
        "cancel_reason": lower(given.get("cancelReason")),
        "fulfillment_status": _fulfilment(given.get("displayFulfillmentStatus")),
        "total_shipping_price_set": money_set(given.get("totalShippingPriceSet"), currency),
        "shipping_lines": _shipping(given.get("shippingLine"), currency),
        "tags": ", ".join(str(tag) for tag in sequence(given.get("tags"))),
        "note_attributes": _pairs(given.get("customAttributes")),
        "discount_codes": [{"code": code} for code in sequence(given.get("discountCodes"))],
        "client_details": {"browser_ip": given["clientIp"]} if given.get("clientIp") else None,
        "customer": _customer(given.get("customer"), zone),
        "billing_address": _address(given.get("billingAddress")),
        "shipping_address": _address(given.get("shippingAddress")),
        **_visit(given.get("customerJourneySummary")),
        "refunds": [
            refund(each, given.get("id"), currency, zone) for each in nodes(given.get("refunds"))
        ],
    }
    for classic, name in TOTALS:
        if (amount_set := money_set(given.get(name), currency)) is not None:
            written[classic], written[f"{classic}_set"] = plain(amount_set), amount_set
    # Absent where the answer lacks them: the decoder refuses an order that is not whole.
    if "displayFinancialStatus" in given:
        written["financial_status"] = lower(given["displayFinancialStatus"])
    if given.get("lineItems") is not None:
        written["line_items"] = [_line(each, currency) for each in nodes(given["lineItems"])]
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


def _customer(given: Any, zone: tzinfo | None) -> Json | None:
    if not isinstance(given, dict):
        return None
    email = mapping(given.get("defaultEmailAddress"))
    written = {
        "id": number(given.get("id")),
        "admin_graphql_api_id": given.get("id"),
        "created_at": local(given.get("createdAt"), zone),
        "state": lower(given.get("state")),
        "first_name": given.get("firstName"),
        "last_name": given.get("lastName"),
        "email": email.get("emailAddress"),
        "phone": mapping(given.get("defaultPhoneNumber")).get("phoneNumber"),
        "default_address": _address(given.get("defaultAddress")),
    }
    if email.get("marketingState"):
        # Classic webhooks had it until 2025-01, and META_CONSENT may still name it.
        written["email_marketing_consent"] = {"state": lower(email["marketingState"])}
    return written


def _address(given: Any) -> Json | None:
    if not isinstance(given, dict):
        return None
    return {
        "first_name": given.get("firstName"),
        "last_name": given.get("lastName"),
        "phone": given.get("phone"),
        "city": given.get("city"),
        "province_code": given.get("provinceCode"),
        "zip": given.get("zip"),
        "country_code": given.get("countryCodeV2"),
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
