"""Replaces records in place in the file of an embedded log or a spool, for erasing.

Offsets stay. Freed bytes are overwritten with zeros (SQLite: `secure_delete`), and the WAL, which
still holds the pages of before, is emptied in the end.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from stream.log.sqlite.file import LogFile, unavailable
from stream.record import Record

T = TypeVar("T")
Rewrite = Callable[[Record], Record | None]
"""What takes a record's place; None where it stays. Never longer than what it replaces."""
STEP_BYTES = 4 << 20
TRUNCATE_ATTEMPTS, PAUSE_S = 50, 0.02


def topics_of(path: Path) -> list[str]:
    """Every topic of the file. Raises Unavailable."""
    with _opened(path) as file:
        return _tried(path, file.topics)


def rewrite_step(
    path: Path, topic: str, offset: int, until: int, rewrite: Rewrite
) -> tuple[int, int]:
    """Look at records from `offset` to `until`, some megabytes of them.

    Returns the next offset to look at, and how many were replaced. Raises Unavailable.
    """
    with _opened(path) as file:
        return _tried(path, lambda: file.rewrite(topic, offset, until, rewrite, STEP_BYTES))


def end_of(path: Path, topic: str) -> int:
    """The offset that the topic's next record gets. Raises Unavailable."""
    with _opened(path) as file:
        return _tried(path, lambda: file.span(topic).next)


def empty_wal(path: Path) -> bool:
    """Copy the WAL into the file and cut it off; False where readers were in the way. Raises
    Unavailable."""
    with _opened(path) as file:
        for _ in range(TRUNCATE_ATTEMPTS):
            if _tried(path, file.truncate_wal):
                return True
            time.sleep(PAUSE_S)  # Another checkpoint, or a reader, is at it.
    return False


def _opened(path: Path) -> "closing[LogFile]":
    return closing(LogFile(path, busy_timeout_s=5.0, wal_limit_bytes=1 << 26))


def _tried(path: Path, work: Callable[[], T]) -> T:
    try:
        return work()
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
