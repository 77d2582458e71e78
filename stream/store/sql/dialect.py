"""The differences between SQLite and PostgreSQL: connecting, locking, writing many rows, and
finding changed cells."""

import re
import select
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec
import sqlalchemy as sa

from stream.sqlite_wal import use_wal
from stream.store.contract import Cells, Key, OutOfRange, StoreUnavailable
from stream.store.sql import sqlite_owner
from stream.store.sql.arrays import literal
from stream.store.sql.checkpoints import Checkpoints
from stream.store.sql.driver import Check, Driver, WritePool
from stream.store.sql.one_writer import OneWriter, resize_cache
from stream.store.sql.plain import BUSY_S, KEEPALIVE

if TYPE_CHECKING:  # PostgreSQL's driver is not in the memory of processes that use SQLite.
    from stream.store.sql.parcels import ParcelDriver

READ_CACHE_KIB: Final = 1_024
"""SQLite's page cache of a connection that reads. A commit of another connection, a role's sign of
life say, empties it, so it never lasts for more than a second or two."""


class Dialect(Protocol):
    """What the store needs to know of a database.

    Both get one statement per table and batch: on SQLite the driver repeats one of sixteen rows, on
    PostgreSQL the rows travel as arrays (`unnest`), one round trip whatever their number.

    Every write records which cells it changed under its revision, one row per table. On SQLite the
    revision is a counter, since there is one writer at a time. On PostgreSQL it is the transaction
    id, and a reader asks again from the oldest transaction that was still running at its last call
    (`pg_snapshot_xmin`): commits do not come in the order of ids, so "greater than the greatest
    seen" would skip some.
    """

    name: str
    watermark: str
    count_revision: str
    """A statement before the first use of `revision` in a transaction; "" where none is needed."""
    revision: str
    """The revision of a transaction, as an expression."""
    inclusive: bool
    inserts: bool
    """Whether another owner may create a row meanwhile: what was not there when it was loaded is
    then inserted, not replaced."""
    indexes_what_is_set: bool
    """Whether an UPDATE writes the entries of an index anew that stay as they are."""
    read_options: Mapping[str, Any]
    connect_arguments: Mapping[str, Any]
    engine_arguments: Mapping[str, Any]

    def check(self, url: str) -> None: ...
    def engine_url(self, url: str) -> str: ...
    def on_connect(self, connection: Any, record: Any) -> None: ...
    def on_connect_to_write(self, connection: Any, record: Any) -> None: ...
    def on_checkout(self, connection: Any, record: Any, proxy: Any) -> None: ...
    def on_begin(self, connection: sa.Connection) -> None: ...
    def lock_schema(self, connection: sa.Connection) -> None: ...
    def writer(self, url: str, engine: Callable[[], sa.Engine]) -> WritePool: ...
    def errors(self) -> type[Exception]: ...
    def statement(self, sql: str) -> str: ...
    def write(
        self,
        c: Driver,
        table: str,
        sql: str,
        parameters: Mapping[str, Any],
        check: Check | None = None,
    ) -> None:
        """Carry out a statement, `check` what it touched before anything is committed, and maybe
        not before another statement is read."""
        ...

    def settle(self, c: Driver) -> None:
        """Wait until every statement so far is carried out and checked."""
        ...

    def recover(self, c: Driver) -> None:
        """Take statements again after one that failed, within a savepoint."""
        ...

    def learn(self, engine: sa.Engine) -> None: ...
    def select(
        self,
        c: Driver,
        table: str,
        fields: Sequence[str],
        key: int,
        keys: Sequence[Key],
        *,
        lock: str,
    ) -> Iterable[tuple[Any, ...]]: ...
    def insert(
        self, c: Driver, table: str, fields: Sequence[str], key: int, rows: Sequence[Any]
    ) -> None: ...
    def upsert(
        self,
        c: Driver,
        table: str,
        fields: Sequence[str],
        key: int,
        rows: Sequence[Any],
        steady: tuple[str, ...] = (),
    ) -> None:
        """Insert or replace rows; those that exist keep their values of the columns `steady`."""
        ...

    def delete(
        self, c: Driver, table: str, key_fields: Sequence[str], keys: Sequence[Key]
    ) -> None: ...
    def add(self, c: Driver, cells: Cells, rows: Sequence[Any]) -> None: ...


