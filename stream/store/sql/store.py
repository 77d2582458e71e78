"""The store on SQLite or PostgreSQL, by its URL: one implementation with set-based statements and
no ORM; `dialect.py` has the differences."""

import time
from collections import namedtuple
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import event

from stream.store.contract import (
    NOTHING_LOADED,
    Cells,
    Changes,
    Entities,
    Fenced,
    Key,
    Move,
    Position,
    Row,
)
from stream.store.migrations.run import migrate
from stream.store.sql.dialect import Dialect, dialect_of
from stream.store.sql.driver import Driver, WritePool
from stream.store.sql.errors import translated

_SECOND = itemgetter(1)
MANY_CHANGES = 50_000
"""Changed cells above which a reader takes the whole table: it costs about as much."""
_keys_decoder = msgspec.msgpack.Decoder(list[tuple[str | int, ...]])

POSITION_COLUMNS = "processor, topic, partition, next, records, event_time_ms"
CATCHING_UP = (
    "(SELECT min(behind.next) FROM stopped_shop behind"
    " WHERE behind.processor = positions.processor AND behind.topic = positions.topic"
    " AND behind.partition = positions.partition"
    " AND behind.stopped = 0 AND behind.next < positions.next)"
)
"""Where the shop is that is furthest behind its processor, and not stopped."""
NEW_POSITION = (
    f"INSERT INTO positions ({POSITION_COLUMNS}) "
    "VALUES (:processor, :topic, :partition, :next, :records, :at) ON CONFLICT DO NOTHING"
)
MOVED = (
    "UPDATE positions SET next = :next, records = records + :records,"
    " event_time_ms = CASE WHEN event_time_ms > :at THEN event_time_ms ELSE :at END"
    " WHERE processor = :processor AND topic = :topic AND partition = :partition AND next = :loaded"
)
CHANGE_COLUMNS = "name, revision, at_ms, cells, keys"


class SqlReading:
    """Queries on an open connection."""

    def __init__(self, driver: Driver, dialect: Dialect) -> None:
        self._driver, self._dialect = driver, dialect

    def positions(self, processor: str | None = None) -> list[Position]:
        where = "" if processor is None else "WHERE processor = :processor"
        rows = self.query(
            f"SELECT {POSITION_COLUMNS}, coalesce({CATCHING_UP}, next)"
            f" FROM positions {where} ORDER BY 1, 2, 3",
            **({"processor": processor} if processor else {}),
        )
        return [Position(*row) for row in rows]

    def query(self, sql: str, **parameters: Any) -> list[Any]:
        cursor = self._driver.execute(self._dialect.statement(sql), parameters)
        if cursor.description is None:
            return []
        make = _row_type(tuple([column[0] for column in cursor.description]))._make
        return [make(row) for row in cursor.fetchall()]

    def find(self, entities: Entities[Row], keys: Collection[Key]) -> dict[Key, Row]:
        return self._found(entities, keys, lock="")

    def _found(
        self, entities: Entities[Row], keys: Collection[Key], *, lock: str
    ) -> dict[Key, Row]:
        if not keys:
            return {}
        size, make = entities.key, entities.row._make  # type: ignore[attr-defined]
        rows = self._dialect.select(
            self._driver,
            entities.table,
            _fields(entities),
            size,
            _ordered(keys, size),
            lock=lock,
        )
        return {row[:size]: make(row) for row in rows}

    def changes(self, cells: Cells, since: int | None) -> Changes:
        """As `stream.store.contract.Reading.changes`."""
        columns, size = (*cells.key, *cells.measures), len(cells.key)
        watermark = int(self._driver.execute(self._dialect.watermark).fetchall()[0][0])
        if since == watermark and cells.followed and not self._dialect.inclusive:
            return Changes([], watermark, complete=False)  # Nothing was written since.
        keys = None
        if since is not None and cells.followed:
            keys = self._changed_keys(cells, since)
        if keys is None:
            sql = f"SELECT {', '.join(columns)} FROM {cells.table}"
            return Changes(self._driver.execute(sql).fetchall(), watermark, complete=True)
        if not keys:
            return Changes([], watermark, complete=False)
        found = {
            tuple(row[:size]): row
            for row in self._dialect.select(
                self._driver, cells.table, columns, size, sorted(keys), lock=""
            )
        }
        zero = (0,) * len(cells.measures)
        return Changes([found.get(key, (*key, *zero)) for key in keys], watermark, complete=False)

    def _changed_keys(self, cells: Cells, since: int) -> set[Key] | None:
        """Keys of the cells changed since then; None if the record of changes is deleted, or so
        long that reading the whole table is cheaper."""
        if (
            self.query("SELECT floor FROM cell_changes_floor")[0][0]
            > since - self._dialect.inclusive
        ):
            return None
        rows = self.query(
            "SELECT cells, keys FROM cell_changes WHERE name = :name "
            f"AND revision {'>=' if self._dialect.inclusive else '>'} :since ORDER BY revision "
            f"LIMIT {MANY_CHANGES + 1}",
            name=cells.table,
            since=since,
        )
        if len(rows) > MANY_CHANGES or sum(count for count, _ in rows) > MANY_CHANGES:
            return None
        return {key for _, keys in rows for key in _keys_decoder.decode(keys)}


