"""Makes a shop's webhook subscriptions what they are wanted to be.

Only subscriptions of our own address are changed or deleted. Source: docs/facts/shopify-admin.md,
"Webhook subscriptions".
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.documents import document

Action = Literal["create", "update", "delete"]
TAKEN = "already been taken"
"""Shopify's words where the subscription exists: no error, as a second look at the list shows."""


class Wanted(NamedTuple):
    """A subscription as it should be."""

    topic: str
    """As the Admin API names it: `ORDERS_CREATE`."""
    include_fields: tuple[str, ...] = ()
    """Fields of the body; none for the whole body."""


class Subscription(NamedTuple):
    """A subscription as Shopify has it."""

    id: str
    topic: str
    uri: str
    format: str = "JSON"
    filter: str | None = None
    include_fields: tuple[str, ...] = ()


class SubscriptionChange(NamedTuple):
    """One step from what exists to what is wanted."""

    action: Action
    topic: str
    why: str
    id: str = ""
    wanted: Wanted | None = None


class RefusedChange(NamedTuple):
    """A change that Shopify refused, in its own words."""

    change: SubscriptionChange
    message: str


def listed(client: AdminClient) -> list[Subscription]:
    """All that the app has in the shop. Raises AdminError."""
    pages = client.pages(document("webhook_list"), {}, "webhookSubscriptions")
    return [_read(node) for page in pages for node in page]


def difference(
    found: Iterable[Subscription], wanted: Sequence[Wanted], uri: str
) -> list[SubscriptionChange]:
    """What has to change, creations first, so that a topic is never without a subscription."""
    ours: dict[str, list[Subscription]] = {}
    for each in sorted(found, key=lambda subscription: subscription.id):
        if _same(each.uri, uri):
            ours.setdefault(each.topic, []).append(each)
    creations, updates, deletions = (
        list[SubscriptionChange](),
        list[SubscriptionChange](),
        list[SubscriptionChange](),
    )
    for want in wanted:
        there = ours.pop(want.topic, [])
        if not there:
            creations.append(SubscriptionChange("create", want.topic, "missing", wanted=want))
            continue
        kept = next((each for each in there if not _unlike(each, want)), there[0])
        if why := _unlike(kept, want):
            updates.append(SubscriptionChange("update", want.topic, why, kept.id, want))
        deletions += [
            SubscriptionChange("delete", want.topic, "there twice", each.id)
            for each in there
            if each.id != kept.id
        ]
    deletions += [
        SubscriptionChange("delete", each.topic, "not used", each.id)
        for rest in ours.values()
        for each in rest
    ]
    return creations + updates + deletions


def elsewhere(found: Iterable[Subscription], uri: str) -> list[Subscription]:
    """Those of other addresses, which are left as they are."""
    return [each for each in found if not _same(each.uri, uri)]


def apply(
    client: AdminClient, changes: Sequence[SubscriptionChange], uri: str
) -> list[RefusedChange]:
    """Make the changes; those that Shopify refuses stop no other. Raises AdminError."""
    problems = []
    for change in changes:
        if change.action == "delete":
            data = client.query(document("webhook_delete"), {"id": change.id})
            payload = data["webhookSubscriptionDelete"]
        elif change.action == "create":
            variables = {"topic": change.topic, "subscription": _input(change, uri)}
            data = client.query(document("webhook_create"), variables)
            payload = data["webhookSubscriptionCreate"]
        else:
            variables = {"id": change.id, "subscription": _input(change, uri)}
            data = client.query(document("webhook_update"), variables)
            payload = data["webhookSubscriptionUpdate"]
        messages = [str(error["message"]) for error in payload["userErrors"]]
        if messages and not any(TAKEN in message for message in messages):
            problems.append(RefusedChange(change, "; ".join(messages)))
    return problems


def _input(change: SubscriptionChange, uri: str) -> dict[str, Any]:
    fields = list(change.wanted.include_fields) if change.wanted is not None else []
    if change.action == "update":
        # An empty filter and an empty list take away what was set; what is not named would stay.
        return {"uri": uri, "format": "JSON", "filter": "", "includeFields": fields}
    return {"uri": uri, "format": "JSON", **({"includeFields": fields} if fields else {})}


def _unlike(found: Subscription, wanted: Wanted) -> str:
    """What is not as wanted; "" where all is."""
    if found.format != "JSON":
        return f"its format is {found.format}"
    if found.filter:
        return "it has a filter"
    return _fields(set(found.include_fields), set(wanted.include_fields))


def _fields(found: Collection[str], wanted: Collection[str]) -> str:
    if found == wanted:
        return ""
    if not wanted:
        return "it leaves fields out"
    lacking = sorted(set(wanted) - set(found))
    if not found or not lacking:
        return "it sends fields that nothing reads"
    return f"it leaves out {', '.join(lacking[:3])}{', …' if len(lacking) > 3 else ''}"


def _same(uri: str, other: str) -> bool:
    """Whether two addresses are one, whatever the case of their host and a closing slash."""
    return _plain(uri) == _plain(other)


def _plain(uri: str) -> str:
    scheme, separator, rest = uri.rstrip("/").partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{separator}{host.lower().removesuffix(':443')}{slash}{path}"


def _read(node: dict[str, Any]) -> Subscription:
    return Subscription(
        id=node["id"],
        topic=node["topic"],
        uri=node["uri"],
        format=node["format"],
        filter=node["filter"] or None,
        include_fields=tuple(node["includeFields"] or ()),
    )
