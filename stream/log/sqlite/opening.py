"""Creates or opens the log's file; refuses a file that is not a log or has a newer format. Every
refusal names the file and what to do, and a foreign file is never changed."""

import sqlite3
from pathlib import Path
from uuid import uuid4

from stream.log.contract import LogError
from stream.log.sqlite.file import PAGE_BYTES, WriteTransaction, unavailable
from stream.log.sqlite.place import mark_of, note_made, refuse_to_begin_anew
from stream.sqlite_wal import is_busy, use_wal

FORMAT = 1
"""`PRAGMA user_version` of what this code writes."""

APPLICATION_ID = 0x6F776C67
"""'owlg': distinguishes an orderwire log from other SQLite files, such as the store's."""

TOPICS = (
    "CREATE TABLE topics (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " floor INTEGER NOT NULL DEFAULT 0)"
)

IDENTITY = "CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL)"
"""One row: what distinguishes this log from any other, in whatever folder it lies. An older
program does not read it."""

OWNER = "CREATE TABLE IF NOT EXISTS owner (name TEXT NOT NULL)"
"""At most one row: the deployment that reads the log, or did last."""


def prepare(path: Path, *, timeout_s: float, setting: str) -> None:
    """Create the file and its folder, or check that the file is a log that this code can write.

    `setting` is the setting that names the file. Raises LogError if only the operator can help,
    Unavailable if another process holds the file for `timeout_s`, or if it was made and is gone.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LogError(
            f"log {path}: its folder cannot be made ({error.strerror}); see {setting}"
        ) from error
    try:
        _prepare(path, timeout_s, setting)
        note_made(path)
    except sqlite3.Error as error:
        if is_busy(error):
            raise unavailable(path, error) from error
        refuse_to_begin_anew(path)
        raise LogError(
            f"log {path}: {_advice(error)} ({error.sqlite_errorname}); see {setting}"
        ) from error


def _prepare(path: Path, timeout_s: float, setting: str) -> None:
    refuse_to_begin_anew(path)
    # Where there was a log it is not made either when it goes away at this moment.
    mode = "rw" if mark_of(path).exists() else "rwc"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, timeout=timeout_s, isolation_level=None)
    try:
        _is_new(path, db, setting)
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")
        mode = use_wal(db, timeout_s)
        if mode != "wal":
            raise LogError(
                f"log {path}: no WAL on its file system (journal mode stays {mode}); use a local "
                "disk"
            )
        # Takes the write lock, so it also finds a file that cannot be written.
        with WriteTransaction(db):
            new = _is_new(path, db, setting)
            db.execute(IDENTITY)
            db.execute(OWNER)
            if not db.execute("SELECT 1 FROM identity").fetchone():
                db.execute("INSERT INTO identity VALUES (?)", (uuid4().hex,))
            if new:
                db.execute(TOPICS)
                db.execute(f"PRAGMA application_id={APPLICATION_ID}")
                db.execute(f"PRAGMA user_version={FORMAT}")
    finally:
        db.close()


def _is_new(path: Path, db: sqlite3.Connection, setting: str) -> bool:
    if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return True
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise LogError(f"log {path}: a SQLite database, but not an orderwire log; see {setting}")
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version != FORMAT:
        raise LogError(
            f"log {path}: written in format {version} by another orderwire (this one knows "
            f"{FORMAT}); upgrade"
        )
    return False


def _advice(error: sqlite3.Error) -> str:
    match error.sqlite_errorcode & 0xFF:
        case sqlite3.SQLITE_NOTADB:
            return "not a SQLite database"
        case sqlite3.SQLITE_READONLY:
            return "cannot be written, check its owner and mode"
        case sqlite3.SQLITE_CANTOPEN:
            return "cannot be opened, check that it is a file, and its owner and mode"
        case sqlite3.SQLITE_FULL:
            return "the disk is full"
        case _:
            return str(error)
