"""Orders for the CAPI tests: one plausible JSON body, changed where a test says so, and the record
that carries it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from destinations.delivery.account import Account
from destinations.delivery.outbox import OutboxProcessor
from destinations.delivery.protocol import Context
from destinations.meta.destination import MetaDestination
from destinations.meta.event.events import MetaEvents
from destinations.meta.settings import CapiSettings
from processors.shopify.orders import Order, order
from stream.record import Record

SHOP = "example.myshopify.com"
PIXEL = "1234567890"
ACCOUNT = "meta"
TOKEN = "EAAGm0PX4ZCpsBAKZCverysecrettoken"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
FBCLID = "IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk"


def settings(**changes: Any) -> CapiSettings:
    return CapiSettings(**{"shop": SHOP, "pixel_id": PIXEL, "access_token": TOKEN, **changes})


def accounts(*chosen: CapiSettings) -> list[Account]:
    """Each the account named meta of its shop."""
    return [Account(each.shop, ACCOUNT, "meta", each) for each in chosen]


def destinations(*chosen: CapiSettings) -> list[MetaDestination]:
    return [MetaDestination(account) for account in accounts(*chosen)]


def processor(*chosen: CapiSettings, context: Context = Context()) -> OutboxProcessor:  # noqa: B008
    events = MetaEvents(accounts(*chosen), context)
    return OutboxProcessor("capi", {each.shop for each in chosen}, events, {})


def both(amount: str, presentment: str | None = None) -> dict[str, Any]:
    return {
        "shop_money": {"amount": amount, "currency_code": "EUR"},
        "presentment_money": {
            "amount": presentment or amount,
            "currency_code": "EUR" if presentment is None else "CHF",
        },
    }


def body(
    order_id: int = 1001, made: datetime = NOW - timedelta(minutes=1), **changes: Any
) -> dict[str, Any]:
    """A paid web order of two lines, three units, 59.90 EUR with tax and shipping."""
    address = {
        "first_name": "Zoë",
        "last_name": "O’Connor",
        "phone": "06 12 34 56 78",
        "city": "Saint-Étienne",
        "province_code": "ARA",
        "zip": "42000",
        "country_code": "FR",
    }
    return {
        "id": order_id,
        "admin_graphql_api_id": f"gid://shopify/Order/{order_id}",
        "name": f"#{order_id}",
        "created_at": made.isoformat(),
        "processed_at": made.isoformat(),
        "updated_at": made.isoformat(),
        "currency": "EUR",
        "total_price": "59.90",
        "total_price_set": both("59.90", "56.10"),
        "subtotal_price": "55.00",
        "subtotal_price_set": both("55.00", "51.50"),
        "total_tax": "9.98",
        "total_tax_set": both("9.98", "9.35"),
        "total_shipping_price_set": both("4.90", "4.60"),
        "financial_status": "paid",
        "test": False,
        "cancelled_at": None,
        "source_name": "web",
        "checkout_token": f"ck{order_id}",
        "email": "Zoe.OConnor@Example.com",
        "customer": {
            "id": 7123456789,
            "email": "zoe.oconnor@example.com",
            "first_name": "Zoë",
            "last_name": "O’Connor",
        },
        "billing_address": address,
        "shipping_address": address,
        "client_details": {
            "browser_ip": "203.0.113.7",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        },
        "landing_site": f"/collections/all?utm_source=fb&fbclid={FBCLID}",
        "referring_site": "https://l.facebook.com/l.php?u=secret",
        "order_status_url": "https://shop.example.com/548/orders/abc/authenticate?key=secret",
        "note_attributes": [{"name": "_fbp", "value": "fb.1.1790000000123.1116446470"}],
        "line_items": [
            {
                "variant_id": 41,
                "product_id": 4,
                "sku": "A-1",
                "quantity": 2,
                "price": "20.00",
                "price_set": both("20.00", "18.70"),
            },
            {
                "variant_id": 42,
                "product_id": 4,
                "sku": "A-2",
                "quantity": 1,
                "price": "15.00",
                "requires_shipping": True,
            },
        ],
        **changes,
    }


def record(
    payload: dict[str, Any], received_ms: int = NOW_MS, topic: str = "orders/paid", shop: str = SHOP
) -> Record:
    raw = json.dumps(payload).encode()
    headers = {"source": "shopify", "topic": topic, "shop": shop}
    return Record(
        "orders",
        f"{shop}:{payload.get('id')}",
        f"{payload.get('id')}-{received_ms}",
        received_ms,
        headers,
        raw,
    )


def seen(received_ms: int = NOW_MS, shop: str = SHOP, **changes: Any) -> Order:
    """A delivery of an order as the processor gets it."""
    return order(record(body(**changes), received_ms, shop=shop), {})
