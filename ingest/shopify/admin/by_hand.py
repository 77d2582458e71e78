"""Says which webhooks a merchant without an app makes by hand, in the words of Shopify's admin, and
what stays missing then (docs/facts/shopify-admin.md, "Webhooks made by hand")."""

from typing import Final

FORMS: Final = (
    ("Order creation", "orders/create"),
    ("Order payment", "orders/paid"),
    ("Order update", "orders/updated"),
    ("Order cancellation", "orders/cancelled"),
    ("Order deletion", "orders/delete"),
    ("Refund create", "refunds/create"),
    ("Checkout creation", "checkouts/create"),
    ("Checkout update", "checkouts/update"),
    ("Checkout deletion", "checkouts/delete"),
    ("Cart creation", "carts/create"),
    ("Cart update", "carts/update"),
)
"""The admin's name of an event, and the topic."""
MISSING: Final = (
    "customers/merge: a customer whose two records are merged goes on counting as two",
    "app/uninstalled and the privacy topics: Shopify sends them to apps only",
    "Shopify Events",
    "last year's orders, the search for missed orders, and subscriptions that restore themselves",
)


def by_hand(uri: str, version: str) -> str:
    """The steps as text, for deliveries to `uri`."""
    width = max(len(name) for name, _ in FORMS)
    forms = "\n".join(f"  {name:<{width}}  ({topic})" for name, topic in FORMS)
    missing = "\n".join(f"- {each}" for each in MISSING)
    return f"""\
Without an app, make {len(FORMS)} webhooks by hand. In Shopify's admin: Settings > Notifications >
Webhooks > Create webhook. Each form takes:

  Event                One of those below.
  Format               JSON
  URL                  {uri}
  Webhook API version  {version}, or the newest that is not a release candidate

{forms}

The page then shows "Your webhooks will be signed with …": that is SHOPIFY_WEBHOOK_SECRET.

What stays missing without an app:

{missing}
"""
