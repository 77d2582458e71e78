"""Checks that the SQLite file of the store's URL is an orderwire store that this Python can open,
before anything is changed in it (journal mode included)."""

import sqlite3
from contextlib import closing
from pathlib import Path

from stream.store.contract import Incompatible

OURS = {"alembic_version", "positions"}
LEAST = (3, 37, 0)
"""With STRICT tables (sqlite.org/stricttables.html)."""


def check(path: Path) -> None:
    """Returns if the file is ours, new or missing; also if it cannot be read, which opening it will
    report. Raises Incompatible for any other file with tables, such as the embedded log, and where
    Python's SQLite is too old for ours."""
    if sqlite3.sqlite_version_info < LEAST:
        raise Incompatible(
            f"this Python has SQLite {sqlite3.sqlite_version}, and the store needs "
            f"{'.'.join(map(str, LEAST))} or newer: take another Python, or PostgreSQL"
        )
    if not path.exists():
        return
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10.0)
        ) as db:
            tables = {
                name
                for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            }
    except sqlite3.Error:
        return
    if tables and not tables >= OURS:
        raise Incompatible(
            f"{path} is a SQLite database, but not an orderwire store: see ORDERWIRE_STORE_URL"
        )
