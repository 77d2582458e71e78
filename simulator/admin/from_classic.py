"""A classic webhook body as the Admin API shows the same object (docs/facts/shopify-admin.md,
"Classic names and GraphQL names"). Written apart from what translates the other way."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from simulator.admin.books import Json

COUNTRY_NAMES = ("first_name", "last_name", "phone", "city", "province_code", "zip")


def order(body: Mapping[str, Any], shop_domain: str = "shop.example") -> Json:
    """An order. Fields that the Admin API does not have (user agent, browser) are left out."""
    total, received = body.get("total_price_set"), body.get("financial_status") or ""
    refunds = [refund(one, body) for one in body.get("refunds") or ()]
    refunded = sum(float(one["totalRefundedSet"]["shopMoney"]["amount"]) for one in refunds)
    paid = received.lower() in ("paid", "partially_refunded", "refunded")
    site, referrer = body.get("landing_site"), body.get("referring_site")
    visit = None
    if site:
        visit = {
            "id": f"gid://shopify/CustomerVisit/{body['id']}",
            "landingPage": f"https://{shop_domain}{site}" if site.startswith("/") else site,
            "referrerUrl": referrer or None,
            "occurredAt": utc(body["created_at"]),
        }
    shipping = [each for each in body.get("shipping_lines") or () if not each.get("is_removed")]
    codes = [each["code"] for each in body.get("discount_codes") or ()]
    total_money = money_set(total)
    return {
        "id": gid("Order", body["id"]),
        "legacyResourceId": str(body["id"]),
        "name": body.get("name"),
        "number": body.get("order_number") or body.get("number"),
        "createdAt": utc(body["created_at"]),
        "processedAt": utc(body.get("processed_at") or body["created_at"]),
        "updatedAt": utc(body["updated_at"]),
        "cancelledAt": utc(body["cancelled_at"]) if body.get("cancelled_at") else None,
        "cancelReason": (body.get("cancel_reason") or "").upper() or None,
        "closedAt": None,
        "confirmed": body.get("confirmed", True),
        "test": bool(body.get("test")),
        "sourceName": body.get("source_name"),
        "displayFinancialStatus": received.upper() or None,
        "displayFulfillmentStatus": "UNFULFILLED",
        "currencyCode": body.get("currency"),
        "presentmentCurrencyCode": body.get("presentment_currency") or body.get("currency"),
        "taxesIncluded": bool(body.get("taxes_included")),
        "email": body.get("email") or None,
        "phone": body.get("phone") or None,
        "note": body.get("note") or None,
        "clientIp": body.get("browser_ip") or None,
        "customerLocale": body.get("customer_locale") or None,
        "cartToken": body.get("cart_token") or None,
        "checkoutToken": body.get("checkout_token") or None,
        "statusPageUrl": body.get("order_status_url") or f"https://{shop_domain}/status",
        "tags": [each.strip() for each in (body.get("tags") or "").split(",") if each.strip()],
        "discountCodes": codes,
        "discountCode": codes[0] if codes else None,
        "customAttributes": attributes(body.get("note_attributes")),
        "customer": customer(body.get("customer")),
        "billingAddress": address(body.get("billing_address")),
        "shippingAddress": address(body.get("shipping_address")),
        "customerJourneySummary": {"ready": True, "firstVisit": visit, "lastVisit": visit},
        "totalPriceSet": total_money,
        "originalTotalPriceSet": total_money,
        "currentTotalPriceSet": money_set(body.get("current_total_price_set")),
        "subtotalPriceSet": money_set(body.get("subtotal_price_set")),
        "currentSubtotalPriceSet": money_set(body.get("current_subtotal_price_set")),
        "totalTaxSet": money_set(body.get("total_tax_set")),
        "currentTotalTaxSet": money_set(body.get("current_total_tax_set")),
        "totalDiscountsSet": money_set(body.get("total_discounts_set")),
        "totalShippingPriceSet": money_set(body.get("total_shipping_price_set")),
        "totalReceivedSet": total_money if paid else scaled(total, 0.0),
        "totalRefundedSet": scaled(total, refunded),
        "netPaymentSet": scaled(total, (amount(total) if paid else 0.0) - refunded),
        "refunds": refunds,
        "shippingLine": None
        if not shipping
        else {
            "id": gid("ShippingLine", shipping[0]["id"]),
            "title": shipping[0].get("title"),
            "code": shipping[0].get("code"),
            "originalPriceSet": money_set(body.get("total_shipping_price_set")),
            "discountedPriceSet": money_set(shipping[0].get("discounted_price_set")),
            "taxLines": [
                {"priceSet": money_set(tax.get("price_set"))}
                for tax in shipping[0].get("tax_lines") or ()
            ],
        },
        "lineItems": [line_item(each) for each in body.get("line_items") or ()],
    }


def refund(body: Mapping[str, Any], order_body: Mapping[str, Any]) -> Json:
    """A refund, of a given order's body."""
    rate = _rate(order_body)
    transactions = [_transaction(each, rate, order_body) for each in body.get("transactions") or ()]
    money = sum(
        float(each["amountSet"]["shopMoney"]["amount"])
        for each in transactions
        if each["kind"] == "REFUND" and each["status"] == "SUCCESS"
    )
    total = order_body.get("total_price_set")
    return {
        "id": gid("Refund", body["id"]),
        "legacyResourceId": str(body["id"]),
        "createdAt": utc(body["created_at"]),
        "processedAt": utc(body.get("processed_at") or body["created_at"]),
        "updatedAt": utc(body["created_at"]),
        "note": body.get("note"),
        "totalRefundedSet": scaled(total, money),
        "refundLineItems": [
            {
                "id": gid("RefundLineItem", each["id"]),
                "quantity": each["quantity"],
                "subtotalSet": money_set(each.get("subtotal_set")),
                "totalTaxSet": money_set(each.get("total_tax_set")),
                "lineItem": {"id": gid("LineItem", each["line_item_id"])},
            }
            for each in body.get("refund_line_items") or ()
        ],
        "refundShippingLines": [
            {
                "id": gid("RefundShippingLine", each["id"]),
                "subtotalAmountSet": money_set(each.get("subtotal_amount_set")),
                "taxAmountSet": scaled(total, 0.0),
            }
            for each in body.get("refund_shipping_lines") or ()
        ],
        "orderAdjustments": [
            {
                "id": gid("OrderAdjustment", each["id"]),
                "amountSet": money_set(each.get("amount_set")),
                "taxAmountSet": money_set(each.get("tax_amount_set")),
                "reason": None,
            }
            for each in body.get("order_adjustments") or ()
            # Shipping that went back has a list of its own here.
            if each.get("kind") != "shipping_refund"
        ],
        "transactions": transactions,
    }


