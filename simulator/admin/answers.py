"""Which file answers which field, and the scopes that a field needs.

To add one: a function in `fields/`, a line here, and its type in
`tests/support/shopify/admin_schema.py` where the schema does not have it yet.
"""

from simulator.admin.fields import bulk_operations, orders, single, webhooks
from simulator.admin.world import Field

FIELDS: dict[str, Field] = {
    "abandonedCheckouts": orders.abandoned_checkouts,
    "bulkOperation": bulk_operations.one,
    "bulkOperationCancel": bulk_operations.cancel,
    "bulkOperationRunQuery": bulk_operations.run,
    "bulkOperations": bulk_operations.listed,
    "currentAppInstallation": single.current_app_installation,
    "node": single.node,
    "order": single.order,
    "orders": orders.orders,
    "ordersCount": orders.orders_count,
    "refund": single.refund,
    "shop": single.shop,
    "webhookSubscriptionCreate": webhooks.create,
    "webhookSubscriptionDelete": webhooks.delete,
    "webhookSubscriptionUpdate": webhooks.update,
    "webhookSubscriptions": webhooks.listed,
}
ROOT_SCOPES = {
    "abandonedCheckouts": "read_orders",
    "order": "read_orders",
    "orders": "read_orders",
    "ordersCount": "read_orders",
    "refund": "read_orders",
}
PROTECTED = frozenset({"abandonedCheckouts", "order", "orders", "refund"})
"""Fields with customers' data, which a public app needs an approval for."""
