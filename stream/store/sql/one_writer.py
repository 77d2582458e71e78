"""The one connection of a process that writes to a SQLite file. Its transactions are the driver's
own: SQLAlchemy took 80 us to begin and commit one, the driver takes 6."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final, cast

import sqlalchemy as sa

from stream.store.sql.checkpoints import Checkpoints

CACHE_KIB: Final = 8_192
"""The writer's page cache."""
LARGE_CACHE_KIB: Final = 32_768
"""The same while transactions are large: pages that one changes are then written once, at its end.
At 90,000 orders a batch of 500 took a tenth less CPU, one of 50 no less."""
LARGE_ROWS: Final = 2_000
"""Rows of a large transaction: those of 150 new orders."""
LARGE_FOR_S: Final = 2.0
"""How long after a large transaction the cache shrinks with the next small one."""


def resize_cache(connection: sqlite3.Connection, *, large: bool) -> None:
    """Let the page cache grow, or free what is beyond its usual size."""
    connection.execute(f"PRAGMA cache_size = -{LARGE_CACHE_KIB if large else CACHE_KIB}")


class OneWriter:
    """Writers queue on a lock of ours, since SQLite's own busy handler sleeps."""

    def __init__(self, engine: sa.Engine, checkpoints: Checkpoints) -> None:
        """`engine` makes the connection, when it is first needed and again after a failure."""
        self._engine, self._checkpoints = engine, checkpoints
        self._lock = threading.Lock()
        self._connection: sa.PoolProxiedConnection | None = None
        self._large_until_s: float | None = None
        """By the monotonic clock; None while the cache has its usual size."""

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """As `stream.store.sql.driver.WritePool.transaction`."""
        with self._lock:
            driver = self._connected()
            try:
                before = driver.total_changes
                driver.execute("BEGIN IMMEDIATE")
                yield driver
                driver.execute("COMMIT")
                rows = driver.total_changes - before
                self._checkpoints.wrote(rows)
                self._fit_cache(driver, rows)
            except sqlite3.Error:
                # A full disk or a lock may leave the connection anywhere.
                self._discard()
                raise
            except BaseException:
                self._roll_back(driver)
                raise

    def close(self) -> None:
        """Close the connection, once nobody writes."""
        with self._lock:
            self._discard()
        self._checkpoints.close()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
        return cast(sqlite3.Connection, self._connection.driver_connection)

    def _fit_cache(self, driver: sqlite3.Connection, rows: int) -> None:
        """After a transaction of so many rows."""
        if rows >= LARGE_ROWS:
            if self._large_until_s is None:
                resize_cache(driver, large=True)
            self._large_until_s = time.monotonic() + LARGE_FOR_S
        elif self._large_until_s is not None and time.monotonic() > self._large_until_s:
            self._large_until_s = None
            resize_cache(driver, large=False)

    def _roll_back(self, driver: sqlite3.Connection) -> None:
        try:
            if driver.in_transaction:
                driver.execute("ROLLBACK")
        except sqlite3.Error:
            self._discard()

    def _discard(self) -> None:
        """Close the connection, which rolls back."""
        connection, self._connection = self._connection, None
        self._large_until_s = None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.invalidate()