def checkout(body: Mapping[str, Any], recovery_url: str) -> Json:
    """An abandoned checkout. It has no token: the recovery link is all that names it."""
    number = int(str(body["token"])[:12], 16)
    return {
        "id": gid("AbandonedCheckout", number),
        "name": f"#{number}",
        "abandonedCheckoutUrl": recovery_url,
        "createdAt": utc(body["created_at"]),
        "updatedAt": utc(body["updated_at"]),
        "completedAt": utc(body["completed_at"]) if body.get("completed_at") else None,
        "note": body.get("note") or "",
        "taxesIncluded": bool(body.get("taxes_included")),
        "discountCodes": [each["code"] for each in body.get("discount_codes") or ()],
        "customAttributes": attributes(body.get("note_attributes")),
        "customer": customer(body.get("customer")),
        "shippingAddress": address(body.get("shipping_address")),
        "billingAddress": address(body.get("billing_address")),
        "subtotalPriceSet": plain_set(body, "subtotal_price"),
        "totalPriceSet": plain_set(body, "total_price"),
        "totalTaxSet": plain_set(body, "total_tax"),
        "totalDiscountSet": plain_set(body, "total_discounts"),
        "lineItems": [
            {
                "id": gid("AbandonedCheckoutLineItem", number + place),
                "sku": each.get("sku"),
                "title": each.get("title"),
                "quantity": each.get("quantity"),
                "product": reference("Product", each.get("product_id")),
                "variant": reference("ProductVariant", each.get("variant_id")),
                "originalUnitPriceSet": plain_set({**body, **each}, "price"),
                "discountedTotalPriceSet": plain_set({**body, **each}, "line_price"),
            }
            for place, each in enumerate(body.get("line_items") or (), 1)
        ],
    }


def line_item(body: Mapping[str, Any]) -> Json:
    """A line of an order."""
    unit, quantity = body.get("price_set"), int(body.get("quantity") or 0)
    discount = amount(body.get("total_discount_set"))
    each = amount(unit) - (discount / quantity if quantity else 0.0)
    return {
        "id": gid("LineItem", body["id"]),
        "sku": body.get("sku") or None,
        "title": body.get("title"),
        "name": body.get("name"),
        "quantity": quantity,
        "currentQuantity": body.get("current_quantity", quantity),
        "requiresShipping": bool(body.get("requires_shipping")),
        "product": reference("Product", body.get("product_id")),
        "variant": reference("ProductVariant", body.get("variant_id")),
        "customAttributes": [],
        "originalUnitPriceSet": money_set(unit),
        "discountedUnitPriceSet": money_set(unit),
        "discountedUnitPriceAfterAllDiscountsSet": scaled(unit, each),
        "discountedTotalSet": scaled(unit, amount(unit) * quantity - discount),
        "totalDiscountSet": money_set(body.get("total_discount_set")),
    }


