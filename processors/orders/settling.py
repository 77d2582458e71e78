"""Packs orders that nothing changes any more, a page of a shop's orders at a time, once a day."""

from collections.abc import Sequence
from typing import Final

from processors.engine.projection import Projector
from processors.orders.row import ORDERS, SETTLED, OrderRow
from processors.orders.shop import SHOPS
from stream.store.contract import Key, Transaction
from stream.store.packed import FULL

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SETTLED_MS: Final = 90 * DAY_MS
"""After the order and its last change: checkouts are forgotten then, and no log holds a delivery.
A later change makes the order's page rows again."""
SCANNED: Final = 5_000
"""Orders looked at in a tick; of a large shop all within minutes."""
SHOPS_AT_ONCE: Final = 50


class Settling:
    """A tick of the processor of orders."""

    def __init__(self, projector: Projector, begin_ms: int | None = None) -> None:
        """The first pass begins at `begin_ms`; where none is given, an hour after the first tick:
        a process that has just begun has other work."""
        self._projector = projector
        self._begin_ms = begin_ms
        self._shops: list[str] = []
        self._last_id = ""

    def __call__(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Go on with the pass of today, or begin it. State left by a rollback costs a day."""
        if not self._shops:
            if self._begin_ms is None:
                self._begin_ms = now_ms + HOUR_MS
            if now_ms < self._begin_ms:
                return
            self._shops = [
                row[0] for row in transaction.query("SELECT shop FROM order_shop ORDER BY shop")
            ]
            self._begin_ms, self._last_id = now_ms + DAY_MS, ""
        left = SCANNED
        for _ in range(SHOPS_AT_ONCE):
            if not self._shops or left <= 0:
                return
            rows = transaction.query(
                "SELECT order_id, processed_ms, updated_us FROM shop_order"
                " WHERE shop = :shop AND order_id > :last ORDER BY order_id LIMIT :left",
                shop=self._shops[0],
                last=self._last_id,
                left=left,
            )
            old_ms = now_ms - SETTLED_MS
            ids = [row.order_id for row in rows if is_settled(row, old_ms)]
            if ids and shop in (None, self._shops[0]):
                self._settle(transaction, self._shops[0], ids, old_ms)
            if len(rows) < left:
                self._shops.pop(0)
                self._last_id = ""
            else:
                self._last_id = rows[-1].order_id
            left -= len(rows)

    def _settle(self, transaction: Transaction, shop: str, ids: Sequence[str], old_ms: int) -> None:
        # Locks out rebuilds and folds of the shop, which read rows and pages one after the other.
        self._projector.begin(transaction, {shop})
        transaction.load(SHOPS, [(shop,)])
        for start in range(0, len(ids), FULL):
            settle(transaction, shop, ids[start : start + FULL], old_ms)


def is_settled(row: OrderRow, old_ms: int) -> bool:
    """Whether neither the order nor a change of it is newer."""
    return row.updated_us >= 0 and row.processed_ms < old_ms and row.updated_us < old_ms * 1_000


def settle(transaction: Transaction, shop: str, ids: Sequence[str], old_ms: int) -> None:
    """Pack these orders of a locked shop, ascending, with the pages between them."""
    pages = SETTLED.overlapping(transaction, shop, ids[0], ids[-1])
    packed = SETTLED.take(transaction, pages)
    keys: list[Key] = [(shop, each) for each in ids]
    found = [row for row in transaction.load(ORDERS, keys).values() if is_settled(row, old_ms)]
    rows = sorted([*packed, *found], key=lambda row: row.order_id)
    transaction.delete(ORDERS, [row[:2] for row in found])
    fresh = [SETTLED.pack(rows[at : at + FULL]) for at in range(0, len(rows), FULL)]
    transaction.load(SETTLED.pages, [page[:2] for page in fresh])
    transaction.save(SETTLED.pages, fresh)
