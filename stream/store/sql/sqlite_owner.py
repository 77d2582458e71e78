"""Checks that the SQLite file of the store's URL is an orderwire store, before anything is changed
in it (journal mode included)."""

import sqlite3
from contextlib import closing
from pathlib import Path

from stream.store.contract import Incompatible

OURS = {"alembic_version", "positions"}


def check(path: Path) -> None:
    """Returns if the file is ours, new or missing; also if it cannot be read, which opening it will
    report. Raises Incompatible for any other file with tables, such as the embedded log."""
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
