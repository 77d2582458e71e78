"""Subscribes a shop, and keeps its address, by which the watchdog restores what Shopify removed."""

from typing import NamedTuple
from urllib.parse import urlsplit

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.subscriptions import (
    RefusedChange,
    Subscription,
    SubscriptionChange,
    Wanted,
    apply,
    difference,
    elsewhere,
    listed,
)
from orderwire.operation.refused import Refused
from orderwire.settings.program import ShopSettings
from stream.store.contract import Reading, Transaction

PATH = "/webhooks/shopify"


class Subscribed(NamedTuple):
    """What was done, or would be."""

    changes: list[SubscriptionChange]
    problems: list[RefusedChange]
    """Of changes that Shopify refused."""
    elsewhere: list[Subscription]
    """Of other addresses, left as they are."""


def checked(url: str) -> str:
    """The address as Shopify takes it. Raises Refused."""
    parts = urlsplit(url.strip())
    if parts.scheme != "https" or not parts.hostname:
        raise Refused(f"{url}: Shopify delivers to https addresses only")
    if parts.path.rstrip("/") in ("",):
        raise Refused(f"{url}: the receiver listens at {PATH}: https://{parts.netloc}{PATH}")
    return url.strip().rstrip("/")


def subscribe(
    client: AdminClient, wanted: tuple[Wanted, ...], uri: str, *, dry_run: bool
) -> Subscribed:
    """Make what exists equal to what is wanted. Raises AdminError."""
    found = listed(client)
    changes = difference(found, wanted, uri)
    problems = [] if dry_run or not changes else apply(client, changes, uri)
    return Subscribed(changes, problems, elsewhere(found, uri))


def secret_warning(shop: ShopSettings) -> str:
    """What to do so that deliveries to these subscriptions are not refused; "" if nothing.

    An app's deliveries are signed with its client secret, those of webhooks made by hand with a
    secret of the shop (docs/facts/shopify.md, "HMAC").
    """
    if shop.client_secret is None:
        return (
            "Deliveries are signed with the app's client secret: SHOPIFY_WEBHOOK_SECRET must hold"
            " it."
        )
    if shop.client_secret.get_secret_value().encode() in shop.webhook_secrets:
        return ""
    return (
        "Deliveries are signed with SHOPIFY_CLIENT_SECRET, and would be refused: add it to"
        " SHOPIFY_WEBHOOK_SECRET, behind a comma."
    )


class SubscribedAddress(NamedTuple):
    """Where a shop's webhooks go by `orderwire subscribe`, and since when."""

    uri: str
    since_ms: int


def address(reading: Reading, shop: str) -> SubscribedAddress | None:
    """None where `orderwire subscribe` was never run for the shop."""
    rows = reading.query("SELECT uri, since_ms FROM subscribed WHERE shop = :shop", shop=shop)
    return SubscribedAddress(*rows[0]) if rows else None


def keep(transaction: Transaction, shop: str, uri: str, now_ms: int) -> None:
    """Store the address, to which the watchdog restores subscriptions from now on."""
    transaction.execute(
        "INSERT INTO subscribed (shop, uri, since_ms) VALUES (:shop, :uri, :now)"
        " ON CONFLICT (shop) DO UPDATE SET since_ms ="
        " CASE WHEN subscribed.uri = :uri THEN subscribed.since_ms ELSE :now END, uri = :uri",
        shop=shop,
        uri=uri,
        now=now_ms,
    )


def forget(transaction: Transaction, shop: str) -> None:
    """The shop is on its own again."""
    transaction.execute("DELETE FROM subscribed WHERE shop = :shop", shop=shop)
