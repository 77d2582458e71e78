"""Empties a SQLite store's WAL, which still holds the pages of before an erasure."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from stream.store.contract import StoreUnavailable

ATTEMPTS, PAUSE_S = 50, 0.02


def empty_wal(path: Path) -> bool:
    """Copy the WAL into the file and cut it off; False where readers were in the way. Raises
    StoreUnavailable."""
    try:
        with closing(sqlite3.connect(path, timeout=0.1, isolation_level=None)) as db:
            for _ in range(ATTEMPTS):
                if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
                    return True
                time.sleep(PAUSE_S)
            return False
    except sqlite3.Error as error:
        raise StoreUnavailable(f"store {path}: {error}") from None
