"""Keeps when buyers ordered first, by the page: marks and times of up to 96 buyers in one row. A
page holds the marks from its `first_mark` up to the next page's.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from stream.store.contract import Entities, Reading, Transaction

FULL: Final = 96
"""Buyers of a page: 1.5 kB, which PostgreSQL keeps within its table (2 kB at most). Few, since each
fold reads the pages of its buyers. A buyer takes 18 bytes, in a row of its own 88."""
LEAST_MARK: Final = -(1 << 63)
"""Where a shop's first page begins."""
MARKS_AT_ONCE: Final = 400
NUMBERS: Final = "q"


class KnownPage(NamedTuple):
    """Columns of `known_buyer_page`."""

    shop_mark: int
    first_mark: int
    marks: bytes
    """Ascending numbers of 8 bytes, as this machine writes them."""
    first_orders_ms: bytes
    """Of the same buyers, likewise."""


KNOWN_PAGES: Final = Entities("known_buyer_page", KnownPage, 2)


def shops_having(reading: Reading, shop_marks: Collection[int]) -> set[int]:
    """Those of these shops that have pages."""
    names = {f"m{number}": mark for number, mark in enumerate(sorted(shop_marks))}
    sql = (
        f"WITH s (mark) AS (VALUES {', '.join(f'(CAST(:{name} AS BIGINT))' for name in names)})"
        " SELECT mark FROM s WHERE EXISTS"
        " (SELECT 1 FROM known_buyer_page k WHERE k.shop_mark = s.mark)"
    )
    return {row[0] for row in reading.query(sql, **names)}


def find(reading: Reading, shop_mark: int, marks: Collection[int]) -> dict[int, int]:
    """When those of these buyers who are known ordered first; nothing is locked."""
    pages = _pages_of(reading, shop_mark, marks)
    begins = [page.first_mark for page in pages]
    known = [(_numbers(page.marks), page.first_orders_ms) for page in pages]
    found: dict[int, int] = {}
    for mark in marks:
        page = bisect_right(begins, mark) - 1
        if page < 0:
            continue
        its_marks, its_orders_ms = known[page]
        at = bisect_left(its_marks, mark)
        if at < len(its_marks) and its_marks[at] == mark:
            found[mark] = _numbers(its_orders_ms)[at]
    return found


def keep(transaction: Transaction, shop_mark: int, bought: Mapping[int, int]) -> None:
    """Add buyers (mark: first order, Unix ms); of two times the earlier. Whoever calls has locked
    the shop: two pages must not become of one twice."""
    if not bought:
        return
    pages = _pages_of(transaction, shop_mark, bought)
    begins = [page.first_mark for page in pages]
    added: list[dict[int, int]] = [{} for _ in pages]
    lowest: dict[int, int] = {}
    for mark, first_ms in bought.items():
        at = bisect_right(begins, mark) - 1
        (added[at] if at >= 0 else lowest)[mark] = first_ms
    saved = _divided(shop_mark, LEAST_MARK, lowest) if lowest else []
    for page, its_added in zip(pages, added, strict=True):
        before = _entries(page)
        after = before | {
            mark: min(first_ms, before.get(mark, first_ms)) for mark, first_ms in its_added.items()
        }
        if after != before:
            saved += _divided(shop_mark, page.first_mark, after)
    _save(transaction, saved)


def drop(transaction: Transaction, shop_mark: int, marks: Collection[int]) -> None:
    """Forget these buyers. Whoever calls has locked the shop."""
    saved: list[KnownPage] = []
    for page in _pages_of(transaction, shop_mark, marks):
        before = _entries(page)
        after = {mark: first_ms for mark, first_ms in before.items() if mark not in marks}
        if after != before:
            saved.append(_page(shop_mark, page.first_mark, after))
    _save(transaction, saved)


def _pages_of(reading: Reading, shop_mark: int, marks: Collection[int]) -> list[KnownPage]:
    """The pages that hold these marks, ascending."""
    found: dict[int, KnownPage] = {}
    wanted = sorted(marks)
    for start in range(0, len(wanted), MARKS_AT_ONCE):
        chunk = wanted[start : start + MARKS_AT_ONCE]
        names = {f"m{number}": mark for number, mark in enumerate(chunk)}
        listed = ", ".join(f"(CAST(:{name} AS BIGINT))" for name in names)
        sql = (
            f"WITH k (mark) AS (VALUES {listed})"
            f" SELECT {', '.join(KnownPage._fields)} FROM known_buyer_page"
            " WHERE shop_mark = :shop AND first_mark IN (SELECT (SELECT p.first_mark"
            " FROM known_buyer_page p WHERE p.shop_mark = :shop AND p.first_mark <= k.mark"
            " ORDER BY p.first_mark DESC LIMIT 1) FROM k)"
        )
        for row in reading.query(sql, shop=shop_mark, **names):
            found[row.first_mark] = KnownPage._make(row)
    return [found[first_mark] for first_mark in sorted(found)]


def _divided(shop_mark: int, first_mark: int, entries: Mapping[int, int]) -> list[KnownPage]:
    """The pages of a range's buyers: one, or as many as leave a third of each free."""
    if len(entries) <= FULL:
        return [_page(shop_mark, first_mark, entries)]
    marks, size = sorted(entries), 2 * FULL // 3
    return [
        _page(
            shop_mark,
            marks[start] if start else first_mark,
            {mark: entries[mark] for mark in marks[start : start + size]},
        )
        for start in range(0, len(marks), size)
    ]


def _page(shop_mark: int, first_mark: int, entries: Mapping[int, int]) -> KnownPage:
    marks = sorted(entries)
    return KnownPage(
        shop_mark, first_mark, _as_bytes(marks), _as_bytes(entries[mark] for mark in marks)
    )


def _save(transaction: Transaction, pages: list[KnownPage]) -> None:
    if pages:
        transaction.load(KNOWN_PAGES, [KNOWN_PAGES.key_of(page) for page in pages])
        transaction.save(KNOWN_PAGES, pages)


def _entries(page: KnownPage) -> dict[int, int]:
    return dict(zip(_numbers(page.marks), _numbers(page.first_orders_ms), strict=True))


def _as_bytes(numbers: Iterable[int]) -> bytes:
    return array(NUMBERS, numbers).tobytes()


def _numbers(packed: bytes) -> "array[int]":
    return array(NUMBERS, bytes(packed))
