"""Chooses the shop that a command works on."""

from orderwire.operation.refused import Refused
from orderwire.settings.program import Settings, ShopSettings
from orderwire.settings.sources import shop_domain


def one_shop(settings: Settings, name: str) -> ShopSettings:
    """The shop of this name; without a name the only one there is. Raises Refused."""
    if not settings.shops:
        raise Refused("no shop is configured: set SHOPIFY_SHOP and SHOPIFY_WEBHOOK_SECRET")
    if not name and len(settings.shops) == 1:
        return next(iter(settings.shops.values()))
    known = ", ".join(sorted(settings.shops)[:5])
    if not name:
        raise Refused(f"several shops are configured: name one with --shop, such as {known}")
    found = settings.shops.get(shop_domain(name))
    if found is None:
        raise Refused(f"{name} is not configured; there are {known}")
    return found
