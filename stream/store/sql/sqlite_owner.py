"""Whose a SQLite file is that the store's URL names: asked before anything is changed in it, its
journal mode included.

Ours has the schema's revision and positions; a new one has no table at all. Everything else is
somebody's who would not want our tables in it, such as the embedded log.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from stream.store.contract import Incompatible

OURS = {"alembic_version", "positions"}


def check(path: Path) -> None:
    """Nothing where the file is ours, new, not there yet, or cannot be read, which whoever opens it
    will tell. Raises Incompatible."""
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
