"""Copies one store to another, SQLite or PostgreSQL, and commits only if the copy is equal.

Everything is read from one snapshot and written in one transaction, which commits only if row
counts and digests of every table agree; a failed copy leaves the target empty. The schema's
revision, the record of changed cells and heartbeats are not copied.
"""

import hashlib
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from orderwire.operation.refused import Refused
from stream.store.contract import Entities, Reading, Store, Transaction

ITS_OWN = frozenset({"alembic_version", "revisions", "cell_changes", "cell_changes_floor", "roles"})
STEP = 5_000
COLUMNS = {
    "sqlite": "SELECT m.name, c.name, c.pk FROM sqlite_master m, pragma_table_info(m.name) c"
    " WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid",
    "postgresql": "SELECT c.table_name, c.column_name, coalesce(k.ordinal_position, 0) "
    "FROM information_schema.columns c LEFT "
    "JOIN information_schema.table_constraints t ON t.constraint_type = 'PRIMARY "
    "KEY' AND (t.table_schema, t.table_name) = (c.table_schema, c.table_name) LEFT "
    "JOIN information_schema.key_column_usage k ON k.constraint_schema = "
    "t.constraint_schema AND (k.constraint_name, k.table_name, k.column_name) = "
    "(t.constraint_name, c.table_name, c.column_name) "
    "WHERE c.table_schema = current_schema() "
    "ORDER BY c.table_name, c.ordinal_position",
}
"""Table, column, and the column's place in the primary key from 1 on, 0 where it is not in it."""

_encode = msgspec.msgpack.Encoder().encode
Progress = Callable[[str, int], None]
"""Called with (table, rows done in it)."""


class Table(NamedTuple):
    """A table of the schema: its columns, those of the primary key first."""

    name: str
    columns: tuple[str, ...]
    key: int


class Count(NamedTuple):
    """A table's rows, and the sum of their digests modulo 2**128: equal in any order of rows, which
    differs between databases."""

    rows: int
    digest: int


class Copied(NamedTuple):
    """One table on both sides."""

    table: str
    source: Count
    target: Count

    @property
    def equal(self) -> bool:
        return self.source == self.target


class Unequal(Refused):
    """The copy was not equal to its source; it was rolled back."""


def tables(reading: Reading, dialect: str) -> list[Table]:
    """Every table that is copied."""
    columns: dict[str, list[tuple[int, str]]] = {}
    for name, column, place in reading.query(COLUMNS[dialect]):
        if name not in ITS_OWN:
            columns.setdefault(name, []).append((place, column))
    found = []
    for name, named in sorted(columns.items()):
        key = sorted((place, column) for place, column in named if place)
        rest = [column for place, column in named if not place]
        found.append(Table(name, (*(column for _, column in key), *rest), len(key) or len(rest)))
    return found


def rows(reading: Reading, table: Table) -> Iterator[list[Any]]:
    """All rows in key order, some thousand at a time."""
    key = table.columns[: table.key]
    order = ", ".join(key)
    select = f"SELECT {', '.join(table.columns)} FROM {table.name}"
    after: dict[str, Any] = {}
    where = ""
    while found := reading.query(f"{select}{where} ORDER BY {order} LIMIT {STEP}", **after):
        yield found
        after = {f"k{number}": found[-1][number] for number in range(table.key)}
        where = f" WHERE ({order}) > ({', '.join(':' + name for name in after)})"


def add(count: Count, batch: list[Any]) -> Count:
    """`count` with some more rows."""
    digest = count.digest
    for row in batch:
        digest += int.from_bytes(hashlib.blake2b(_encode(tuple(row)), digest_size=16).digest())
    return Count(count.rows + len(batch), digest % (1 << 128))


def counted(reading: Reading, table: Table) -> Count:
    """The count of a table's rows now."""
    count = Count(0, 0)
    for batch in rows(reading, table):
        count = add(count, batch)
    return count


def copy(
    source: Store, target: Store, progress: Progress = lambda table, rows: None
) -> list[Copied]:
    """Copy every table and check that both are equal. Raises Refused (the target is not empty),
    Unequal, StoreError."""
    with source.snapshot() as before, target.begin() as transaction:
        wanted = tables(before, source.dialect)
        _check_target(transaction, target.dialect, wanted)
        written = {table.name: _copy(before, transaction, table, progress) for table in wanted}
        copied = [
            Copied(table.name, written[table.name], counted(transaction, table)) for table in wanted
        ]
        if unequal := [one.table for one in copied if not one.equal]:
            raise Unequal(
                f"the copy of {', '.join(unequal)} is not equal to its source; nothing was written"
            )
        if not any(one.source.rows for one in copied):
            raise Refused("the source is empty: is its URL right?")
        with source.snapshot() as after:
            if after.positions() != before.positions():
                raise Refused(
                    "the source changed meanwhile, so nothing was written: stop every role that "
                    "uses it, and copy again"
                )
    return copied


def _copy(source: Reading, target: Transaction, table: Table, progress: Progress) -> Count:
    row = namedtuple(table.name, table.columns)  # type: ignore[misc]
    entities = Entities(table.name, row, table.key)
    count = Count(0, 0)
    for batch in rows(source, table):
        target.save(entities, [row(*one) for one in batch])
        count = add(count, batch)
        progress(table.name, count.rows)
    return count


def _check_target(target: Reading, dialect: str, wanted: list[Table]) -> None:
    there = tables(target, dialect)
    if {(table.name, frozenset(table.columns)) for table in there} != {
        (table.name, frozenset(table.columns)) for table in wanted
    }:
        raise Refused(
            "source and target do not have the same tables: start this version of `orderwire "
            "serve` on the source once"
        )
    filled = [table.name for table in there if target.query(f"SELECT 1 FROM {table.name} LIMIT 1")]
    if filled:
        raise Refused(
            f"the target is not empty (it has rows in {', '.join(filled)}): give an empty database"
        )
