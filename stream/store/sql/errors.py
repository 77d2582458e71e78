"""Maps database errors to retry, stop or park, by PostgreSQL's SQLSTATE (its appendix A, "Error
Codes") and SQLite's result codes (sqlite.org/rescode.html)."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from stream.store.contract import Conflict, OutOfRange, StoreBroken, StoreUnavailable, Unstorable

PASSING_CLASSES = ("08", "40", "53", "55", "57", "58")
"""Connection, transaction rolled back, insufficient resources, object not ready, operator
intervention, system error."""
READ_ONLY = "25006"
DATA_CLASSES = ("21", "22", "23", "54")
"""Cardinality, data exception, integrity constraint, program limit exceeded (a key larger than an
index takes)."""
PASSING_CODES = (
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
)
BEYOND_64_BITS = "22003"
CREATED_BY_ANOTHER = "23505"
"""unique_violation: no table has a unique index beside its primary key, and rows that were found
are updated."""
NOT_AN_INTEGER = 3091
"""SQLITE_CONSTRAINT_DATATYPE: a sum beyond 64 bits becomes a float, which a strict table refuses
(sqlite.org/stricttables.html; the constant's name is not in Python 3.11)."""
INTEGER_OVERFLOW = "integer overflow"
"""What SQLite's sum() raises, with its general code (sqlite.org/lang_aggfunc.html#sumunc)."""
EXHAUSTED = "This connection is closed"
"""What SQLAlchemy's pool raises when connections were closed on both of its attempts to check one
out, as by a server that shuts down (`sqlalchemy/pool/base.py`, `_ConnectionFairy._checkout`)."""
DATA_CODES = (sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH)


@contextmanager
def translated(errors: type[Exception]) -> Iterator[None]:
    """Raise database errors as StoreUnavailable, Unstorable or StoreBroken.

    `errors` are the driver's own, of statements that do not go through SQLAlchemy.
    """
    try:
        yield
    except exc.TimeoutError:
        raise StoreUnavailable("all connections to the database are in use") from None
    except exc.InvalidRequestError as error:
        if str(error) != EXHAUSTED:
            raise
        raise StoreUnavailable("the database closes every new connection") from None
    except exc.DBAPIError as error:
        raise meaning(error.orig, lost=error.connection_invalidated) from None
    except errors as error:
        raise meaning(error) from None


def meaning(
    cause: BaseException | None, *, lost: bool = False
) -> StoreUnavailable | StoreBroken | Unstorable:
    """The error to raise instead. Its message never contains parameters, which hold customers'
    data.

    | the database says | raised | the runner |
    |---|---|---|
    | connection lost, restarting, read only, full, locked, deadlock | StoreUnavailable | retries |
    | another owner created the same row (PostgreSQL) | Conflict | retries |
    | a number or a sum beyond 64 bits | OutOfRange | parks it |
    | a value too long, with a NUL, against a constraint | Unstorable | parks it |
    | damaged file, missing table or column, no permission, other | StoreBroken | stop |
    """
    description = f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0]}"
    if isinstance(cause, sqlite3.Error):
        whole = getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        code = whole & 0xFF  # The rest says which kind of it.
        passing, data = code in PASSING_CODES, code in DATA_CODES
        beyond = whole == NOT_AN_INTEGER or str(cause) == INTEGER_OVERFLOW
    else:
        state = getattr(cause, "sqlstate", None) or ""
        if state == CREATED_BY_ANOTHER:
            return Conflict("another owner created some of the same rows; fold this batch again")
        kinds = {kind.__name__ for kind in type(cause).__mro__}  # PEP 249's names.
        lost = lost or "InterfaceError" in kinds or (not state and "OperationalError" in kinds)
        passing = lost or state == READ_ONLY or state.startswith(PASSING_CLASSES)
        # The driver itself refuses a NUL.
        data = state.startswith(DATA_CLASSES) or (not state and "DataError" in kinds)
        beyond = state == BEYOND_64_BITS
    if beyond:
        return OutOfRange("a number, or a sum of numbers, is beyond 64 bits")
    if passing:
        return StoreUnavailable(f"the database cannot do this now ({description})")
    if data:  # The server's text may quote the value.
        return Unstorable(
            f"the database cannot hold a value of this record ({type(cause).__name__})"
        )
    return StoreBroken(f"the database is damaged, or not as this program needs it ({description})")
