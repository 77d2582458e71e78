"""Which processors run and which topic each reads, without loading the folding code (10 MB)."""

from destinations.registry import KINDS
from orderwire.serve.shops.accounts import accounts
from orderwire.settings.program import Settings

FEEDS: dict[str, str] = {
    **{kind.processor: "orders" for kind in KINDS.values()},
    "orders": "orders",
    "carts": "checkouts",
    "browser": "checkouts",
    "budget_spend": "spend",
    "ad_issues": "ads",
    "contacts": "orders",
    "audits": "audits",
    "parked": "parked",
    "privacy": "privacy",
}
"""Topic by processor, in the order of `orderwire/serve/registry.py`."""

ALWAYS = "meta"
"""Its processor reads without an account too: a shop's first pixel is not sent the orders of
before."""


def keeping_contacts(settings: Settings) -> dict[str, str | None]:
    """The shops whose customers' hashed contacts are kept, each with its own country where that is
    set."""
    return {
        domain: None if shop.capi is None else shop.capi.country
        for domain, shop in settings.shops.items()
        if shop.keep_hashed_contacts
    }


def running(settings: Settings) -> tuple[str, ...]:
    """The processors that these settings ask for, in the order above: every one costs time per
    record, so none runs in vain."""
    idle = {
        kind.processor
        for kind in KINDS.values()
        if kind.name != ALWAYS and not accounts(settings, kind.name)
    }
    if not any(kind.completer and accounts(settings, kind.name) for kind in KINDS.values()):
        idle.add("browser")
    if not keeping_contacts(settings):
        idle.add("contacts")
    if not any(shop.meta_secrets for shop in settings.shops.values()):
        idle.add("ad_issues")
    return tuple(name for name in FEEDS if name not in idle)


def feeds(settings: Settings) -> dict[str, str]:
    """Those of `FEEDS` that run."""
    return {name: FEEDS[name] for name in running(settings)}
