"""PostgreSQL connections that write. Statements whose answer nobody needs yet travel together, with
the next one that reads their tables, or with the commit: one round trip, and one call to send."""

import itertools
import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

import psycopg
import sqlalchemy as sa
from psycopg import OperationalError, errors
from psycopg.abc import Transformer as Adapters
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from stream.store.sql.driver import Check, Cursor, Driver

BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED"
MOST_BYTES: Final = 32_000
"""libpq sends what it has whenever it has 64 KiB. A parcel is sent as a whole: a server that had
half of one would wait for the rest with locks held, and not count as idle in a transaction
(`idle_in_transaction_session_timeout`), should this process stand still in between."""
OFTEN: Final = 5
"""A statement that is read is prepared at its fifth use, as psycopg does it: lists of values have
many lengths, and a server keeps 20 kB of each."""
MOST_PREPARED: Final = 250
_MARK: Final = re.compile(r"%s")
_PARAMETER: Final = re.compile(r"%(?:\((\w+)\)s|s|%)")
_AUTO: Final = (PyFormat.AUTO,) * 65_535
"""As many as a statement may have parameters."""
_names: Final = itertools.count()


class _Text(NamedTuple):
    """A statement as the server knows it."""

    sql: bytes
    types: tuple[int, ...] = ()
    """Of parameters, where the server is not to find them by itself."""


@dataclass(frozen=True, slots=True)
class _Statement:
    table: str
    text: _Text
    values: Sequence[Any]
    formats: Sequence[Any] | None = None
    """Of values: text or binary; None: text."""
    check: Check | None = None
    prepare: bool = True


@dataclass(slots=True)
class ConnectionState:
    """What is kept with a connection from transaction to transaction."""

    adapters: Adapters
    prepared: dict[_Text, bytes] = field(default_factory=dict)
    """Names of the statements that the server has prepared."""
    uses: Counter[_Text] = field(default_factory=Counter)
    """Of statements that are not."""

    def often(self, text: _Text) -> bool:
        """Whether a statement that is used now is worth preparing."""
        if len(self.uses) > 4 * MOST_PREPARED:
            self.uses.clear()
        self.uses[text] += 1
        return self.uses[text] >= OFTEN


class ParcelDriver:
    """A `Driver` within a transaction."""

    def __init__(self, connection: psycopg.Connection[Any], known: ConnectionState) -> None:
        self._connection, self._known = connection, known
        self._waiting: list[_Statement] = []
        self._bytes = 0
        self._begun = False

    def execute(self, sql: str, parameters: Any = None, /) -> Cursor:
        """A statement whose answer is needed now. BEGIN travels with it, and what waits if it is of
        a table that this one names."""
        text, values, formats = self._adapted(sql, parameters)
        size = len(text.sql) + sum(len(each) for each in values if each)
        waiting = any(each.table in sql for each in self._waiting)
        if size > MOST_BYTES:
            if waiting or not self._begun:
                self.settle()
            return self._connection.execute(sql, parameters, prepare=False)
        if self._bytes + size > MOST_BYTES:
            self.settle()
        often = self._known.often(text)
        if waiting or not self._begun:
            parcel = [*self._taken(), _Statement("", text, values, formats, prepare=often)]
            return _Answer(self._send(parcel)[-1], self._known.adapters)
        return _Answer(self._ask(text, values, formats, prepare=often), self._known.adapters)

    def later(
        self, table: str, sql: str, parameters: Sequence[Any], check: Check | None = None
    ) -> None:
        """A statement (`%s` parameters) that writes to `table`, sent before any other that names
        it, checked before the commit."""
        values = [_text(each) for each in parameters]
        size = len(sql) + sum(len(each) for each in values if each)
        if size > MOST_BYTES or any(each is not None and b"\0" in each for each in values):
            self.settle()
            touched = self._connection.execute(sql, parameters, prepare=False).rowcount
            if check is not None:
                check(touched)
            return
        if self._bytes + size > MOST_BYTES:
            self.settle()
        self._bytes += size
        self._waiting.append(_Statement(table, _Text(_numbered(sql)), values, check=check))

    def settle(self) -> None:
        """Send what waits. Raises what it raises."""
        if self._waiting or not self._begun:
            self._send(self._taken())

    def commit(self) -> None:
        """Commit. The server skips it where a statement of the same parcel fails."""
        if any(each.check for each in self._waiting):
            self.settle()
        self._send(self._taken(), ["COMMIT"])

    def recover(self) -> None:
        """Forget what waits, after an error."""
        self._taken()

    def _taken(self) -> list[_Statement]:
        """What waits, which waits no longer."""
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        return waiting

    def _adapted(
        self, sql: str, parameters: Any
    ) -> tuple[_Text, Sequence[Any], Sequence[Any] | None]:
        """A statement as the driver would send it: it gives parameters their types."""
        if parameters is None:
            return _Text(sql.encode()), (), None
        numbered, names = _compiled(sql)
        if isinstance(parameters, Mapping):
            parameters = [parameters[name] for name in names]
        adapters = self._known.adapters
        values = adapters.dump_sequence(parameters, _AUTO[: len(parameters)])
        return _Text(numbered, tuple(adapters.types or ())), values, adapters.formats

    def _ask(
        self, text: _Text, values: Sequence[Any], formats: Sequence[Any] | None, *, prepare: bool
    ) -> PGresult:
        """Carry out one statement, nothing beside it. libpq waits for the answer by itself, which
        costs a third of what a parcel does."""
        prepared, pgconn = self._known.prepared, self._connection.pgconn
        name = prepared.get(text)
        if name is None and prepare:
            name = f"orderwire_{next(_names)}".encode()
            _raise_error(pgconn.prepare(name, text.sql, text.types))
            prepared[text] = name
        if name is None:
            result = pgconn.exec_params(text.sql, values, text.types, formats)
        else:
            result = pgconn.exec_prepared(name, values, formats)
        _raise_error(result)
        return result

    def _send(self, parcel: Sequence[_Statement], after: Sequence[str] = ()) -> list[PGresult]:
        """Send a parcel. Returns the answers to its statements; raises what they raise."""
        known, before = self._known, [] if self._begun else [BEGIN]
        if before and len(known.prepared) > MOST_PREPARED:
            before.append("DEALLOCATE ALL")
            known.prepared.clear()
        self._begun = True
        new: dict[_Text, bytes] = {}
        sent: list[_Statement | None] = []
        connection = self._connection
        pgconn = connection.pgconn
        try:
            pgconn.enter_pipeline_mode()
            for sql in before:
                pgconn.send_query_params(sql.encode(), None)
                sent.append(None)
            for each in parcel:
                text = each.text
                name = known.prepared.get(text) or new.get(text)
                if name is None and each.prepare:
                    name = new[text] = f"orderwire_{next(_names)}".encode()
                    pgconn.send_prepare(name, text.sql, text.types)
                    sent.append(None)
                if name is None:
                    pgconn.send_query_params(text.sql, each.values, text.types, each.formats)
                else:
                    pgconn.send_query_prepared(name, each.values, each.formats)
                sent.append(each)
            for sql in after:
                pgconn.send_query_params(sql.encode(), None)
                sent.append(None)
            pgconn.pipeline_sync()
            results = connection.wait(_answers(pgconn))
            pgconn.exit_pipeline_mode()
        except BaseException:
            connection.close()  # Nobody knows what it would answer next.
            raise
        for result in results:
            _raise_error(result)
        known.prepared |= new
        answers = []
        for statement, result in zip(sent, results, strict=True):
            if statement is not None:
                answers.append(result)
                if statement.check is not None:
                    statement.check(result.command_tuples or 0)
        return answers


