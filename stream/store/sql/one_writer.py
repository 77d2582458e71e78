"""The one connection of a process that writes to a SQLite file. Its transactions are the driver's
own: SQLAlchemy took 80 us to begin and commit one, the driver takes 6."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

import sqlalchemy as sa

from stream.store.sql.checkpoints import Checkpoints


class OneWriter:
    """Writers queue on a lock of ours, since SQLite's own busy handler sleeps."""

    def __init__(self, engine: sa.Engine, checkpoints: Checkpoints) -> None:
        """`engine` makes the connection, when it is first needed and again after a failure."""
        self._engine, self._checkpoints = engine, checkpoints
        self._lock = threading.Lock()
        self._connection: sa.PoolProxiedConnection | None = None

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
                self._checkpoints.wrote(driver.total_changes - before)
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

    def _roll_back(self, driver: sqlite3.Connection) -> None:
        try:
            if driver.in_transaction:
                driver.execute("ROLLBACK")
        except sqlite3.Error:
            self._discard()

    def _discard(self) -> None:
        """Close the connection, which rolls back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.invalidate()
