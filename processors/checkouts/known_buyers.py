"""Who has bought before, when nothing else of them is asked for any more.

A buyer's link (`processors/checkouts/link.py`) has recent orders and the checkout that they may
close. 90 days after the last order, with no checkout left, only the time of the first order counts:
is the buyer returning? That is kept as three numbers, a sixth of the link.
"""

import hashlib
from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from processors.checkouts.link import LINKS, MANY, NEVER, LinkRow
from processors.checkouts.state import KEPT_MS
from processors.engine.daily_pass import Seen
from processors.engine.statements import one_of
from stream.store.contract import Entities, Key, Reading, Transaction

BUYERS: Final = ("customer:", "email:")
"""How the subjects of buyers begin; all of them are between `FIRST` and `BEHIND`."""
FIRST, BEHIND = "customer:", "email;"
SHOP_BYTES: Final = 6
AT_ONCE: Final = 500


class KnownBuyer(NamedTuple):
    """Columns of `known_buyer`."""

    shop_mark: int
    """48 bits of the shop's hash: with a thousand shops, two have the same once in 10^9 times."""
    mark: int
    """64 bits of the hash of shop and subject."""
    first_order_ms: int


KNOWN_BUYERS: Final = Entities("known_buyer", KnownBuyer, 2)


def shop_mark(shop: str) -> int:
    """The first column of a shop's rows."""
    return int.from_bytes(hashlib.blake2b(shop.encode(), digest_size=SHOP_BYTES).digest())


def key_of(shop: str, subject: str) -> Key:
    """The key of a buyer's row."""
    return marks_of(shop, subject)


def marks_of(shop: str, subject: str) -> tuple[int, int]:
    """The same, as numbers."""
    digest = hashlib.blake2b(f"{shop}\0{subject}".encode(), digest_size=8).digest()
    return shop_mark(shop), int.from_bytes(digest, signed=True)


def load_links(transaction: Transaction, keys: Collection[Key]) -> dict[Key, LinkRow]:
    """Links as `Transaction.load` gives them, and those of known buyers made anew."""
    found = transaction.load(LINKS, keys)
    shops = {str(shop) for shop, _ in keys}
    settled = _having_known(transaction, shops) if shops else set()
    by_key = {
        key_of(str(shop), str(subject)): (str(shop), str(subject))
        for shop, subject in keys
        if shop in settled and (shop, subject) not in found and str(subject).startswith(BUYERS)
    }
    for key, row in transaction.load(KNOWN_BUYERS, by_key).items():
        shop, subject = by_key[key]
        found[shop, subject] = _link(shop, subject, row.first_order_ms)
    return found


def _having_known(reading: Reading, shops: Iterable[str]) -> set[str]:
    marks = {shop_mark(shop): shop for shop in shops}
    numbers = sorted(marks)
    names = {f"m{number}": mark for number, mark in enumerate(numbers)}
    sql = (
        f"WITH s (mark) AS (VALUES {', '.join(f'(CAST(:{name} AS BIGINT))' for name in names)})"
        " SELECT mark FROM s WHERE EXISTS"
        " (SELECT 1 FROM known_buyer k WHERE k.shop_mark = s.mark)"
    )
    return {marks[row[0]] for row in reading.query(sql, **names)}


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
    # Locked before checkouts are looked for: a fold locks links first, too.
    links = transaction.load(LINKS, keys).values()
    waiting = _with_checkouts(transaction, shop, links)
    settled = [row for row in links if row.subject not in waiting and _is_old(row.orders, now_ms)]
    bought = [
        KnownBuyer(*marks_of(shop, row.subject), row.first_order_ms)
        for row in settled
        if row.first_order_ms != NEVER
    ]
    known = transaction.load(KNOWN_BUYERS, [row[:2] for row in bought])
    transaction.save(
        KNOWN_BUYERS,
        [
            row
            for row in bought
            if row[:2] not in known or row.first_order_ms < known[row[:2]].first_order_ms
        ],
    )
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
    found: dict[str, int] = {}
    for subject in sorted(subjects):
        of_shop, mark = key_of(shop, subject)
        rows = reading.query(
            "SELECT first_order_ms FROM known_buyer WHERE shop_mark = :shop AND mark = :mark",
            shop=of_shop,
            mark=mark,
        )
        if rows:
            found[subject] = rows[0].first_order_ms
    return found


def forget(transaction: Transaction, shop: str) -> None:
    """Delete a shop's rows."""
    transaction.execute("DELETE FROM known_buyer WHERE shop_mark = :mark", mark=shop_mark(shop))
