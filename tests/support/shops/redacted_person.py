"""One person with everything that a shop sends about them, beside a simulated shop's others."""

import json
from datetime import timedelta
from typing import Any

from multidict import CIMultiDict

from ingest.pixel.post import read_post
from ingest.shopify import webhooks as shopify
from stream.record import Record
from tests.support.delivery.capi_orders import body
from tests.support.shops.shop_world import NOW, NOW_MS, SHOP

CUSTOMER, OTHER_ID, ORDERS = 7_123_456_789, 7_999_888_777, (8_001_000_001, 8_001_000_002)
EMAIL, PHONE = "Zoe.OConnor@Example.com", "+33612345678"
TOKENS = ("c0ffee00c0ffee00c0ffee00c0ffee01", "c0ffee00c0ffee00c0ffee00c0ffee02")
CART = "ca47ca47ca47ca47ca47ca47ca47ca47"
CLICK = "IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk"
FBP, BROWSER = "fb.1.1790000000123.1116446470", "Mozilla/5.0 (ZoePhone; one of its kind)"
IDENTIFIERS = (
    *(EMAIL, EMAIL.lower(), PHONE, PHONE[1:], "612345678", str(CUSTOMER), str(OTHER_ID)),
    *(*TOKENS, CART, CLICK, FBP, BROWSER, "203.0.113.77", "Zoë", "Zo\\u00eb", "Connor"),
    *("Saint-Étienne", "Saint-\\u00c9tienne"),
)
"""What must be nowhere afterwards, as texts; in any JSON spelling."""


def delivery(topic: str, answer: dict[str, Any], at_ms: int, secret_id: str) -> Record:
    headers = CIMultiDict(
        {"X-Shopify-Topic": topic, "X-Shopify-Webhook-Id": secret_id, "X-Shopify-Shop-Domain": SHOP}
    )
    return shopify.identify(SHOP, headers, json.dumps(answer).encode(), at_ms).record


def order(number: int, customer: int = CUSTOMER, **changes: Any) -> dict[str, Any]:
    made = NOW - timedelta(days=3 - number)
    return body(
        ORDERS[number],
        made,
        checkout_token=TOKENS[number],
        cart_token=CART,
        email=EMAIL,
        phone=PHONE,
        customer={"id": customer, "email": EMAIL, "first_name": "Zoë", "phone": PHONE},
        client_details={"browser_ip": "203.0.113.77", "user_agent": BROWSER},
        **changes,
    )


def checkout(token: str) -> dict[str, Any]:
    made = (NOW - timedelta(days=4)).isoformat()
    return {
        "token": token,
        "cart_token": CART,
        "email": EMAIL,
        "customer": {"id": CUSTOMER},
        "created_at": made,
        "updated_at": made,
        "currency": "EUR",
        "total_price": "59.90",
        "abandoned_checkout_url": f"https://{SHOP}/548/checkouts/ac/{CART}/recover?key=secret",
    }


def records() -> list[Record]:
    """Everything of theirs: orders of two ids that were merged, an abandoned checkout, a post of
    the browser, and a record that cannot be understood."""
    pixel = {
        "shop": SHOP,
        "event": "checkout_completed",
        "checkout_token": TOKENS[1],
        "user_agent": BROWSER,
        "fbp": FBP,
    }
    merged = {
        "status": "completed",
        "admin_graphql_api_customer_kept_id": f"gid://shopify/Customer/{CUSTOMER}",
        "admin_graphql_api_customer_deleted_id": f"gid://shopify/Customer/{OTHER_ID}",
    }
    at = NOW_MS - 1_000
    return [
        delivery("checkouts/create", checkout(TOKENS[0]), at, "p-1"),
        delivery("orders/create", order(0, OTHER_ID), at, "p-2"),
        delivery("orders/paid", order(1), at, "p-3"),
        delivery("customers/merge", merged, at, "p-4"),
        delivery("checkouts/create", checkout("deadbeef" * 4), at, "p-5"),
        delivery("orders/paid", order(1) | {"processed_at": "yesterday"}, at, "p-6"),
        read_post(json.dumps(pixel).encode(), {SHOP}, at),
    ]


def request(topic: str = "customers/redact", at_ms: int = NOW_MS) -> Record:
    """Shopify's, as documented."""
    answer = {
        "shop_id": 954889,
        "shop_domain": SHOP,
        "customer": {"id": CUSTOMER, "email": EMAIL, "phone": PHONE},
        "orders_to_redact": [ORDERS[0]],
        "orders_requested": [ORDERS[0]],
        "data_request": {"id": 9999},
    }
    return delivery(topic, answer, at_ms, f"r-{topic.replace('/', '-')}")
