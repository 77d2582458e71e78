"""PostgreSQL connections that write. Statements whose answer nobody needs yet travel together, with
the next one that reads their tables, or with the commit: one round trip, and one call to send."""

import itertools
import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from stream.store.sql.driver import Check, Cursor, Driver

if TYPE_CHECKING:  # The driver is not in the memory of processes that use SQLite.
    import psycopg
    from psycopg.pq.abc import PGconn, PGresult

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
MOST_BYTES: Final = 32_000
"""libpq sends what it has whenever it has 64 KiB. A parcel is sent as a whole: a server that had
half of one would wait for the rest with locks held, and not count as idle in a transaction
(`idle_in_transaction_session_timeout`), should this process stand still in between."""
_MARK: Final = re.compile(r"%s")
_names: Final = itertools.count()


@dataclass(frozen=True, slots=True)
class _Statement:
    table: str
    sql: str
    values: Sequence[bytes | None]
    check: Check | None


class ParcelDriver:
    """A `Driver` within a transaction."""

    def __init__(self, connection: "psycopg.Connection[Any]", prepared: dict[str, bytes]) -> None:
        """`prepared`: names of statements by text, as this connection knows them."""
        self._connection, self._prepared = connection, prepared
        self._waiting: list[_Statement] = []
        self._bytes = 0
        self._begun = False

    def execute(self, sql: str, parameters: Any = None, /) -> Cursor:
        """A statement whose answer is needed now. What waits is sent before if it is of a table
        that this one names."""
        if not self._begun or any(each.table in sql for each in self._waiting):
            self.settle()
        return self._connection.execute(sql, parameters)

    def later(
        self, table: str, sql: str, parameters: Sequence[Any], check: Check | None = None
    ) -> None:
        """A statement (`%s` parameters) that writes to `table`, sent before any other that names
        it, checked before the commit."""
        values = [_text(each) for each in parameters]
        size = len(sql) + sum(len(each) for each in values if each)
        if size > MOST_BYTES or any(each is not None and b"\0" in each for each in values):
            self.settle()
            touched = self._connection.execute(sql, parameters).rowcount
            if check is not None:
                check(touched)
            return
        if self._bytes + size > MOST_BYTES:
            self.settle()
        self._bytes += size
        self._waiting.append(_Statement(table, sql, values, check))

    def settle(self) -> None:
        """Send what waits. Raises what it raises."""
        if self._waiting or not self._begun:
            self._send([] if self._begun else [BEGIN], self._waiting)

    def commit(self) -> None:
        """Commit. The server skips it where a statement of the same parcel fails."""
        if any(each.check for each in self._waiting):
            self.settle()
        self._send([] if self._begun else [BEGIN], self._waiting, ["COMMIT"])

    def recover(self) -> None:
        """Forget what waits, after an error. Prepared statements may be gone with a rollback."""
        self._forget()
        self._prepared.clear()

    def _forget(self) -> None:
        self._waiting, self._bytes = [], 0

    def _send(
        self, before: Sequence[str], parcel: Sequence[_Statement], after: Sequence[str] = ()
    ) -> None:
        self._begun = True
        self._forget()
        new: dict[str, bytes] = {}
        connection = self._connection
        pgconn = connection.pgconn
        try:
            pgconn.enter_pipeline_mode()
            for sql in before:
                pgconn.send_query_params(sql.encode(), None)
            for each in parcel:
                name = self._prepared.get(each.sql) or new.get(each.sql)
                if name is None:
                    name = new[each.sql] = f"orderwire_{next(_names)}".encode()
                    pgconn.send_prepare(name, _numbered(each.sql))
                pgconn.send_query_prepared(name, each.values)
            for sql in after:
                pgconn.send_query_params(sql.encode(), None)
            pgconn.pipeline_sync()
            results = connection.wait(_answers(pgconn))
            pgconn.exit_pipeline_mode()
        except BaseException:
            connection.close()  # Nobody knows what it would answer next.
            raise
        for result in results:
            _raise_error(result)
        self._prepared |= new
        touched = [r.command_tuples or 0 for r in results if r.command_status not in _SILENT]
        for each, rows in zip(parcel, touched, strict=True):
            if each.check is not None:
                each.check(rows)


_SILENT: Final = (None, b"", b"BEGIN", b"COMMIT")
"""Of statements that are prepared, and of those around a parcel."""


def _answers(pgconn: "PGconn") -> "Generator[Any, Any, list[PGresult]]":
    """The results of all that was sent, as psycopg's `Connection.wait` runs it."""
    from psycopg import OperationalError
    from psycopg.pq import ConnStatus, ExecStatus
    from psycopg.waiting import Ready, Wait

    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    found: list[PGresult] = []
    while True:
        while pgconn.is_busy():
            if (yield Wait.R):
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:  # Between two statements.
            if pgconn.status != ConnStatus.OK:
                raise OperationalError("the connection is lost")
        elif result.status == ExecStatus.PIPELINE_SYNC:
            return found
        else:
            found.append(result)


def _raise_error(result: "PGresult") -> None:
    from psycopg import OperationalError, errors
    from psycopg.pq import DiagnosticField, ExecStatus

    if result.status not in (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED):
        return
    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    message = result.get_error_message()
    try:
        kind = errors.lookup(state)
    except KeyError:
        raise OperationalError(message) from None
    raise kind(message)


def _text(value: Any) -> bytes | None:
    """A parameter as libpq sends it."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    if value is None:
        return None
    raise TypeError(f"a parameter is {type(value).__name__}")


@lru_cache(maxsize=512)
def _numbered(sql: str) -> bytes:
    """`%s` as the server names parameters."""
    number = itertools.count(1)
    return _MARK.sub(lambda _: f"${next(number)}", sql).encode()


class ParcelWriters:
    """A pool of connections, each with one transaction at a time."""

    def __init__(self, engine: sa.Engine, errors: type[Exception]) -> None:
        """`engine` makes connections in autocommit: BEGIN is a statement as others are."""
        self._engine, self._errors = engine, errors

    @contextmanager
    def transaction(self) -> Iterator[Driver]:
        """As `WritePool.transaction`."""
        pooled = self._engine.raw_connection()
        connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]
        driver = ParcelDriver(connection, pooled.info.setdefault("prepared", {}))
        try:
            yield driver
            driver.commit()
        except BaseException:
            driver.recover()
            try:
                connection.rollback()
            except self._errors:
                pooled.invalidate()
            raise
        finally:
            pooled.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