class SqlTransaction(SqlReading):
    """One write; see `stream.store.contract.Transaction`."""

    def __init__(self, driver: Driver, dialect: Dialect) -> None:
        super().__init__(driver, dialect)
        self._missing: dict[str, set[Key]] = {}
        self._changed: dict[str, set[Key]] = {}

    def advance(
        self, processor: str, topic: str, moves: Mapping[int, Move], event_time_ms: int
    ) -> None:
        of_all = {"processor": processor, "topic": topic, "at": event_time_ms}
        # New ones first, then in the order of partitions: owners of several do not deadlock.
        for partition, move in sorted(moves.items(), key=lambda m: (m[1].loaded is not None, m[0])):
            self._dialect.write(
                self._driver,
                "positions",
                NEW_POSITION if move.loaded is None else MOVED,
                of_all | {"partition": partition} | move._asdict(),
                partial(_fence, processor, topic, partition, move),
            )

    def load(
        self, entities: Entities[Row], keys: Collection[Key], *, shared: bool = False
    ) -> dict[Key, Row]:
        if not keys:
            return {}
        found = self._found(entities, keys, lock="SHARE" if shared else "UPDATE")
        if self._dialect.inserts:
            missing = self._missing.setdefault(entities.table, set())
            missing.update([key for key in keys if key not in found] if found else keys)
        return found

    def save(
        self,
        entities: Entities[Row],
        rows: Iterable[Row],
        loaded: Mapping[Key, Row] = NOTHING_LOADED,
    ) -> None:
        fields, size = _fields(entities), entities.key
        ordered = _ordered(rows, size)
        missing = self._missing.get(entities.table)
        if missing:
            new: list[Row] = []
            known: list[Row] = []
            for row in ordered:
                key = row[:size]
                if key in missing:
                    missing.remove(key)
                    new.append(row)
                else:
                    known.append(row)
            if new:
                self._dialect.insert(self._driver, entities.table, fields, size, new)
            ordered = known
        if loaded and entities.steady and self._dialect.indexes_what_is_set:
            ordered, steady = _by_steady(entities, ordered, loaded)
            if steady:
                self._dialect.upsert(
                    self._driver, entities.table, fields, size, steady, entities.steady
                )
        if ordered:
            self._dialect.upsert(self._driver, entities.table, fields, size, ordered)

    def delete(self, entities: Entities[Row], keys: Collection[Key]) -> None:
        if keys:
            self._dialect.delete(
                self._driver, entities.table, _fields(entities)[: entities.key], sorted(keys)
            )
            if self._dialect.inserts:
                self._missing.setdefault(entities.table, set()).update(keys)

    def add(self, cells: Cells, deltas: Mapping[Key, tuple[int, ...]]) -> None:
        changed = {key: measures for key, measures in deltas.items() if any(measures)}
        if changed:
            # Keys differ, so measures are never compared.
            rows = sorted([key + measures for key, measures in changed.items()])
            self._dialect.add(self._driver, cells, rows)
            self._note(cells, changed)

    def sweep(self, cells: Cells) -> int:
        zero = " AND ".join(f"{measure} = 0" for measure in cells.measures)
        swept = self.query(
            f"DELETE FROM {cells.table} WHERE {zero} RETURNING {', '.join(cells.key)}"
        )
        self._note(cells, [tuple(row) for row in swept])
        return len(swept)

    def remove(self, table: Entities[Any] | Cells, shop: str, at_most: int) -> int:
        fields = table.key if isinstance(table, Cells) else _fields(table)[: table.key]
        sql = f"SELECT {', '.join(fields)} FROM {table.table} WHERE shop = :shop LIMIT :at_most"
        keys = sorted(tuple(row) for row in self.query(sql, shop=shop, at_most=at_most))
        if keys:
            self._dialect.delete(self._driver, table.table, fields, keys)
            if isinstance(table, Cells):
                self._note(table, keys)
        return len(keys)

    def _note(self, cells: Cells, keys: Iterable[Key]) -> None:
        if cells.followed:
            self._changed.setdefault(cells.table, set()).update(keys)

    def forget_changes(self, before_ms: int) -> None:
        newest = self.query(
            "SELECT max(revision) FROM cell_changes WHERE at_ms < :before", before=before_ms
        )[0][0]
        if newest is not None:
            self.execute("DELETE FROM cell_changes WHERE at_ms < :before", before=before_ms)
            self.execute(
                "UPDATE cell_changes_floor SET floor = :floor WHERE floor < :floor", floor=newest
            )

    def record_changes(self, now_ms: int) -> None:
        """Record which cells this transaction changed, one row per table that is followed. The
        store calls it last."""
        changed = {table: keys for table, keys in self._changed.items() if keys}
        if changed:
            if self._dialect.count_revision:
                self._driver.execute(self._dialect.count_revision)
            keys: dict[str, Any] = {"at_ms": now_ms}
            for number, table in enumerate(sorted(changed)):
                keys |= {f"name{number}": table, f"cells{number}": len(changed[table])}
                keys[f"keys{number}"] = msgspec.msgpack.encode(list(changed[table]))
            values = ", ".join(
                f"(:name{n}, {self._dialect.revision}, :at_ms, :cells{n}, :keys{n})"
                for n in range(len(changed))
            )
            sql = f"INSERT INTO cell_changes ({CHANGE_COLUMNS}) VALUES {values}"
            self._dialect.write(self._driver, "cell_changes", sql, keys)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        missing = {table: keys.copy() for table, keys in self._missing.items()}
        changed = {table: keys.copy() for table, keys in self._changed.items()}
        with translated(self._dialect.errors()):
            self._dialect.settle(self._driver)
            self._driver.execute("SAVEPOINT block")
            try:
                yield
                self._dialect.settle(self._driver)
            except BaseException:
                self._missing, self._changed = missing, changed
                self._dialect.recover(self._driver)
                # Where this fails the transaction is lost, and so says its next statement.
                with suppress(self._dialect.errors()):
                    self._driver.execute("ROLLBACK TO SAVEPOINT block")
                    self._driver.execute("RELEASE SAVEPOINT block")
                raise
            self._driver.execute("RELEASE SAVEPOINT block")

    def execute(self, sql: str, **parameters: Any) -> int:
        return self._driver.execute(self._dialect.statement(sql), parameters).rowcount


