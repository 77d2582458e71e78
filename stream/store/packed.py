"""Entities that nothing changes any more, packed by the hundred: a page of compressed columns
instead of rows and their indexes. An entity is a row of its table, or in the one page of its shop
whose range of ids holds its id.
"""

import zlib
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final, Generic, NamedTuple

import msgspec

from stream.store.contract import Entities, Key, Reading, Row, Transaction

FULL: Final = 512
"""Entities of a page: 55 bytes an order, against 59 with 256 and 51 with 1,024."""
PAGES_READ: Final = 4
"""Pages that one step of a walk through all entities unpacks at most."""
KEYS_AT_ONCE: Final = 400
LEVEL: Final = 6


class PageRow(NamedTuple):
    """Columns of a table of pages."""

    shop: str
    first_id: str
    last_id: str
    """Ranges of a shop's pages never overlap."""
    entities: int
    subjects: bytes
    """Four bytes of each entity's subject, to find the pages of one without unpacking all."""
    packed: bytes


@dataclass(frozen=True, slots=True, eq=False)
class PackedPages(Generic[Row]):
    """Pages of a table whose key is (shop, `id`)."""

    table: str
    rows: str
    """The table of entities that are not packed."""
    row: type[Row]
    id: str
    """The column that is an entity's id in its shop."""
    subject: str
    """The column that pages can be searched by."""
    dropped: Mapping[str, Any]
    """Columns that nobody asks for once an entity is packed, and what they read as then."""
    sorted: frozenset[str]
    """Columns of whole numbers that ascend, or nearly: kept as differences."""
    hashes: frozenset[str]
    """Columns of hexadecimal digits, kept as bytes."""
    pages: Entities[PageRow] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pages", Entities(self.table, PageRow, 2))

    def pack(self, rows: Sequence[Row]) -> PageRow:
        """The page of these entities of one shop, ascending by id."""
        columns: list[list[Any]] = []
        for name, values in zip(self._fields(), zip(*rows, strict=True), strict=True):
            if name in self.dropped or name == "shop":
                continue
            if name in self.sorted and all(map(_is_number, values)):
                columns.append(_differences([int(value) for value in values]))
            elif name in self.hashes:
                columns.append([_as_bytes(value) for value in values])
            else:
                columns.append(list(values))
        subject = attrgetter(self.subject)
        first: Any = rows[0]
        return PageRow(
            shop=first.shop,
            first_id=self._id(first),
            last_id=self._id(rows[-1]),
            entities=len(rows),
            subjects=array("I", [subject_mark(subject(row)) for row in rows]).tobytes(),
            packed=zlib.compress(_encoder.encode(columns), LEVEL),
        )

    def unpack(self, page: PageRow) -> list[Row]:
        """Its entities, ascending by id."""
        columns = iter(_decoder.decode(zlib.decompress(page.packed)))
        found: list[Sequence[Any]] = []
        for name in self._fields():
            if name == "shop":
                found.append([page.shop] * page.entities)
                continue
            if name in self.dropped:
                found.append([self.dropped[name]] * page.entities)
                continue
            values = next(columns)
            if name in self.sorted and not isinstance(values[0], str):
                values = _sums(values)
                values = [str(each) for each in values] if name == self.id else values
            elif name in self.hashes:
                values = [_as_text(each) for each in values]
            found.append(values)
        make = self.row._make  # type: ignore[attr-defined]
        return [make(each) for each in zip(*found, strict=True)]

    def load(
        self, transaction: Transaction, entities: Entities[Row], keys: Collection[Key]
    ) -> dict[Key, Row]:
        """As `Transaction.load`: packed ones become rows first, with all of their page.

        Nobody packs entities of these shops meanwhile: the caller has locked the shops. Pages are
        looked for first, so that what another transaction unpacks is found among the rows.
        """
        if pages := self._pages_of(transaction, keys):
            self.unpacked(transaction, entities, pages)
        return transaction.load(entities, keys)

    def unpacked(
        self, transaction: Transaction, entities: Entities[Row], pages: Collection[Key]
    ) -> list[Row]:
        """Make the entities of these pages rows again; returns them."""
        rows = self.take(transaction, pages)
        if rows:
            transaction.load(entities, [entities.key_of(row) for row in rows])
            transaction.save(entities, rows)
        return rows

    def take(self, transaction: Transaction, pages: Collection[Key]) -> list[Row]:
        """Delete these pages; returns their entities."""
        found = transaction.load(self.pages, pages)
        transaction.delete(self.pages, list(found))
        return [row for page in found.values() for row in self.unpack(page)]

    def after(self, reading: Reading, shop: str, last: str, at_most: int) -> list[Row]:
        """The next entities of a shop by id, rows and packed ones."""
        most = min(PAGES_READ, at_most // FULL + 2)
        while True:
            pages = self._pages_after(reading, shop, last, most)
            rows = self._rows_after(reading, shop, last, at_most)
            # On PostgreSQL each statement sees what was committed before it.
            again = self._pages_after(reading, shop, last, most)
            if list(map(self.pages.key_of, again)) == list(map(self.pages.key_of, pages)):
                break
        ends = [self._id(rows[-1])] if len(rows) == at_most else []
        ends += [pages[-1].last_id] if len(pages) == most else []
        packed = (row for page in pages for row in self.unpack(page))
        found = {each: row for row in packed if (each := self._id(row)) > last}
        found |= {self._id(row): row for row in rows}
        return [found[each] for each in sorted(found) if not ends or each <= min(ends)][:at_most]

    def by_id(self, reading: Reading, shop: str, ids: Collection[str]) -> dict[str, Row]:
        """Those of these ids, rows and packed ones; nothing is locked."""
        make = self.row._make  # type: ignore[attr-defined]
        found: dict[str, Row] = {}
        wanted = sorted(ids)
        for start in range(0, len(wanted), KEYS_AT_ONCE):
            chunk = wanted[start : start + KEYS_AT_ONCE]
            names = {f"id_{number}": each for number, each in enumerate(chunk)}
            sql = (
                f"SELECT {', '.join(self._fields())} FROM {self.rows} WHERE shop = :shop"
                f" AND {self.id} IN ({', '.join(f':{name}' for name in names)})"
            )
            rows = map(make, reading.query(sql, shop=shop, **names))
            found |= {self._id(row): row for row in rows}
        missing: list[Key] = [(shop, each) for each in wanted if each not in found]
        for key in self._pages_of(reading, missing):
            for row in self.unpack(self._page(reading, key)):
                if self._id(row) in ids:
                    found[self._id(row)] = row
        return found

    def of_subject(self, reading: Reading, shop: str, subjects: Collection[str]) -> Iterator[Row]:
        """Packed entities of a shop with one of these subjects, ascending by id."""
        subject = attrgetter(self.subject)
        marks = [subject_mark(subject) for subject in subjects]
        sql = f"SELECT first_id, subjects FROM {self.table} WHERE shop = :shop ORDER BY first_id"
        for first_id, found in reading.query(sql, shop=shop):
            of_page = array("I", bytes(found))
            if any(mark in of_page for mark in marks):
                for row in self.unpack(self._page(reading, (shop, first_id))):
                    if subject(row) in subjects:
                        yield row

    def everything(self, reading: Reading, shop: str) -> Iterator[Row]:
        """All packed entities of a shop, ascending by id; a page at a time in memory."""
        sql = f"SELECT first_id FROM {self.table} WHERE shop = :shop ORDER BY first_id"
        for (first_id,) in reading.query(sql, shop=shop):
            yield from self.unpack(self._page(reading, (shop, first_id)))

    def counts(self, reading: Reading, shop: str | None = None) -> dict[str, int]:
        """How many are packed, by shop."""
        where, names = ("", {}) if shop is None else (" WHERE shop = :shop", {"shop": shop})
        rows = reading.query(
            f"SELECT shop, CAST(SUM(entities) AS BIGINT) AS packed FROM {self.table}{where}"
            " GROUP BY shop",
            **names,
        )
        return {row.shop: row.packed for row in rows}

    def overlapping(self, reading: Reading, shop: str, first: str, last: str) -> list[Key]:
        """Pages whose range meets these ids, and the one before them if it is not full."""
        rows = reading.query(
            f"SELECT first_id, last_id, entities FROM {self.table} WHERE shop = :shop"
            f" AND first_id >= coalesce({self._begin(':first')}, '') AND first_id <= :last",
            shop=shop,
            first=first,
            last=last,
        )
        return [(shop, row.first_id) for row in rows if row.last_id >= first or row.entities < FULL]

    def _begin(self, name: str) -> str:
        return f"(SELECT MAX(first_id) FROM {self.table} WHERE shop = :shop AND first_id <= {name})"

    def _pages_of(self, reading: Reading, keys: Collection[Key]) -> list[Key]:
        """The pages whose ranges hold these keys."""
        found: list[Key] = []
        by_shop: dict[str, list[str]] = {}
        for shop, each in keys:
            by_shop.setdefault(str(shop), []).append(str(each))
        for shop, newest in self._newest(reading, by_shop).items():
            old = sorted(each for each in by_shop[shop] if each <= newest)
            if old:
                found += self._ranges(reading, shop, old)
        return found

    def _newest(self, reading: Reading, shops: Collection[str]) -> dict[str, str]:
        """The last id packed of each shop: nearly all orders of a batch are newer."""
        names = {f"s{number}": shop for number, shop in enumerate(sorted(shops))}
        newest: dict[str, str] = {}
        for start in range(0, len(names), KEYS_AT_ONCE):
            chunk = dict(list(names.items())[start : start + KEYS_AT_ONCE])
            sql = (
                f"WITH s (shop) AS (VALUES {', '.join(f'(:{name})' for name in chunk)})"
                f" SELECT s.shop, (SELECT last_id FROM {self.table} p WHERE p.shop = s.shop"
                " ORDER BY first_id DESC LIMIT 1) AS last_id FROM s"
            )
            newest |= {
                shop: last_id
                for shop, last_id in reading.query(sql, **chunk)
                if last_id is not None
            }
        return newest

    def _ranges(self, reading: Reading, shop: str, ids: Sequence[str]) -> Iterator[Key]:
        rows = reading.query(
            f"SELECT first_id, last_id FROM {self.table} WHERE shop = :shop"
            f" AND first_id >= coalesce({self._begin(':first')}, '') AND first_id <= :last"
            " ORDER BY first_id",
            shop=shop,
            first=ids[0],
            last=ids[-1],
        )
        at = 0
        for first_id, last_id in rows:
            while at < len(ids) and ids[at] < first_id:
                at += 1
            if at < len(ids) and ids[at] <= last_id:
                yield shop, first_id

    def _pages_after(self, reading: Reading, shop: str, last: str, most: int) -> list[PageRow]:
        rows = reading.query(
            f"SELECT {', '.join(PageRow._fields)} FROM {self.table} WHERE shop = :shop"
            f" AND first_id >= coalesce({self._begin(':last')}, '') AND last_id > :last"
            f" ORDER BY first_id LIMIT {most}",
            shop=shop,
            last=last,
        )
        return [PageRow._make(row) for row in rows]

    def _rows_after(self, reading: Reading, shop: str, last: str, at_most: int) -> list[Row]:
        make = self.row._make  # type: ignore[attr-defined]
        sql = (
            f"SELECT {', '.join(self._fields())} FROM {self.rows}"
            f" WHERE shop = :shop AND {self.id} > :last ORDER BY {self.id} LIMIT :at_most"
        )
        found = reading.query(sql, shop=shop, last=last, at_most=at_most)
        return [make(row) for row in found]

    def _page(self, reading: Reading, key: Key) -> PageRow:
        (row,) = reading.query(
            f"SELECT {', '.join(PageRow._fields)} FROM {self.table}"
            " WHERE shop = :shop AND first_id = :first",
            shop=key[0],
            first=key[1],
        )
        return PageRow._make(row)

    def _id(self, row: Row) -> str:
        return str(getattr(row, self.id))

    def _fields(self) -> tuple[str, ...]:
        fields: tuple[str, ...] = self.row._fields  # type: ignore[attr-defined]
        return fields


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Any])


def subject_mark(subject: str) -> int:
    """Four bytes of a subject."""
    return zlib.crc32(subject.encode())


def _is_number(value: Any) -> bool:
    """A whole number, or its digits as `str` writes them."""
    return isinstance(value, int) or (value.isdecimal() and str(int(value)) == value)


def _differences(values: Sequence[int]) -> list[int]:
    return [value - before for value, before in zip(values, (0, *values[:-1]), strict=True)]


def _sums(differences: Sequence[int]) -> list[int]:
    total, values = 0, []
    for difference in differences:
        total += difference
        values.append(total)
    return values


def _as_bytes(value: str) -> str | bytes:
    """Hexadecimal digits as bytes; other text as it is."""
    try:
        found = bytes.fromhex(value) if value else b""
    except ValueError:
        return value
    return found if found and found.hex() == value else value


def _as_text(value: str | bytes) -> str:
    return value.hex() if isinstance(value, bytes) else value
