"""Writes the parts of an app's `shopify.app.toml` that no API sets: scopes, Shopify Events, and the
privacy topics (docs/facts/shopify.md, "Shopify Events" and "Privacy topics")."""

from ingest.shopify.admin.documents import document

SCOPES = ("read_orders", "read_customers", "read_products")
ALL_ORDERS = "read_all_orders"
"""Needs Shopify's approval; without it the Admin API shows the orders of 60 days."""
COMPLIANCE = ("customers/data_request", "customers/redact", "shop/redact")

_TEMPLATE = '''\
# Parts of shopify.app.toml for orderwire: put them in and run `shopify app deploy`.
# Webhooks of checkouts, carts and orders are subscribed by `orderwire subscribe`.

[access_scopes]
# Add {all_orders} once Shopify has approved it: without it only orders of the last 60 days are
# seen by `orderwire backfill`.
scopes = "{scopes}"

[webhooks]
api_version = "{version}"

[[webhooks.subscriptions]]
compliance_topics = [{compliance}]
uri = "{uri}"

# Shopify Events: orders and refunds a second time, by another way. An order delivered by both
# counts once and is sent once.
[events]
api_version = "{version}"

[[events.subscription]]
handle = "orderwire-order"
topic = "Order"
actions = ["create", "update"]
triggers = ["order.*"]
uri = "{uri}"
query = """
{order}
"""

[[events.subscription]]
handle = "orderwire-order-deleted"
topic = "Order"
actions = ["delete"]
uri = "{uri}"

[[events.subscription]]
handle = "orderwire-refund"
topic = "Refund"
actions = ["create", "update"]
triggers = ["refund.*"]
uri = "{uri}"
query = """
{refund}
"""
'''


def app_toml(uri: str, version: str) -> str:
    """The text, for deliveries to `uri`; `version` is the Admin API's."""
    return _TEMPLATE.format(
        all_orders=ALL_ORDERS,
        scopes=",".join(SCOPES),
        version=version,
        compliance=", ".join(f'"{topic}"' for topic in COMPLIANCE),
        uri=uri,
        order=document("order_event"),
        refund=document("refund_event"),
    )
