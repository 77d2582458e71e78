"""Copies a SQLite store's WAL into its file from a thread, so that no commit has to.

A commit that passes `wal_autocheckpoint` copies what is left: 64 MiB took it 100 to 250 ms.
"""

import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

EVERY_S: Final = 0.25
LEAST_ROWS: Final = 500
"""Rows written since the last copy below which none is made: an idle program writes a few a second,
and a copy syncs the disk twice."""


class Checkpoints:
    """PASSIVE checkpoints: they wait for nobody, and nobody for them. The thread begins with the
    first `wrote`, so a process that only reads has none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = self._copied = 0
        """Written, and of those copied."""
        self._due, self._stop = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def wrote(self, rows: int) -> None:
        """So many rows were committed. Call it under the writer's lock."""
        self._rows += rows
        if self._rows - self._copied < LEAST_ROWS or self._due.is_set():
            return
        self._due.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="store-checkpoints", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """End the thread. Blocks until a running copy is made."""
        self._stop.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with closing(sqlite3.connect(self._path, timeout=0, isolation_level=None)) as db:
            # Asked first: `close` may have come just before `due` was cleared below.
            while not self._stop.is_set():
                self._due.wait()
                if self._stop.wait(EVERY_S):
                    return
                rows = self._rows
                # A full disk, or another process that copies: the next turn tries again.
                with suppress(sqlite3.Error):
                    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                    self._copied = rows
                if self._rows - self._copied < LEAST_ROWS:
                    self._due.clear()