def _ordered(rows: Iterable[Row], key: int) -> list[Row]:
    """Keys, or rows, in the order of keys; these differ, so nothing behind them is ever compared.

    Those of one shop by the other part of their key: a third of the time.
    """
    ordered = list(rows)
    if key == 2 and len({row[0] for row in ordered}) == 1:
        ordered.sort(key=_SECOND)
    else:
        ordered.sort()
    return ordered


def _by_steady(
    entities: Entities[Row], rows: Iterable[Row], loaded: Mapping[Key, Row]
) -> tuple[list[Row], list[Row]]:
    """Rows that change a steady column or are new, and the others."""
    size, fields = entities.key, _fields(entities)
    steady_of = itemgetter(*(fields.index(name) for name in entities.steady))
    changed: list[Row] = []
    unchanged: list[Row] = []
    for row in rows:
        old = loaded.get(row[:size])
        if old is None or steady_of(old) != steady_of(row):
            changed.append(row)
        else:
            unchanged.append(row)
    return changed, unchanged


def _fence(processor: str, topic: str, partition: int, move: Move, moved: int) -> None:
    if not moved:
        raise Fenced(
            f"{processor} does not own {topic} any more as it was loaded: {partition} at"
            f" {move.loaded}"
        )


@lru_cache(maxsize=256)
def _row_type(names: tuple[str, ...]) -> type[Any]:
    return namedtuple("Row", names, rename=True)