def customer(body: Mapping[str, Any] | None) -> Json | None:
    """A buyer with an account."""
    if not body:
        return None
    mail, phone = body.get("email"), body.get("phone")
    return {
        "id": gid("Customer", body["id"]),
        "legacyResourceId": str(body["id"]),
        "createdAt": utc(body.get("created_at") or "2026-01-01T00:00:00Z"),
        "firstName": body.get("first_name"),
        "lastName": body.get("last_name"),
        "state": (body.get("state") or "").upper() or None,
        "defaultEmailAddress": {"emailAddress": mail, "marketingState": "NOT_SUBSCRIBED"}
        if mail
        else None,
        "defaultPhoneNumber": {"phoneNumber": phone} if phone else None,
        "defaultAddress": address(body.get("default_address")),
    }


def address(body: Mapping[str, Any] | None) -> Json | None:
    """A postal address."""
    if not body:
        return None
    written = {_camel(name): body.get(name) or None for name in COUNTRY_NAMES}
    return {**written, "countryCodeV2": body.get("country_code"), "country": body.get("country")}


def attributes(listed: Any) -> list[Json]:
    """Cart attributes."""
    return [{"key": each["name"], "value": each.get("value")} for each in listed or ()]


def reference(kind: str, number: Any) -> Json | None:
    """An object of which only the id is known."""
    return {"id": gid(kind, number)} if number else None


def money_set(body: Mapping[str, Any] | None) -> Json | None:
    """An amount in both currencies; amounts lose zeros at their end, as in the Admin API."""
    if not body:
        return None
    shop = body["shop_money"]
    return {"shopMoney": _money(shop), "presentmentMoney": _money(body["presentment_money"])}


def plain_set(body: Mapping[str, Any], name: str) -> Json:
    """A checkout's amount, whose two currencies are one here."""
    written = _money({"amount": body.get(name) or "0", "currency_code": body.get("currency")})
    return {"shopMoney": written, "presentmentMoney": written}


def scaled(like: Mapping[str, Any] | None, value: float) -> Json | None:
    """`value` in shop money, and as much in the buyer's, by the rate of another amount."""
    if not like:
        return None
    shop, shown = like["shop_money"], like["presentment_money"]
    rate = float(shown["amount"]) / float(shop["amount"]) if float(shop["amount"]) else 1.0
    return {
        "shopMoney": _money({**shop, "amount": f"{value:.2f}"}),
        "presentmentMoney": _money({**shown, "amount": f"{value * rate:.2f}"}),
    }


def amount(body: Mapping[str, Any] | None) -> float:
    """Its shop money."""
    return float(body["shop_money"]["amount"]) if body else 0.0


def gid(kind: str, number: Any) -> str:
    """As the Admin API names things."""
    return f"gid://shopify/{kind}/{number}"


def utc(text: str) -> str:
    """Whole seconds, in UTC."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _transaction(body: Mapping[str, Any], rate: float, order_body: Mapping[str, Any]) -> Json:
    paid, currency = float(body["amount"]), body.get("currency") or order_body.get("currency")
    shop = paid if currency == order_body.get("currency") else paid / rate
    shown = order_body.get("presentment_currency") or currency
    return {
        "id": gid("OrderTransaction", body["id"]),
        "kind": str(body.get("kind", "")).upper(),
        "status": str(body.get("status", "")).upper(),
        "processedAt": utc(body.get("processed_at") or body["created_at"]),
        "amountSet": {
            "shopMoney": _money(
                {"amount": f"{shop:.2f}", "currency_code": order_body.get("currency")}
            ),
            "presentmentMoney": _money({"amount": f"{shop * rate:.2f}", "currency_code": shown}),
        },
    }


def _rate(order_body: Mapping[str, Any]) -> float:
    total = order_body.get("total_price_set")
    if not total or not float(total["shop_money"]["amount"]):
        return 1.0
    return float(total["presentment_money"]["amount"]) / float(total["shop_money"]["amount"])


def _money(body: Mapping[str, Any]) -> Json:
    text = str(body["amount"])
    whole, _, rest = text.partition(".")
    return {"amount": f"{whole}.{rest.rstrip('0') or '0'}", "currencyCode": body["currency_code"]}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
