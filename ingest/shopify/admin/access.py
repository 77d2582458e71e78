"""Finds out what a token may read, and what is lost without each scope."""

from dataclasses import dataclass

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.documents import CUSTOMERS, PERSONAL, PRODUCTS, document
from ingest.shopify.admin.errors import AccessDenied

ORDERS, ALL_ORDERS = "read_orders", "read_all_orders"
RECENT_DAYS = 60
"""Older orders are absent without `read_all_orders`, and no error says so."""
LOST = {
    ORDERS: "no order and no abandoned checkout can be read: no backfill, no reconcile",
    ALL_ORDERS: f"orders older than {RECENT_DAYS} days cannot be read, so a backfill ends there",
    CUSTOMERS: "orders read come without their customer: repeat buyers count as guests",
    PRODUCTS: "lines read come without product and variant: content_ids are SKUs only",
}
"""Scope -> what its lack costs."""


@dataclass(frozen=True, slots=True)
class ReadAccess:
    """The scopes of a token; `zone` is the shop's IANA time zone."""

    scopes: frozenset[str]
    zone: str
    currency: str
    personal: bool = True
    """Whether protected customer data (names, addresses, e-mail) is approved."""

    @property
    def missing(self) -> list[str]:
        """Scopes of `LOST` that it lacks."""
        return [scope for scope in LOST if scope not in self.scopes]

    @property
    def without(self) -> frozenset[str]:
        """What documents must leave out."""
        lacking = {CUSTOMERS, PRODUCTS} - self.scopes
        return frozenset(lacking if self.personal else {*lacking, PERSONAL})


def read_access(client: AdminClient) -> ReadAccess:
    """Ask what the token may read. Raises AdminError."""
    installation = client.query(document("access"))
    scopes = frozenset(
        each["handle"] for each in installation["currentAppInstallation"]["accessScopes"]
    )
    shop = installation["shop"]
    return ReadAccess(scopes, shop["ianaTimezone"], shop["currencyCode"], _personal(client, scopes))


def _personal(client: AdminClient, scopes: frozenset[str]) -> bool:
    """Found out with one order: no list says which data is approved."""
    if ORDERS not in scopes:
        return False
    try:
        client.query(
            "query Personal { orders(first: 1) { nodes { email phone billingAddress { zip } } } }"
        )
    except AccessDenied:
        return False
    return True
