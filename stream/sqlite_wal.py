"""Puts a SQLite file into WAL mode, whoever opens it at the same time."""

import sqlite3

import stamina


def use_wal(connection: sqlite3.Connection, timeout_s: float) -> str:
    """Switch the file to WAL; returns its journal mode, which some file systems leave as it was.

    SQLite waits for no lock here while another connection is about to write, so that processes
    which start together on a new file would fail. Raises sqlite3.Error, after `timeout_s` that of
    the lock.
    """
    again = stamina.RetryingCaller(
        attempts=None, timeout=timeout_s, wait_initial=0.02, wait_max=0.1, wait_jitter=0.02
    )
    mode: str = again(is_busy, connection.execute, "PRAGMA journal_mode = WAL").fetchone()[0]
    return mode


def is_busy(error: Exception) -> bool:
    """Whether another connection's lock was in the way."""
    return isinstance(error, sqlite3.Error) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
