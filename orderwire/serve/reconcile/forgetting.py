"""Deletes what reading from the Admin API has kept of a shop, once the shop is to be forgotten."""

from processors.privacy.subject import Subject
from stream.store.contract import Store

TABLES = (
    *("admin_token", "backfill_window", "missed_order", "reconciled"),
    *("statement_day", "statement_order"),
)


def forget_admin(store: Store, shop: str, subject: Subject) -> int:
    """Rows deleted. Of a single customer nothing is kept here: order ids name nobody."""
    if not subject.everybody:
        return 0
    with store.begin() as transaction:
        return sum(
            transaction.execute(f"DELETE FROM {table} WHERE shop = :shop", shop=shop)
            for table in TABLES
        )
