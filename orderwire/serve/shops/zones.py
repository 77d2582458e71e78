"""Time zones of the shops that have one set."""

from zoneinfo import ZoneInfo

from orderwire.settings.program import Settings


def zones(settings: Settings) -> dict[str, ZoneInfo]:
    """By shop."""
    return {domain: shop.zone for domain, shop in settings.shops.items() if shop.zone is not None}