def dialect_of(url: str) -> Dialect:
    """The dialect for a store URL. Raises ValueError naming the two forms."""
    if url.startswith("sqlite:///"):
        return Sqlite()
    if url.startswith(("postgresql://", "postgres://")):
        return Postgres()
    raise ValueError(
        f"the store's URL starts with {url.split(':', 1)[0]!r}; it must be sqlite:///path or "
        "postgresql://user@host/database"
    )


_PARAMETER = re.compile(r"(?<![:\w]):(\w+)")


@lru_cache(maxsize=512)
def _named(sql: str) -> str:
    """`:name` as psycopg writes it; casts (`::text`) stay."""
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))


@lru_cache(maxsize=512)
def _positional(sql: str) -> tuple[str, tuple[str, ...]]:
    """`:name` as `%s`, and the names in order; casts (`::text`) stay."""
    return _PARAMETER.sub("%s", sql), tuple(_PARAMETER.findall(sql))


# Statements are made once: making one took 8 us, 40 times in a batch of one order.
@lru_cache(maxsize=256)
def _update(fields: tuple[str, ...], key: int, steady: tuple[str, ...] = ()) -> str:
    """The ON CONFLICT clause that replaces a row but for columns that stay."""
    conflict, rest = ", ".join(fields[:key]), [f for f in fields[key:] if f not in steady]
    if not rest:
        return f" ON CONFLICT ({conflict}) DO NOTHING"
    return f" ON CONFLICT ({conflict}) DO UPDATE SET " + ", ".join(
        f"{f} = excluded.{f}" for f in rest
    )


@lru_cache(maxsize=256)
def _sum(cells: Cells) -> str:
    """The ON CONFLICT clause that adds to a cell."""
    sums = ", ".join(f"{m} = {cells.table}.{m} + excluded.{m}" for m in cells.measures)
    return f" ON CONFLICT ({', '.join(cells.key)}) DO UPDATE SET {sums}"


ROWS_AT_ONCE: Final = 16
"""Rows of one INSERT on SQLite. One by one each costs a third more, since a statement opens the
table and its indexes anew; with 64 nothing more is saved."""


@lru_cache(maxsize=512)
def _insert(table: str, fields: tuple[str, ...], on_conflict: str, rows: int) -> str:
    values = "(" + ", ".join("?" * len(fields)) + ")"
    return (
        f"INSERT INTO {table} ({', '.join(fields)}) VALUES {', '.join([values] * rows)}"
        + on_conflict
    )


def _insert_many(
    c: Driver, table: str, fields: tuple[str, ...], on_conflict: str, rows: Sequence[Any]
) -> None:
    several = len(rows) - len(rows) % ROWS_AT_ONCE
    executemany = cast(sqlite3.Connection, c).executemany
    try:
        if several:
            executemany(
                _insert(table, fields, on_conflict, ROWS_AT_ONCE),
                [
                    list(chain.from_iterable(rows[start : start + ROWS_AT_ONCE]))
                    for start in range(0, several, ROWS_AT_ONCE)
                ],
            )
        if several < len(rows):
            executemany(_insert(table, fields, on_conflict, 1), rows[several:])
    except OverflowError:  # The driver's own, before SQLite sees the number.
        raise OutOfRange("a number is beyond 64 bits") from None


@lru_cache(maxsize=256)
def _select_by_json(table: str, fields: tuple[str, ...], key: int, *, grouped: bool) -> str:
    """Rows whose keys are in a JSON text (`_keys_as_json`)."""
    source, parts = "json_each(?) k", ["k.value"]
    if grouped:
        source = "json_each(?) s CROSS JOIN json_each(s.value) k"
        rests = [f"json_extract(k.value, '$[{index}]')" for index in range(key - 1)]
        parts = ["s.key", "k.value"] if key == 2 else ["s.key", *rests]
    elif key > 1:
        parts = [f"json_extract(k.value, '$[{index}]')" for index in range(key)]
    on = " AND ".join(f"t.{field} = {part}" for field, part in zip(fields, parts, strict=False))
    columns = ", ".join(f"t.{field}" for field in fields)
    return f"SELECT {columns} FROM {source} CROSS JOIN {table} t ON {on}"


def _keys_as_json(keys: Sequence[Key], size: int, *, grouped: bool) -> Any:
    """What `_select_by_json` reads.

    Grouped by their first part, the shop: `json_extract` of each part takes as long as the lookup.
    """
    if size == 1:
        return [key[0] for key in keys]
    if not grouped:
        return keys
    by_first: dict[Any, list[Any]] = {}
    for first, *rest in keys:
        by_first.setdefault(first, []).append(rest[0] if size == 2 else rest)
    return by_first