def _driver(connection: sa.Connection) -> Driver:
    driver: Any = connection.connection.driver_connection
    return driver  # type: ignore[no-any-return]


def _fields(entities: Entities[Any]) -> tuple[str, ...]:
    fields: tuple[str, ...] = entities.row._fields
    return fields


class SqlStore:
    """A `stream.store.contract.Store`; create one with `open`."""

    def __init__(self, engine: sa.Engine, dialect: Dialect, writer: WritePool) -> None:
        """`engine` reads."""
        self._engine, self._dialect, self._writer = engine, dialect, writer
        self.dialect = dialect.name

    @classmethod
    def open(cls, url: str, *, pool_size: int = 8) -> "SqlStore":
        """Connect to `sqlite:///path` or `postgresql://...` and bring its schema up to date, under
        a lock.

        Raises ValueError for another URL, StoreUnavailable, Incompatible.
        """
        dialect = dialect_of(url)
        dialect.check(url)
        engine = _engine(dialect, url, pool_size)
        try:
            with translated(dialect.errors()):
                migrate(engine, dialect)
                dialect.learn(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, dialect, dialect.writer(url, partial(_writing, dialect, url, pool_size)))

    @contextmanager
    def begin(self) -> Iterator[SqlTransaction]:
        with translated(self._dialect.errors()), self._writer.transaction() as driver:
            transaction = SqlTransaction(driver, self._dialect)
            yield transaction
            transaction.record_changes(time.time_ns() // 1_000_000)

    @contextmanager
    def snapshot(self) -> Iterator[SqlReading]:
        with (
            translated(self._dialect.errors()),
            self._engine.connect().execution_options(**self._dialect.read_options) as connection,
            connection.begin(),
        ):
            yield SqlReading(_driver(connection), self._dialect)

    def close(self) -> None:
        self._engine.dispose()
        self._writer.close()


def _writing(dialect: Dialect, url: str, pool_size: int) -> sa.Engine:
    engine = _engine(dialect, url, pool_size, pool_reset_on_return=None)
    event.listen(engine, "connect", dialect.on_connect_to_write)
    return engine


def _engine(dialect: Dialect, url: str, pool_size: int, **options: Any) -> sa.Engine:
    address = sa.make_url(dialect.engine_url(url))
    engine = sa.create_engine(
        address,
        # Statements that fail are quoted in messages; what they were given is not.
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=pool_size,
        # Connections that are seldom needed stay cold, and their page caches empty.
        pool_use_lifo=True,
        connect_args={
            name: value
            for name, value in dialect.connect_arguments.items()
            if name not in address.query
        },
        **dialect.engine_arguments,
        **options,
    )
    event.listen(engine, "connect", dialect.on_connect)
    event.listen(engine, "checkout", dialect.on_checkout)
    event.listen(engine, "begin", dialect.on_begin)
    return engine