class _Answer:
    """A `Cursor` of what the server has answered."""

    def __init__(self, result: PGresult, adapters: Adapters) -> None:
        self._result, self._adapters = result, adapters

    @property
    def rowcount(self) -> int:
        touched = self._result.command_tuples
        return -1 if touched is None else touched

    @property
    def description(self) -> Sequence[Sequence[Any]] | None:
        columns = range(self._result.nfields)
        return [((self._result.fname(each) or b"").decode(),) for each in columns] or None

    def fetchall(self) -> list[Any]:
        self._adapters.set_pgresult(self._result)
        return self._adapters.load_rows(0, self._result.ntuples, tuple)


def _answers(pgconn: PGconn) -> Generator[Any, Any, list[PGresult]]:
    """The results of all that was sent, as psycopg's `Connection.wait` runs it."""
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


_FAILED: Final = (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED)


def _raise_error(result: PGresult) -> None:
    if result.status not in _FAILED:
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
def _compiled(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """A statement of the driver (`%(name)s` or `%s`) with parameters as the server names them, and
    the names of these in order."""
    numbers: dict[str, int] = {}

    def numbered(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        return f"${numbers.setdefault(found[1] or str(len(numbers)), len(numbers) + 1)}"

    return _PARAMETER.sub(numbered, sql).encode(), tuple(numbers)


@lru_cache(maxsize=512)
def _numbered(sql: str) -> bytes:
    """`%s` as the server names parameters."""
    number = itertools.count(1)
    return _MARK.sub(lambda _: f"${next(number)}", sql).encode()


def _known(pooled: sa.PoolProxiedConnection) -> ConnectionState:
    known: ConnectionState | None = pooled.info.get("known")
    if known is None:
        connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]
        known = pooled.info["known"] = ConnectionState(Transformer(connection))
    return known


class ParcelWriters:
    """A pool of connections, each with one transaction at a time."""

    def __init__(self, engine: sa.Engine) -> None:
        """`engine` makes connections in autocommit: BEGIN is a statement as others are."""
        self._engine = engine

    @contextmanager
    def transaction(self) -> Iterator[Driver]:
        """As `WritePool.transaction`."""
        pooled = self._engine.raw_connection()
        connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]
        driver = ParcelDriver(connection, _known(pooled))
        try:
            yield driver
            driver.commit()
        except BaseException:
            driver.recover()
            try:
                connection.rollback()
            except psycopg.Error:
                pooled.invalidate()
            raise
        finally:
            pooled.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