class Sqlite:
    """One file, one writer at a time, readers beside it.

    WAL, `synchronous=NORMAL`, `BEGIN IMMEDIATE`. A power cut may lose the last transactions, with
    position, aggregates and outbox together; they are made again from the log.
    """

    name = "sqlite"
    watermark = "SELECT n FROM revisions"
    count_revision = "UPDATE revisions SET n = n + 1"
    revision = "(SELECT n FROM revisions)"
    inclusive = False
    inserts = False
    # It compares no values: one that stays had its entries deleted and inserted.
    indexes_what_is_set = True
    read_options: Mapping[str, Any] = {"orderwire_begin": "BEGIN"}
    connect_arguments: Mapping[str, Any] = {}
    engine_arguments: Mapping[str, Any] = {}

    def check(self, url: str) -> None:
        """Raises Incompatible if the file belongs to another program."""
        sqlite_owner.check(Path(url.removeprefix("sqlite:///")))

    def engine_url(self, url: str) -> str:
        path = Path(url.removeprefix("sqlite:///"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(
                f"the store's folder {path.parent} cannot be made: {error.strerror}"
            ) from None
        return url

    def on_connect(self, connection: Any, record: Any) -> None:
        connection.isolation_level = (
            None  # We say BEGIN ourselves (on_begin); the driver's own would be deferred.
        )
        connection.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000:.0f}")
        use_wal(connection, BUSY_S)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{READ_CACHE_KIB}")
        # Pages that many batches touch go to the file once: every 64 MiB of WAL instead of every 4.
        connection.execute("PRAGMA wal_autocheckpoint = 16384")

    def on_connect_to_write(self, connection: Any, record: Any) -> None:
        """One large cache per process; the readers' stay small. What is deleted is overwritten:
        payloads and rows of persons leave nothing in the file."""
        connection.execute("PRAGMA secure_delete = ON")
        # An INSERT of several rows keeps the pages it changes until it is done: 300 kB or so, for
        # which SQLite would open a file each time.
        connection.execute("PRAGMA temp_store = MEMORY")
        resize_cache(connection, large=False)

    def on_checkout(self, connection: Any, record: Any, proxy: Any) -> None:
        """Nothing to do: a file does not disconnect."""

    def on_begin(self, connection: sa.Connection) -> None:
        connection.exec_driver_sql(
            connection.get_execution_options().get("orderwire_begin", "BEGIN IMMEDIATE")
        )

    def lock_schema(self, connection: sa.Connection) -> None:
        """BEGIN IMMEDIATE has locked it already."""

    def writer(self, url: str, engine: Callable[[], sa.Engine]) -> WritePool:
        """One connection, which may then have a cache of its own."""
        return OneWriter(engine(), Checkpoints(Path(url.removeprefix("sqlite:///"))))

    def errors(self) -> type[Exception]:
        return sqlite3.Error

    def statement(self, sql: str) -> str:
        """Its driver takes `:name`."""
        return sql

    def write(
        self,
        c: Driver,
        table: str,
        sql: str,
        parameters: Mapping[str, Any],
        check: Check | None = None,
    ) -> None:
        touched = c.execute(sql, parameters).rowcount
        if check is not None:
            check(touched)

    def settle(self, c: Driver) -> None:
        """Nothing to do: no statement waits."""

    def recover(self, c: Driver) -> None:
        """Nothing to do: a statement that failed changed nothing."""

    def learn(self, engine: sa.Engine) -> None:
        """Nothing to do: SQLite takes values as they are."""

    def select(
        self,
        c: Driver,
        table: str,
        fields: Sequence[str],
        key: int,
        keys: Sequence[Key],
        *,
        lock: str,
    ) -> Iterable[tuple[Any, ...]]:
        """Keys travel as one JSON text, so that there is one statement for any number of them:
        with a parameter for each value, 500 keys cost 0.2 MB of prepared statement, of which the
        driver keeps 128, and a quarter more time.

        CROSS JOIN keeps the keys outside and the index lookup inside; `(a, b) IN (VALUES ...)`
        would use its first column only.
        """
        grouped = key > 1 and isinstance(keys[0][0], str)
        encoded = msgspec.json.encode(_keys_as_json(keys, key, grouped=grouped)).decode()
        if "\\u0000" in encoded and any(
            "\0" in part for row in keys for part in row if isinstance(part, str)
        ):
            raise ValueError(
                f"a key of {table} holds a NUL character, which SQLite's JSON cuts off and "
                "PostgreSQL does not take"
            )
        sql = _select_by_json(table, tuple(fields), key, grouped=grouped)
        return c.execute(sql, (encoded,)).fetchall()

    def insert(
        self, c: Driver, table: str, fields: Sequence[str], key: int, rows: Sequence[Any]
    ) -> None:
        self.upsert(c, table, fields, key, rows)

    def upsert(
        self,
        c: Driver,
        table: str,
        fields: Sequence[str],
        key: int,
        rows: Sequence[Any],
        steady: tuple[str, ...] = (),
    ) -> None:
        columns = tuple(fields)
        _insert_many(c, table, columns, _update(columns, key, steady), rows)

    def delete(self, c: Driver, table: str, key_fields: Sequence[str], keys: Sequence[Key]) -> None:
        wanted = " AND ".join(f"{f} = ?" for f in key_fields)
        cast(sqlite3.Connection, c).executemany(f"DELETE FROM {table} WHERE {wanted}", keys)

    def add(self, c: Driver, cells: Cells, rows: Sequence[Any]) -> None:
        _insert_many(c, cells.table, (*cells.key, *cells.measures), _sum(cells), rows)


class Postgres:
    """A server with many concurrent writers.

    READ COMMITTED with explicit row locks. Of two owners that create the same entity the second
    insert finds the row and raises Conflict, so its batch is rolled back, loaded again and folded
    on top of the first.
    """

    name = "postgresql"
    watermark = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    count_revision = ""
    revision = "pg_current_xact_id()::text::bigint"
    inclusive = True
    inserts = True
    indexes_what_is_set = False
    read_options: Mapping[str, Any] = {
        "isolation_level": "REPEATABLE READ",
        "postgresql_readonly": True,
    }
    connect_arguments: Mapping[str, Any] = KEEPALIVE
    # No column is of that type; to look for it is a query of each engine's first connection.
    engine_arguments: Mapping[str, Any] = {"use_native_hstore": False}
    SCHEMA_LOCK = 0x6F72646572776972  # "orderwir"
    IDLE_MS = 10_000

    def __init__(self) -> None:
        self._types: dict[str, dict[str, str]] = {}
        self._unnests: dict[tuple[str, tuple[str, ...]], str] = {}

    def check(self, url: str) -> None:
        """Nothing to do: a database may be shared, and `migrate` checks the schema's revision."""

    def engine_url(self, url: str) -> str:
        return "postgresql+psycopg://" + url.split("://", 1)[1]

    def on_connect(self, connection: Any, record: Any) -> None:
        """The server ends a transaction that is idle for `IDLE_MS`, less than a Kafka session: an
        owner that stops inside one (SIGSTOP, a virtual machine that is moved) holds locks that
        others wait for. We never pause for more than milliseconds between statements."""
        connection.execute(f"SET idle_in_transaction_session_timeout = {self.IDLE_MS}")
        connection.commit()

    def on_connect_to_write(self, connection: Any, record: Any) -> None:
        """BEGIN is a statement as others are (`parcels`).

        Rows are found by keys. PostgreSQL plans a prepared statement once: while the table is
        small it would plan to read all of it, and keep to that until its next statistics.
        """
        connection.autocommit = True
        connection.execute("SET enable_seqscan = off")

    def on_checkout(self, connection: Any, record: Any, proxy: Any) -> None:
        """Replaces pooled connections that the server has closed (restart, fail-over).

        Between transactions a server sends nothing but its close, so a look at the socket replaces
        SQLAlchemy's ping, a round trip.
        """
        looking = select.poll()
        looking.register(connection.fileno(), select.POLLIN)
        if looking.poll(0):
            raise sa.exc.InvalidatePoolError

    def on_begin(self, connection: sa.Connection) -> None:
        """The driver begins by itself. A reader blocks nobody, and may take its time (copies of a
        whole store)."""
        if connection.get_execution_options().get("postgresql_readonly"):
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")

    def lock_schema(self, connection: sa.Connection) -> None:
        """Without a time limit, since Alembic is loaded within the transaction."""
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({self.SCHEMA_LOCK})")

    def writer(self, url: str, engine: Callable[[], sa.Engine]) -> WritePool:
        from stream.store.sql.parcels import ParcelWriters  # As in `errors`.

        return ParcelWriters(engine())

    def errors(self) -> type[Exception]:
        import psycopg  # Not in the memory of processes that use SQLite.

        return psycopg.Error

    def statement(self, sql: str) -> str:
        """As the driver names parameters."""
        return _named(sql)

    def write(
        self,
        c: Driver,
        table: str,
        sql: str,
        parameters: Mapping[str, Any],
        check: Check | None = None,
    ) -> None:
        positional, names = _positional(sql)
        cast("ParcelDriver", c).later(table, positional, [parameters[n] for n in names], check)

    def settle(self, c: Driver) -> None:
        cast("ParcelDriver", c).settle()

    def recover(self, c: Driver) -> None:
        cast("ParcelDriver", c).recover()

    def learn(self, engine: sa.Engine) -> None:
        """Column types, for the casts of arrays. Of the catalog itself: the views of
        `information_schema` take three times as long."""
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT c.relname, a.attname, t.typname FROM pg_class c "
                "JOIN pg_namespace n ON n.oid = c.relnamespace "
                "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
                "JOIN pg_type t ON t.oid = a.atttypid "
                "WHERE n.nspname = current_schema() AND c.relkind = 'r'"
            )
            for table, column, kind in rows:
                self._types.setdefault(table, {})[column] = kind

    def _unnest(self, table: str, fields: Sequence[str]) -> str:
        place = table, tuple(fields)
        if (made := self._unnests.get(place)) is None:
            types = self._types[table]
            made = "unnest(" + ", ".join(f"%s::{types[f]}[]" for f in fields) + ")"
            self._unnests[place] = made
        return made

    def _arrays(
        self, table: str, fields: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> tuple[str | list[Any], ...]:
        """Rows as one array per column, as `unnest` takes them."""
        types, columns = self._types[table], zip(*rows, strict=True)
        return tuple(literal(types[f], c) for f, c in zip(fields, columns, strict=True))

    def select(
        self,
        c: Driver,
        table: str,
        fields: Sequence[str],
        key: int,
        keys: Sequence[Key],
        *,
        lock: str,
    ) -> Iterable[tuple[Any, ...]]:
        names = fields[:key]
        wanted = self._unnest(table, names)
        on = " AND ".join(f"t.{f} = k.{f}" for f in names)
        sql = (
            f"SELECT {', '.join('t.' + f for f in fields)} FROM {table} t "
            f"JOIN {wanted} AS k({', '.join(names)}) ON {on} "
            f"ORDER BY {', '.join('t.' + f for f in names)}" + (f" FOR {lock} OF t" if lock else "")
        )
        return c.execute(sql, self._arrays(table, names, keys)).fetchall()

    def _insert(self, table: str, fields: Sequence[str]) -> str:
        return (
            f"INSERT INTO {table} ({', '.join(fields)}) SELECT * FROM {self._unnest(table, fields)}"
        )

    def insert(
        self, c: Driver, table: str, fields: Sequence[str], key: int, rows: Sequence[Any]
    ) -> None:
        # A row that another owner has created is a Conflict (`errors`), and the server skips all
        # that follows, the commit too.
        _later(c, table, self._insert(table, fields), self._arrays(table, fields, rows))

    def upsert(
        self,
        c: Driver,
        table: str,
        fields: Sequence[str],
        key: int,
        rows: Sequence[Any],
        steady: tuple[str, ...] = (),
    ) -> None:
        sql = self._insert(table, fields) + _update(tuple(fields), key, steady)
        _later(c, table, sql, self._arrays(table, fields, rows))

    def delete(self, c: Driver, table: str, key_fields: Sequence[str], keys: Sequence[Key]) -> None:
        on = " AND ".join(f"t.{f} = k.{f}" for f in key_fields)
        wanted = self._unnest(table, key_fields)
        sql = f"DELETE FROM {table} t USING {wanted} AS k({', '.join(key_fields)}) WHERE {on}"
        _later(c, table, sql, self._arrays(table, key_fields, keys))

    def add(self, c: Driver, cells: Cells, rows: Sequence[Any]) -> None:
        columns = (*cells.key, *cells.measures)
        sql = self._insert(cells.table, columns) + _sum(cells)
        _later(c, cells.table, sql, self._arrays(cells.table, columns, rows))


def _later(c: Driver, table: str, sql: str, columns: Sequence[str | list[Any]]) -> None:
    if any(isinstance(each, list) for each in columns):  # The driver has to convert it.
        cast("ParcelDriver", c).settle()
        c.execute(sql, columns)
    else:
        cast("ParcelDriver", c).later(table, sql, columns)
