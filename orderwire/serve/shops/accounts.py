"""The accounts of all shops, for senders and answers. Loads no destination's code."""

from collections.abc import Iterable

from destinations.delivery.account import Account
from destinations.delivery.answer import ShownAccount
from destinations.registry import KINDS
from orderwire.settings.program import Settings
from orderwire.settings.shop import ShopSettings


def accounts(settings: Settings, kind: str) -> list[Account]:
    """Every shop's accounts of a kind."""
    return [
        account
        for shop in settings.shops.values()
        for account in shop.destinations.values()
        if account.kind == kind
    ]


def shown(shop: ShopSettings) -> Iterable[ShownAccount]:
    """A shop's accounts in the form that answers use."""
    for account in shop.destinations.values():
        kind = KINDS[account.kind]
        yield ShownAccount(
            shop.domain,
            account.name,
            kind,
            kind.account_id(account.settings),
            kind.max_age_s(account.settings),
        )
