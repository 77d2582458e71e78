"""GraphQL bodies of an order and its refunds (Admin API, Shopify Events), made from the same sale
as the classic bodies (docs/facts/shopify-admin.md, "Classic names and GraphQL names")."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from simulator.shop.sale import Line, Sale, tax
from simulator.shop.written import Json, Prices, gid
from stream.money import minor

STOREFRONT = "https://shop.example"


def utc(moment: datetime) -> str:
    """As GraphQL has times: whole seconds and Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Bodies:
    """Writes one sale's GraphQL objects, all their fields whatever a query selects."""

    def __init__(self, sale: Sale, note_attributes: Sequence[Json], zone: str) -> None:
        self._sale, self._attributes, self._zone = sale, note_attributes, zone
        self._prices = Prices(sale.currency, sale.presentment, sale.rate)

    def event(self, *, lines: int | None = None, action: str = "update") -> Json:
        """A delivery of the topic Order; `lines` is the page's size."""
        return {
            "topic": "Order",
            "action": action,
            "handle": "orderwire-order",
            "fields_changed": {"added": [], "updated": [], "removed": []},
            "query_variables": {"orderId": gid("Order", self._sale.order_id)},
            "data": {"order": self.order(lines), "shop": {"ianaTimezone": self._zone}},
        }

    def refund_event(self, classic: Json) -> Json:
        """A delivery of the topic Refund; `classic` is the refund in the classic shape."""
        order = {"id": gid("Order", self._sale.order_id), "currencyCode": self._sale.currency}
        return {
            "topic": "Refund",
            "action": "create",
            "handle": "orderwire-refund",
            "fields_changed": {"added": [], "updated": [], "removed": []},
            "query_variables": {"refundId": gid("Refund", classic["id"])},
            "data": {"refund": {**self.refund(classic), "order": order}},
        }

    def order(self, lines: int | None = None) -> Json:
        """Type Order."""
        sale, person = self._sale, self._sale.person
        web, draft = sale.source_name == "web", sale.source_name == "shopify_draft_order"
        subtotal, current = sale.subtotal, sale.current_subtotal
        cancelled = sale.cancelled is not None
        current = 0 if cancelled else current
        discounts = sum(line.discount for line in sale.lines)
        email = person.email if person is not None and not draft else None
        address = _address(person.address) if person is not None and web and not draft else None
        return {
            "id": gid("Order", sale.order_id),
            "legacyResourceId": str(sale.order_id),
            "name": f"#{sale.number}",
            "number": sale.number,
            "createdAt": utc(sale.created),
            "processedAt": utc(sale.created),
            "updatedAt": utc(sale.updated),
            "cancelledAt": utc(sale.cancelled) if sale.cancelled else None,
            "cancelReason": sale.cancel_reason.upper() if sale.cancel_reason else None,
            "test": sale.test,
            "confirmed": True,
            "sourceName": sale.source_name,
            "displayFinancialStatus": sale.financial_status.upper(),
            "displayFulfillmentStatus": "UNFULFILLED",
            "currencyCode": sale.currency,
            "presentmentCurrencyCode": sale.presentment,
            "taxesIncluded": False,
            "cartToken": sale.cart_token,
            "checkoutToken": sale.checkout_token,
            "customerLocale": "en" if web else None,
            "discountCodes": ["WELCOME"] if discounts else [],
            "tags": [],
            "note": None,
            "email": email,
            "phone": None,
            "clientIp": person.ip if web and person else None,
            "statusPageUrl": f"{STOREFRONT}/orders/{sale.order_id:032x}/authenticate"
            if address
            else None,
            "customAttributes": [
                {"key": each["name"], "value": each["value"]} for each in self._attributes
            ],
            "totalPriceSet": self._bag(sale.total),
            "currentTotalPriceSet": self._bag(0 if cancelled else sale.current_total),
            "subtotalPriceSet": self._bag(subtotal),
            "currentSubtotalPriceSet": self._bag(current),
            "totalTaxSet": self._bag(tax(subtotal)),
            "currentTotalTaxSet": self._bag(tax(current)),
            "totalDiscountsSet": self._bag(discounts),
            "totalShippingPriceSet": self._bag(sale.shipping),
            "totalRefundedSet": self._bag(self._given_back()),
            "shippingLine": {"discountedPriceSet": self._bag(sale.shipping), "taxLines": []}
            if web
            else None,
            "customer": self._customer() if email and not sale.guest else None,
            "billingAddress": address,
            "shippingAddress": address,
            "customerJourneySummary": self._journey() if web else None,
            "refunds": [self.refund(classic) for classic in sale.refunds],
            "lineItems": _page([self._line(line) for line in sale.lines], lines),
        }

    def refund(self, classic: Json) -> Json:
        """Type Refund, from a refund object in the classic shape."""
        money = sum((self._amount(each["amount"]) for each in classic["transactions"]), 0)
        return {
            "id": classic["admin_graphql_api_id"],
            "createdAt": utc(datetime.fromisoformat(classic["created_at"])),
            "processedAt": utc(datetime.fromisoformat(classic["processed_at"])),
            "updatedAt": utc(datetime.fromisoformat(classic["created_at"])),
            "totalRefundedSet": self._bag(money),
            "refundLineItems": _page(
                [
                    {
                        "quantity": each["quantity"],
                        "lineItem": {"id": gid("LineItem", each["line_item_id"])},
                        "subtotalSet": _camel(each["subtotal_set"]),
                        "totalTaxSet": _camel(each["total_tax_set"]),
                    }
                    for each in classic["refund_line_items"]
                ]
            ),
            "refundShippingLines": _page(
                [
                    {
                        "subtotalAmountSet": _camel(each["subtotal_amount_set"]),
                        "taxAmountSet": self._bag(0),
                    }
                    for each in classic["refund_shipping_lines"]
                ]
            ),
            "orderAdjustments": _page([]),
            "transactions": _page(
                [
                    {
                        "kind": "REFUND",
                        "status": "SUCCESS",
                        "processedAt": utc(datetime.fromisoformat(classic["processed_at"])),
                        "amountSet": self._bag(self._amount(each["amount"])),
                    }
                    for each in classic["transactions"]
                ]
            ),
        }

    def _given_back(self) -> int:
        return sum(
            self._amount(each["amount"])
            for classic in self._sale.refunds
            for each in classic["transactions"]
        )

    def _amount(self, text: str) -> int:
        return minor(text, self._sale.currency)

    def _bag(self, units: int) -> Json:
        return _camel(self._prices.set(units))

    def _line(self, line: Line) -> Json:
        product = line.product
        return {
            "id": gid("LineItem", line.line_id),
            "sku": product.sku,
            "quantity": line.quantity or line.current,
            "currentQuantity": line.current,
            "requiresShipping": True,
            "variant": {"id": gid("ProductVariant", product.variant_id)},
            "product": {"id": gid("Product", product.product_id)},
            "customAttributes": [],
            "originalUnitPriceSet": self._bag(product.price),
        }

    def _customer(self) -> Json | None:
        person = self._sale.person
        if person is None:
            return None
        return {
            "id": gid("Customer", person.customer_id),
            "createdAt": None,
            "state": "DISABLED",
            "firstName": person.first_name,
            "lastName": person.last_name,
            "defaultEmailAddress": {
                "emailAddress": person.email,
                "marketingState": "NOT_SUBSCRIBED",
            },
            "defaultPhoneNumber": {"phoneNumber": person.phone} if person.phone else None,
            "defaultAddress": _address(person.address),
        }

    def _journey(self) -> Json:
        arrival = self._sale.arrival
        landing = arrival.landing_site
        visit = {
            "landingPage": STOREFRONT + landing if landing else None,
            "referrerUrl": arrival.referring_site,
        }
        return {"ready": True, "firstVisit": visit, "lastVisit": visit}


def _page(found: list[Json], first: int | None = None) -> Json:
    cut = found if first is None else found[:first]
    more = len(cut) < len(found)
    return {"nodes": cut, "pageInfo": {"hasNextPage": more, "endCursor": str(len(cut))}}


def _camel(amounts: Any) -> Json:
    """A MoneyBag. GraphQL writes whole amounts with one digit: "10.0"."""
    return {
        name: {
            "amount": _short(amounts[classic]["amount"]),
            "currencyCode": amounts[classic]["currency_code"],
        }
        for name, classic in (
            ("shopMoney", "shop_money"),
            ("presentmentMoney", "presentment_money"),
        )
    }


def _short(amount: str) -> str:
    whole, _, fraction = amount.partition(".")
    return f"{whole}.{fraction.rstrip('0') or '0'}"


def _address(address: Json) -> Json:
    return {
        "firstName": address.get("first_name"),
        "lastName": address.get("last_name"),
        "phone": address.get("phone"),
        "city": address.get("city"),
        "provinceCode": address.get("province_code"),
        "zip": address.get("zip"),
        "countryCodeV2": address.get("country_code"),
    }
