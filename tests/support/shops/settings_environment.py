"""Settings from given variables in an empty environment."""

from orderwire.settings.program import Settings

BASE = {"SHOPIFY_SHOP": "Example.myshopify.com", "SHOPIFY_WEBHOOK_SECRET": "new-secret, old-secret"}
META = {"META_PIXEL_ID": "123", "META_ACCESS_TOKEN": "token-1234"}
SHOP = "example.myshopify.com"


def load(**variables: str) -> Settings:
    return Settings.load(BASE | variables)
