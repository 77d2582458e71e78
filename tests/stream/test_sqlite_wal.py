"""Files that are put into WAL mode while others use them."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from stream.sqlite_wal import is_busy, use_wal


def opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)


def writing(path: Path) -> sqlite3.Connection:
    """A connection to a new file, not in WAL mode, that is about to commit."""
    connection = opened(path)
    connection.execute("CREATE TABLE t (x)")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO t VALUES (1)")
    return connection


def test_the_switch_waits_for_a_connection_that_writes(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with closing(writing(path)) as writer, closing(opened(path)) as other:
        commit = threading.Timer(0.2, writer.execute, ("COMMIT",))
        commit.start()
        assert use_wal(other, 60) == "wal"
        commit.join()
        assert use_wal(writer, 1) == "wal"


def test_a_lock_that_stays_is_told(tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    with closing(writing(path)), closing(opened(path)) as other:
        with pytest.raises(sqlite3.OperationalError) as told:
            use_wal(other, 0.1)
        assert is_busy(told.value)
