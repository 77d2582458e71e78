"""Chooses the webhook subscriptions of a shop: topics, and the fields that something here reads.

No filter: a test order shows the merchant that the connection works, and counts nowhere. Orders
have only the fields that are read, so that less personal data travels, unless a setting names
another field.
"""

from typing import Final

from destinations.meta.settings import ATTRIBUTE, PIXEL_EVENT_ID, CapiSettings, placeholders
from ingest.shopify.admin.subscriptions import Wanted
from orderwire.settings.program import ShopSettings
from processors.shopify.raw_order import FIELDS

WHOLE_ORDERS: Final = ("ORDERS_CREATE", "ORDERS_PAID", "ORDERS_UPDATED", "ORDERS_CANCELLED")
OTHERS: Final = (
    *("ORDERS_DELETE", "REFUNDS_CREATE", "CUSTOMERS_MERGE"),
    *("CHECKOUTS_CREATE", "CHECKOUTS_UPDATE", "CHECKOUTS_DELETE"),
    *("CARTS_CREATE", "CARTS_UPDATE", "APP_UNINSTALLED"),
)
ORDER_FIELDS: Final = FIELDS
"""With `id`, `admin_graphql_api_id` and `updated_at`, without which Shopify drops deliveries that
look alike (docs/facts/shopify-admin.md, "Webhook subscriptions")."""


def wanted(shop: ShopSettings) -> tuple[Wanted, ...]:
    """The subscriptions that the shop should have."""
    fields = tuple(sorted(ORDER_FIELDS)) if _named(shop) <= ORDER_FIELDS else ()
    return (
        *(Wanted(topic, fields) for topic in WHOLE_ORDERS),
        *(Wanted(topic) for topic in OTHERS),
    )


def _named(shop: ShopSettings) -> set[str]:
    """Fields of the order that the shop's settings name: the first part of each path."""
    found = set[str]()
    for account in shop.destinations.values():
        if isinstance(settings := account.settings, CapiSettings):
            names = [*placeholders(settings.event_id), settings.consent or ""]
            found |= {
                name.partition(".")[0] for name in names if name and not name.startswith(ATTRIBUTE)
            }
    return found - {"order_id", PIXEL_EVENT_ID.partition(".")[0]}


def topic_name(topic: str) -> str:
    """`ORDERS_CREATE` as webhooks have it: `orders/create`."""
    return topic.lower().replace("_", "/", 1)
