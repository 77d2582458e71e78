"""Writes the example payloads of `tests/golden/payloads`.

    python -m tests.support.shopify.payload_examples

Bodies of orders, refunds, checkouts and carts are the simulated shop's: the first that fits each
name. The short bodies of other topics are written here after docs/facts/shopify.md.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from simulator.shop.shop import ShopSimulator
from tests.support.shopify.golden import GOLDEN, Json

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SHOP = "example.myshopify.com"
VISITS = 3_000
"""So many that each name finds a body; most are found in the first hundred."""

CHOSEN: dict[str, Callable[[Json], Any]] = {
    "orders.create": lambda body: (
        body.get("customer") and body["landing_site"] and body["financial_status"] == "paid"
    ),
    "orders.create.guest": lambda body: body["email"] and not body.get("customer"),
    "orders.create.pos": lambda body: body["source_name"] == "pos",
    "orders.create.draft": lambda body: body["source_name"] == "shopify_draft_order",
    "orders.create.presentment": lambda body: body["presentment_currency"] != body["currency"],
    "orders.create.pending": lambda body: body["financial_status"] == "pending",
    "orders.create.test": lambda body: body["test"],
    "orders.paid": lambda body: body["financial_status"] == "paid",
    "orders.fulfilled": lambda body: True,
    "orders.updated.part_returned": lambda body: (
        body["financial_status"] == "partially_refunded" and body["refunds"]
    ),
    "orders.cancelled": lambda body: body["refunds"],
    "orders.cancelled.unpaid": lambda body: body["financial_status"] == "voided",
    "orders.edited.added": lambda body: body["order_edit"]["line_items"]["additions"],
    "orders.edited.removed": lambda body: body["order_edit"]["line_items"]["removals"],
    "refunds.create": lambda body: body["refund_line_items"],
    "refunds.create.goods_kept": lambda body: not body["refund_line_items"],
    "checkouts.create": lambda body: True,
    "checkouts.update": lambda body: body["email"] and not body["completed_at"],
    "checkouts.update.completed": lambda body: body["completed_at"],
    "carts.create": lambda body: True,
    "carts.update": lambda body: len(body["line_items"]) > 1,
}
"""Name of the example -> whether a body of its topic (the name's first two parts) fits it."""


def simulated() -> dict[str, Json]:
    """The examples that the simulated shop makes, by name."""
    shop = ShopSimulator(1, SHOP, "secret", NOW, 200)
    found: dict[str, Json] = {}
    for number in range(VISITS):
        for delivery in shop.visit(NOW + timedelta(seconds=number)):
            topic = delivery.topic.replace("/", ".")
            for name in CHOSEN.keys() - found.keys():
                if name == topic or name.startswith(f"{topic}."):
                    body = orjson.loads(delivery.body)
                    if CHOSEN[name](body):
                        found[name] = body
        if found.keys() == CHOSEN.keys():
            return found
    raise LookupError(f"the simulated shop made no {sorted(CHOSEN.keys() - found.keys())}")


def short(order: Json, checkout: Json) -> dict[str, Json]:
    """Bodies of topics that the simulated shop does not send, about `order` and `checkout`."""
    customer = order["customer"]
    person = {name: customer[name] for name in ("id", "email", "phone")}
    about_shop = {"shop_id": 954_889, "shop_domain": SHOP}
    merge = {
        "admin_graphql_api_customer_kept_id": customer["admin_graphql_api_id"],
        "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/1",
        "admin_graphql_api_job_id": None,
    }
    failure = {"customer_ids": [1], "field": "merge_in_progress", "message": "is being merged"}
    return {
        "orders.delete": {"id": order["id"]},
        "checkouts.delete": {
            "token": checkout["token"],
            "cart_token": checkout["cart_token"],
            "presentment_currency": checkout["presentment_currency"],
            "total_price": checkout["total_price"],
        },
        "customers.merge": {**merge, "status": "completed", "errors": []},
        "customers.merge.failed": {**merge, "status": "failed", "errors": [failure]},
        "customers.update": customer,
        "customers.data_request": {
            **about_shop,
            "customer": person,
            "orders_requested": [order["id"]],
            "data_request": {"id": 9_999},
        },
        "customers.redact": {**about_shop, "customer": person, "orders_to_redact": [order["id"]]},
        "shop.redact": about_shop,
        "app.uninstalled": {"id": 954_889, "myshopify_domain": SHOP, "domain": None, "email": None},
        "bulk_operations.finish": {
            "admin_graphql_api_id": "gid://shopify/BulkOperation/147595010",
            "created_at": "2026-11-22T07:16:30-05:00",
            "completed_at": "2026-11-22T07:34:56-05:00",
            "error_code": None,
            "status": "completed",
            "type": "query",
        },
        "tender_transactions.create": {
            "id": 220_982_911_946,
            "order_id": order["id"],
            "amount": order["total_price"],
            "currency": order["currency"],
            "processed_at": None,
            "payment_method": "unknown",
        },
    }


def written() -> dict[str, bytes]:
    """Every example as its file has it: indented, so that a change can be reviewed."""
    made = simulated()
    made |= short(made["orders.create"], made["checkouts.create"])
    return {
        name: orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        for name, body in made.items()
    }


def main() -> None:
    made = written()
    folder = GOLDEN / "payloads"
    for file in folder.glob("*.json"):
        file.unlink()
    for name, body in made.items():
        (folder / f"{name}.json").write_bytes(body)


if __name__ == "__main__":
    main()
