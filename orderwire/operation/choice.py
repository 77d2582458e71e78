"""Which shop a command is about."""

from orderwire.operation.output import Refused
from orderwire.settings.program import Settings, ShopSettings
from orderwire.settings.sources import shop_domain


def chosen_shop(settings: Settings, named: str) -> ShopSettings:
    """The shop named, or the only one there is. Raises Refused."""
    shops = settings.shops
    if not named:
        if len(shops) == 1:
            return next(iter(shops.values()))
        raise Refused(
            "no shop is configured: set SHOPIFY_SHOP, or write orderwire.toml"
            if not shops
            else f"say which shop: --shop {' or '.join(sorted(shops)[:3])}"
        )
    found = shops.get(shop_domain(named))
    if found is None:
        raise Refused(f"{shop_domain(named)} is not configured; see orderwire.toml")
    return found
