"""A shop that is to be forgotten leaves no token, no window and no order id of the Admin API."""

from ingest.shopify.admin.past.progress import ORDERS, Progress
from ingest.shopify.admin.past.windows import TimeSpan
from ingest.shopify.admin.token_pair import StoredPair, TokenPair
from orderwire.serve.reconcile.forgetting import TABLES, forget_admin
from processors.privacy.subject import Subject
from stream.store.sql.store import SqlStore
from tests.support.shopify.admin_shop import SHOP

OTHER = "other.myshopify.com"


def rows(store: SqlStore, shop: str) -> int:
    with store.snapshot() as snapshot:
        return sum(
            int(snapshot.query(f"SELECT count(*) FROM {table} WHERE shop = :shop", shop=shop)[0][0])
            for table in TABLES
        )


def test_a_shop_is_forgotten_and_others_are_not(store: SqlStore) -> None:
    for shop in (SHOP, OTHER):
        Progress(store, shop).add(ORDERS, [TimeSpan(0, 10), TimeSpan(10, 20)])
        StoredPair(store, shop, "first").replace(None, lambda _: TokenPair("a", "b", 1))
    assert forget_admin(store, SHOP, Subject("00", everybody=True)) == 3
    assert (rows(store, SHOP), rows(store, OTHER)) == (0, 3)


def test_of_a_customer_nothing_is_kept_here(store: SqlStore) -> None:
    Progress(store, SHOP).add(ORDERS, [TimeSpan(0, 10)])
    assert forget_admin(store, SHOP, Subject("00")) == 0
    assert rows(store, SHOP) == 1
