"""Copies the SQLite files of log and store while in use, and puts copies in their place."""

import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from orderwire.operation.refused import Refused
from stream.log.sqlite.file import LogFile

WAIT_S = 10.0
BESIDE = ("", "-wal", "-shm", "-journal")
"""A database is its file and what SQLite keeps beside it."""
NEW = ".restoring"


class Swap(NamedTuple):
    """A file of a backup and the place where it goes."""

    kept: Path
    target: Path

    @property
    def new(self) -> Path:
        """The copy beside its place, until the swap."""
        return self.target.with_name(self.target.name + NEW)


def copy(source: Path, target: Path) -> None:
    """A copy of the database at one moment, as one file that only its owner may open.

    It is read in one transaction: writers go on, and the WAL grows by what they write meanwhile.
    Raises Refused.
    """
    if not source.exists():
        raise Refused(f"there is no {source}: `orderwire serve` makes it")
    target.touch(mode=0o600)
    try:
        with (
            closing(sqlite3.connect(source, timeout=WAIT_S)) as reading,
            closing(sqlite3.connect(target, timeout=WAIT_S)) as writing,
        ):
            reading.execute("PRAGMA query_only=ON")
            # All pages in one step: a copy in parts begins again whenever somebody writes.
            reading.backup(writing, pages=-1)
            writing.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise Refused(f"{source} cannot be copied to {target}: {error}") from None
    check(target)
    flush(target)


def check(path: Path) -> None:
    """Raises Refused if the database's pages do not hang together."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as db:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise Refused(f"{path} is damaged: {found}")


def check_pair(store: Path, log: Path) -> None:
    """Raises Refused if the store has read further than the log goes: such a pair would skip what
    the log gets next."""
    with closing(sqlite3.connect(store)) as db:
        positions = db.execute("SELECT topic, max(next) FROM positions GROUP BY topic").fetchall()
    file = LogFile(log, busy_timeout_s=WAIT_S, wal_limit_bytes=0)
    try:
        for topic, reached in positions:
            if reached > (end := file.span(topic).next):
                raise Refused(
                    f"the store has read {topic} up to {reached}, the log ends at {end}: they do "
                    "not belong together"
                )
    finally:
        file.close()


def waiting(store: Path) -> int:
    """Events that no destination had taken yet."""
    with closing(sqlite3.connect(store)) as db:
        (count,) = db.execute("SELECT count(*) FROM outbox WHERE due_ms IS NOT NULL").fetchone()
    return int(count)


def in_use(path: Path) -> bool:
    """Whether another process has the database open. A file that is no database is not in use."""
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
            # A connection to a WAL database holds a shared lock for as long as it lives.
            db.execute("PRAGMA locking_mode=EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    except sqlite3.DatabaseError:
        return False
    return False


def prepare(swaps: Sequence[Swap]) -> None:
    """Copy every file beside its place. Nothing that is in use changes."""
    for swap in swaps:
        swap.target.parent.mkdir(parents=True, exist_ok=True)
        swap.new.unlink(missing_ok=True)
        swap.new.touch(mode=0o600)
        shutil.copyfile(swap.kept, swap.new)
        flush(swap.new)


def swap_all(targets: Sequence[Path], aside: str) -> None:
    """Move what is in each place into the folder `aside` beside it, and the copy into the place.

    Killed anywhere, a second call does the rest: a place whose copy is gone is done.
    """
    for target in targets:
        new = target.with_name(target.name + NEW)
        if not new.exists():
            continue
        kept = target.parent / aside
        kept.mkdir(mode=0o700, exist_ok=True)
        for suffix in BESIDE:
            old = target.with_name(target.name + suffix)
            if old.exists():
                old.replace(kept / old.name)
        new.replace(target)
        flush(target.parent)


def flush(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
