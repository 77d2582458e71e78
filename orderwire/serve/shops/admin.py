"""Makes a shop's client of the Admin API from its settings. The only place that chooses a token."""

from ingest.shopify.admin.client import PATIENCE_S, AdminClient
from ingest.shopify.admin.token_pair import StoredPair
from ingest.shopify.admin.tokens import (
    ClientCredentials,
    Grant,
    RefreshedToken,
    StaticToken,
    Tokens,
)
from orderwire.settings.program import ConfigurationError, ShopSettings
from stream.store.contract import Store


def admin_tokens(shop: ShopSettings, store: Store | None) -> Tokens:
    """Where the shop's tokens come from; only tokens that are refreshed need a store.

    Raises ConfigurationError.
    """
    if shop.refresh_token is not None and store is not None:
        return RefreshedToken(
            _grant(shop), StoredPair(store, shop.domain, shop.refresh_token.get_secret_value())
        )
    if shop.admin_token is not None:
        return StaticToken(shop.admin_token.get_secret_value())
    return ClientCredentials(_grant(shop))


def admin_client(
    shop: ShopSettings, store: Store | None, *, patience_s: float = PATIENCE_S
) -> AdminClient:
    """The shop's Admin API. Raises ConfigurationError."""
    return AdminClient(shop.admin_graphql_url, admin_tokens(shop, store), patience_s=patience_s)


def _grant(shop: ShopSettings) -> Grant:
    if shop.client_id is None or shop.client_secret is None:
        raise ConfigurationError(
            f"{shop.domain}: set SHOPIFY_ADMIN_TOKEN, or SHOPIFY_CLIENT_ID and"
            " SHOPIFY_CLIENT_SECRET of an app made in Shopify's Dev Dashboard"
        )
    return Grant(shop.admin_token_url, shop.client_id, shop.client_secret.get_secret_value())
