"""Who has bought before, when nothing else of them is asked for any more: the time of the first
order, by the page (`known_pages.py`).
"""

import hashlib
from collections.abc import Collection
from typing import Final

from processors.checkouts.known_pages import drop, find, keep, shops_having
from processors.checkouts.link import LINKS, MANY, NEVER, LinkRow
from processors.checkouts.state import KEPT_MS
from processors.engine.daily_pass import Seen
from processors.engine.statements import one_of
from processors.orders.shop import SHOPS
from stream.store.contract import Key, Reading, Transaction

BUYERS: Final = ("customer:", "email:")
"""How the subjects of buyers begin; all of them are between `FIRST` and `BEHIND`."""
FIRST, BEHIND = "customer:", "email;"
SHOP_BYTES: Final = 6
AT_ONCE: Final = 500


def shop_mark(shop: str) -> int:
    """48 bits of the shop's hash: with a thousand shops, two have the same once in 10^9 times."""
    return int.from_bytes(hashlib.blake2b(shop.encode(), digest_size=SHOP_BYTES).digest())


def mark_of(shop: str, subject: str) -> int:
    """64 bits of the hash of shop and subject."""
    digest = hashlib.blake2b(f"{shop}\0{subject}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def load_links(transaction: Transaction, keys: Collection[Key]) -> dict[Key, LinkRow]:
    """Links as `Transaction.load` gives them, and those of known buyers made anew."""
    found = transaction.load(LINKS, keys)
    missing = [key for key in keys if key not in found]
    shops = {shop_mark(shop): shop for shop in {str(key[0]) for key in missing}}
    # Marks are made for shops that have pages only: most have none in their first 90 days.
    for number in sorted(shops_having(transaction, shops)) if shops else ():
        shop = shops[number]
        by_mark = {
            mark_of(shop, subject): subject
            for its_shop, subject in missing
            if its_shop == shop and isinstance(subject, str) and subject.startswith(BUYERS)
        }
        for mark, first_order_ms in find(transaction, number, by_mark).items():
            found[shop, by_mark[mark]] = _link(shop, by_mark[mark], first_order_ms)
    return found


def _link(shop: str, subject: str, first_order_ms: int) -> LinkRow:
    return LinkRow(
        shop,
        subject,
        first_order_ms=first_order_ms,
        orders="",
        deleted_ms=NEVER,
        begun_ms=NEVER,
        checkout="",
        kept_from_ms=NEVER,
    )


def settle_links(transaction: Transaction, shop: str, last: str, at_most: int, now_ms: int) -> Seen:
    """A visit of the daily pass: keep what counts of the next buyers of whom nothing else is asked.
    Those who never bought are forgotten."""
    # A link (`link.py`) has recent orders and the checkout that they may close. 90 days after the
    # last order, with no checkout left, only this counts: is the buyer returning?
    rows = transaction.query(
        "SELECT subject, orders FROM cart_link WHERE shop = :shop AND subject > :last"
        " AND subject < :behind ORDER BY subject LIMIT :at_most",
        shop=shop,
        last=last or FIRST,
        behind=BEHIND,
        at_most=at_most,
    )
    old = [(shop, row.subject) for row in rows if _is_old(row.orders, now_ms)]
    for start in range(0, len(old), AT_ONCE):
        _settle(transaction, shop, old[start : start + AT_ONCE], now_ms)
    return Seen(len(rows), rows[-1].subject if rows else "")


def _is_old(orders: str, now_ms: int) -> bool:
    """Whether no recent order is less than 90 days old."""
    return not orders or int(orders.rpartition(" ")[2]) < now_ms - KEPT_MS


def _settle(transaction: Transaction, shop: str, keys: Collection[Key], now_ms: int) -> None:
    # Whoever adds to a shop's pages locks the shop, before links as folds of orders do.
    transaction.load(SHOPS, [(shop,)])
    # Locked before checkouts are looked for: a fold locks links first, too.
    links = transaction.load(LINKS, keys).values()
    waiting = _with_checkouts(transaction, shop, links)
    settled = [row for row in links if row.subject not in waiting and _is_old(row.orders, now_ms)]
    bought = {
        mark_of(shop, row.subject): row.first_order_ms
        for row in settled
        if row.first_order_ms != NEVER
    }
    keep(transaction, shop_mark(shop), bought)
    transaction.delete(LINKS, [(shop, row.subject) for row in settled])


def _with_checkouts(reading: Reading, shop: str, links: Collection[LinkRow]) -> set[str]:
    """Subjects of links under which a checkout is still kept."""
    single = {row.checkout: row.subject for row in links if row.checkout not in ("", MANY)}
    several = sorted(row.subject for row in links if row.checkout == MANY)
    found: set[str] = set()
    if single:
        among, names = one_of("token", sorted(single))
        sql = f"SELECT token FROM cart_checkout WHERE shop = :shop AND {among}"
        kept = {row.token for row in reading.query(sql, shop=shop, **names)}
        found |= {row.subject for row in links if row.checkout in kept}
    if several:
        among, names = one_of("customer", several)
        sql = (
            f"SELECT DISTINCT customer FROM cart_checkout WHERE shop = :shop AND {among}"
            " AND customer <> ''"
        )
        found |= {row.customer for row in reading.query(sql, shop=shop, **names)}
    return found


def first_orders(reading: Reading, shop: str, subjects: Collection[str]) -> dict[str, int]:
    """When those of these buyers who are kept so ordered first, Unix ms; nothing is locked."""
    by_mark = {mark_of(shop, subject): subject for subject in sorted(subjects)}
    found = find(reading, shop_mark(shop), by_mark)
    return {subject: found[mark] for mark, subject in by_mark.items() if mark in found}


def shops_with_buyers(reading: Reading, shops: Collection[str]) -> set[str]:
    """Those of these shops that have buyers who are kept so."""
    by_mark = {shop_mark(shop): shop for shop in shops}
    return {by_mark[mark] for mark in shops_having(reading, by_mark)} if by_mark else set()


def forget_buyers(transaction: Transaction, shop: str, subjects: Collection[str]) -> None:
    """Delete what is kept so of these buyers; the shop is locked."""
    drop(transaction, shop_mark(shop), {mark_of(shop, subject) for subject in subjects})


def forget(transaction: Transaction, shop: str) -> None:
    """Delete all of a shop's."""
    transaction.execute(
        "DELETE FROM known_buyer_page WHERE shop_mark = :mark", mark=shop_mark(shop)
    )
