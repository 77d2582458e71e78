"""A store for processes that write only a row or two: a driver's own connection, without SQLAlchemy
(12 MB of memory).

The receiver writes its heartbeat through it (`orderwire/serve/reporting/heartbeat.py`). It never
creates schema or file; until `SqlStore.open` has, it is unavailable.
"""

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stream.store.contract import StoreUnavailable

BUSY_S = 10.0
KEEPALIVE: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""libpq's keepalive settings: a server that vanished silently (fail-over, pulled cable) is noticed
within 25 s; the system's defaults take hours."""
_NAME = re.compile(r":(\w+)")


class PlainTransaction:
    """The part of `stream.store.contract.Transaction` that `PlainStore.begin` provides."""

    def __init__(self, connection: Any, *, sqlite: bool) -> None:
        self._connection, self._sqlite = connection, sqlite

    def execute(self, sql: str, **parameters: Any) -> int:
        """A statement with `:name` parameters; returns the number of rows touched."""
        return int(
            self._connection.execute(
                sql if self._sqlite else _NAME.sub(r"%(\1)s", sql), parameters
            ).rowcount
        )


class PlainStore:
    """One connection, opened when first needed and again after every failure. Thread-safe."""

    def __init__(self, url: str) -> None:
        """`sqlite:///path` or `postgresql://...`; nothing is connected yet."""
        self._url, self._sqlite = url, url.startswith("sqlite:///")
        self._lock = threading.Lock()
        self._connection: Any = None
        self._connect, self._error = _sqlite(url) if self._sqlite else _postgres(url)

    @contextmanager
    def begin(self) -> Iterator[PlainTransaction]:
        """A transaction: commits where the block ends, rolls back where it raises. Raises
        StoreUnavailable."""
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                yield PlainTransaction(self._connection, sqlite=self._sqlite)
                self._connection.commit()
            except self._error as error:
                self._discard()
                first_line = next(iter(str(error).splitlines()), "")
                raise StoreUnavailable(
                    f"the database cannot do this now ({type(error).__name__}: {first_line})"
                ) from None
            except BaseException:
                self._discard()
                raise

    def close(self) -> None:
        with self._lock:
            self._discard()

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(self._error):  # it is discarded in any case
                connection.close()


def _sqlite(url: str) -> tuple[Callable[[], Any], type[Exception]]:
    # mode=rw: no file is made here (sqlite.org/uri.html).
    name = Path(url.removeprefix("sqlite:///")).absolute().as_uri() + "?mode=rw"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(name, uri=True, timeout=BUSY_S, check_same_thread=False)
        connection.execute("PRAGMA synchronous = NORMAL")
        # As in stream/store/sql/dialect.py: no earlier checkpoint than the main writers make.
        connection.execute("PRAGMA wal_autocheckpoint = 16384")
        return connection

    return connect, sqlite3.Error


def _postgres(url: str) -> tuple[Callable[[], Any], type[Exception]]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    return lambda: psycopg.connect(**{**KEEPALIVE, **conninfo_to_dict(url)}), psycopg.Error
