"""Webhook subscriptions: listed, created, updated, deleted, with the userErrors that were recorded
(docs/facts/shopify-admin.md, "Webhook subscriptions")."""

from typing import Any

from simulator.admin.books import Json
from simulator.admin.documents import Page, decode
from simulator.admin.world import World

CLIENT_DATA = (
    "This app is not approved to subscribe to webhook topics containing protected customer data."
)
NEEDED = (
    ("ORDERS_", "read_orders"),
    ("REFUNDS_", "read_orders"),
    ("CHECKOUTS_", "read_orders"),
    ("CARTS_", "read_orders"),
    ("CUSTOMERS_", "read_customers"),
)
"""Scopes by the beginning of a topic."""


def listed(world: World, arguments: dict[str, Any]) -> Page:
    """`webhookSubscriptions`, by id."""
    found = sorted(world.books.subscriptions.values(), key=lambda each: str(each["id"]))
    if uri := arguments.get("uri"):
        found = [each for each in found if each["uri"] == uri]
    if after := arguments.get("after"):
        found = [each for each in found if str(each["id"]) > decode(after)]
    first = arguments.get("first") or 50
    return Page(found[:first], has_next=len(found) > first)


def create(world: World, arguments: dict[str, Any]) -> Json:
    """`webhookSubscriptionCreate`."""
    topic, asked = arguments["topic"], arguments["webhookSubscription"]
    uri = asked.get("uri") or ""
    if bad := _refusal(world, topic, uri):
        return _payload(None, bad)
    taken = (topic, uri)
    if any((each["topic"], each["uri"]) == taken for each in world.books.subscriptions.values()):
        return _payload(None, "Address for this topic has already been taken")
    number = 1 + max(
        (int(each.rpartition("/")[2]) for each in world.books.subscriptions), default=1000
    )
    gid = f"gid://shopify/WebhookSubscription/{number}"
    made = {"id": gid, "topic": topic, "uri": uri, **_settings(world, asked)}
    world.books.subscriptions[gid] = made
    return _payload(made, "")


def update(world: World, arguments: dict[str, Any]) -> Json:
    """`webhookSubscriptionUpdate`: what is not named stays."""
    found = world.books.subscriptions.get(arguments["id"])
    if found is None:
        return _payload(None, "Webhook subscription does not exist")
    asked = arguments["webhookSubscription"]
    uri = asked.get("uri") or found["uri"]
    if bad := _refusal(world, found["topic"], uri):
        return _payload(None, bad)
    made = {**found, "uri": uri, **_settings(world, asked)}
    world.books.subscriptions[found["id"]] = made
    return _payload(made, "")


def delete(world: World, arguments: dict[str, Any]) -> Json:
    """`webhookSubscriptionDelete`."""
    if world.books.subscriptions.pop(arguments["id"], None) is None:
        error = {"field": ["id"], "message": "Webhook subscription does not exist"}
        return {"deletedWebhookSubscriptionId": None, "userErrors": [error]}
    return {"deletedWebhookSubscriptionId": arguments["id"], "userErrors": []}


def _settings(world: World, asked: Json) -> Json:
    return {
        "format": asked.get("format") or "JSON",
        "filter": asked.get("filter") or "",
        "includeFields": asked.get("includeFields") or [],
        "apiVersion": {"handle": world.version, "displayName": world.version, "supported": True},
    }


def _refusal(world: World, topic: str, uri: str) -> str:
    if not uri:
        return "Address can't be blank"
    if uri.startswith("http://"):
        return "Address protocol http:// is not supported"
    needed = next((scope for start, scope in NEEDED if topic.startswith(start)), None)
    if needed is not None and needed not in world.access.scopes:
        return (
            "You do not have permission to create or update webhooks with"
            f" {topic.lower().replace('_', '/', 1)} topic."
        )
    if needed is not None and not world.access.approved:
        return CLIENT_DATA
    return ""


def _payload(made: Json | None, bad: str) -> Json:
    # Shopify says `callbackUrl` even where `uri` was sent.
    errors = [{"field": ["webhookSubscription", "callbackUrl"], "message": bad}] if bad else []
    return {"webhookSubscription": made, "userErrors": errors}
