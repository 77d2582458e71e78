"""Known buyers in pages: what was kept is found, whatever was kept and dropped around it."""

import random

from processors.checkouts.known_pages import FULL, LEAST_MARK, drop, find, keep, shops_having
from stream.store.sql.store import SqlStore

SHOP, OTHER = 1 << 40, 7
SPAN = 1 << 63


def marks(chance: random.Random, count: int) -> list[int]:
    return [chance.randrange(-SPAN, SPAN) for _ in range(count)]


def test_pages_hold_what_a_dict_holds(store: SqlStore) -> None:
    chance, kept = random.Random(1), dict[int, int]()
    pool = [LEAST_MARK, SPAN - 1, 0, *marks(chance, 900)]
    for round_ in range(12):
        bought = {mark: chance.randrange(10**12) for mark in chance.sample(pool, 120)}
        gone = set(chance.sample(pool, 30))
        with store.begin() as transaction:
            keep(transaction, SHOP, bought)
            drop(transaction, SHOP, gone)
            keep(transaction, OTHER, dict.fromkeys(list(bought)[:3], 1))
        for mark, first_ms in bought.items():
            kept[mark] = min(first_ms, kept.get(mark, first_ms))
        for mark in gone:
            kept.pop(mark, None)
        with store.snapshot() as snapshot:
            asked = {*pool, *marks(chance, 50)}
            assert find(snapshot, SHOP, asked) == kept, round_
            pages = snapshot.query(
                "SELECT marks FROM known_buyer_page WHERE shop_mark = :shop ORDER BY first_mark",
                shop=SHOP,
            )
    assert len(pages) > len(kept) // FULL
    assert max(len(bytes(page.marks)) for page in pages) <= 8 * FULL


def test_a_batch_larger_than_a_page_becomes_several(store: SqlStore) -> None:
    bought = dict.fromkeys(marks(random.Random(2), 10 * FULL), 5)
    with store.begin() as transaction:
        keep(transaction, SHOP, bought)
        keep(transaction, SHOP, bought)
    with store.snapshot() as snapshot:
        assert find(snapshot, SHOP, bought) == bought
        (row,) = snapshot.query(
            "SELECT min(first_mark) AS first, count(*) AS pages FROM known_buyer_page"
        )
        assert (row.first, row.pages) == (LEAST_MARK, 15)


def test_a_shop_without_buyers_has_no_pages(store: SqlStore) -> None:
    with store.begin() as transaction:
        keep(transaction, SHOP, {})
        drop(transaction, SHOP, {3})
        keep(transaction, OTHER, {3: 4})
    with store.snapshot() as snapshot:
        assert shops_having(snapshot, {SHOP, OTHER}) == {OTHER}
        assert find(snapshot, SHOP, {3}) == {}
