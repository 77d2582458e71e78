"""A tick costs what is due: nothing for shops that are idle."""

from typing import Any

from aggregates.rfm.fold.projection import QUARTER_MS, RfmFold
from stream.store.contract import Transaction
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, order
from tests.support.shops.folding import rfm_orders

MIDNIGHT_MS = DAY0 * 86_400_000
HOUR_MS = 3_600_000


class Counted:
    """A transaction that counts what is asked of it."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction, self.statements = transaction, 0

    def __getattr__(self, name: str) -> Any:
        self.statements += 1
        return getattr(self._transaction, name)


def tick(fold: RfmFold, store: SqlStore, now_ms: int) -> int:
    """How often the store was asked."""
    with store.begin() as transaction:
        counted: Any = Counted(transaction)
        fold.tick(counted, now_ms)
        return int(counted.statements)


def days(store: SqlStore) -> dict[str, int]:
    with store.snapshot() as snapshot:
        return dict(snapshot.query("SELECT shop, as_of_day FROM rfm_shop"))


def test_a_tick_with_nothing_due_asks_the_store_nothing(store: SqlStore) -> None:
    shops = [f"shop-{number}.myshopify.com" for number in range(40)]
    with store.begin() as transaction:
        told = [order(str(n), shop=shop, day=DAY0) for n, shop in enumerate(shops)]
        rfm_orders().apply(transaction, told, MIDNIGHT_MS + HOUR_MS)
    fold = RfmFold()
    assert tick(fold, store, MIDNIGHT_MS + HOUR_MS) > 0
    for second in range(1, 60):
        assert tick(fold, store, MIDNIGHT_MS + HOUR_MS + second * 1_000) == 0
    assert tick(fold, store, MIDNIGHT_MS + HOUR_MS + QUARTER_MS) > 0
    assert set(days(store).values()) == {DAY0}


def test_a_midnight_is_not_missed_and_neither_is_a_clock_put_back(store: SqlStore) -> None:
    with store.begin() as transaction:
        rfm_orders().apply(transaction, [order("1", day=DAY0)], MIDNIGHT_MS + HOUR_MS)
    fold, next_ms = RfmFold(), MIDNIGHT_MS + 86_400_000
    tick(fold, store, next_ms - 1)
    tick(fold, store, next_ms - 1)
    assert set(days(store).values()) == {DAY0}
    tick(fold, store, next_ms)
    assert set(days(store).values()) == {DAY0 + 1}
    tick(fold, store, next_ms + 100 * 86_400_000)
    assert set(days(store).values()) == {DAY0 + 101}
    tick(fold, store, next_ms)
    assert set(days(store).values()) == {DAY0 + 1}
