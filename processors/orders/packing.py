"""Packs orders that nothing changes any more, a page of a shop's orders at a time, once a day."""

from collections.abc import Sequence
from typing import Final

from processors.engine.daily_pass import DAY_MS, Seen
from processors.engine.projection import Projector
from processors.orders.row import ORDERS, SETTLED, OrderRow
from processors.orders.shop import SHOPS
from stream.store.contract import Key, Transaction
from stream.store.packed import FULL

SETTLED_MS: Final = 90 * DAY_MS
"""After the order and its last change: checkouts are forgotten then, and no log holds a delivery.
A later change makes the order's page rows again."""


class OrderPacking:
    """A visit of the daily pass."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector

    def __call__(
        self, transaction: Transaction, shop: str, last: str, at_most: int, now_ms: int
    ) -> Seen:
        """Look at the next orders of a shop, and pack those that are settled."""
        rows = transaction.query(
            "SELECT order_id, processed_ms, updated_us FROM shop_order"
            " WHERE shop = :shop AND order_id > :last ORDER BY order_id LIMIT :at_most",
            shop=shop,
            last=last,
            at_most=at_most,
        )
        old_ms = now_ms - SETTLED_MS
        ids = [row.order_id for row in rows if is_settled(row, old_ms)]
        if ids:
            self._pack(transaction, shop, ids, old_ms)
        return Seen(len(rows), rows[-1].order_id if rows else "")

    def _pack(self, transaction: Transaction, shop: str, ids: Sequence[str], old_ms: int) -> None:
        # Locks out rebuilds and folds of the shop, which read rows and pages one after the other.
        self._projector.begin(transaction, {shop})
        transaction.load(SHOPS, [(shop,)])
        for start in range(0, len(ids), FULL):
            pack(transaction, shop, ids[start : start + FULL], old_ms)


def is_settled(row: OrderRow, old_ms: int) -> bool:
    """Whether neither the order nor a change of it is newer."""
    return row.updated_us >= 0 and row.processed_ms < old_ms and row.updated_us < old_ms * 1_000


def pack(transaction: Transaction, shop: str, ids: Sequence[str], old_ms: int) -> None:
    """Pack these orders of a locked shop, ascending, with the pages between them."""
    pages = SETTLED.overlapping(transaction, shop, ids[0], ids[-1])
    packed = SETTLED.take(transaction, pages)
    keys: list[Key] = [(shop, each) for each in ids]
    found = [row for row in transaction.load(ORDERS, keys).values() if is_settled(row, old_ms)]
    rows = sorted([*packed, *found], key=lambda row: row.order_id)
    transaction.delete(ORDERS, [ORDERS.key_of(row) for row in found])
    fresh = [SETTLED.pack(rows[at : at + FULL]) for at in range(0, len(rows), FULL)]
    transaction.load(SETTLED.pages, [SETTLED.pages.key_of(page) for page in fresh])
    transaction.save(SETTLED.pages, fresh)
