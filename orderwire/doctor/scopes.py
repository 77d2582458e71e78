"""Which scopes the Admin API's token lacks, and what the lack of each costs."""

from collections.abc import Iterable
from contextlib import closing

from ingest.shopify.admin.access import LOST, ORDERS, read_access
from ingest.shopify.admin.errors import AdminError
from orderwire.doctor import Line, fix, hint, ok
from orderwire.serve.shops.admin import admin_client
from orderwire.settings.program import ConfigurationError, ShopSettings
from stream.store.contract import Store, StoreError

PATIENCE_S = 8.0


def scope_lines(shops: Iterable[ShopSettings], store: Store | None) -> list[Line]:
    """One line per scope that a shop's token lacks. Without a store no token is refreshed."""
    return [
        line
        for shop in shops
        if shop.has_admin_api and (store is not None or shop.refresh_token is None)
        for line in _of(shop, store)
    ]


def _of(shop: ShopSettings, store: Store | None) -> list[Line]:
    try:
        with closing(admin_client(shop, store, patience_s=PATIENCE_S)) as client:
            access = read_access(client)
    except (AdminError, ConfigurationError, StoreError) as error:
        return [fix(shop.domain, f"scopes of the Admin API: {error}")]
    lines = [
        (fix if scope == ORDERS else hint)(shop.domain, f"without the scope {scope} {LOST[scope]}")
        for scope in access.missing
    ]
    if not access.personal and ORDERS in access.scopes:
        lines.append(
            hint(
                shop.domain,
                "the app is not approved for protected customer data: orders read come without"
                " names, addresses and e-mail, and guests are not recognised",
            )
        )
    return lines or [ok(shop.domain, "the Admin API's token has every scope that orderwire uses")]
