"""The two threads of the embedded log: one writes, one copies the WAL into the file.

With SQLite's automatic checkpoint inside the commit, p99 was 58-75 ms instead of 16 ms
(docs/facts/streaming.md, "SQLite").
"""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from stream.log.sqlite.file import PAGE_BYTES, LogFile, unavailable

CATCH_UP_ROUNDS = 5
RESTART_BELOW_BYTES = 64 * PAGE_BYTES
"""1 MiB is copied in about a millisecond: what a commit may have to wait for."""


class Writer:
    """Runs jobs on the write connection, one after the other, in the order of submission.

    After a failure the connection is reopened for the next job, so the log recovers with its disk.
    """

    def __init__(self, path: Path, connect: Callable[[], LogFile]) -> None:
        self._path, self._connect = path, connect
        self.wrote = threading.Event()
        """Set by every job that writes; whoever copies the WAL clears it."""
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[
            tuple[Callable[[LogFile], int], Callable[[int | Exception], None], bool] | None
        ] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    def submit(
        self,
        job: Callable[[LogFile], int],
        done: Callable[[int | Exception], None],
        *,
        writes: bool = True,
    ) -> None:
        """`done` is called on the loop with the job's result, or with the Unavailable or other
        error that it raised. `writes`: whether it makes the WAL longer."""
        self._jobs.put((job, done, writes))

    def close(self) -> None:
        """Finish the jobs submitted, then end the thread. Blocks."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        file: LogFile | None = None
        while (item := self._jobs.get()) is not None:
            job, done, writes = item
            outcome: int | Exception
            try:
                file = file or self._connect()
                outcome = job(file)
            except (
                Exception
            ) as error:  # whatever it is, the waiters must hear of it and the thread must live
                outcome = (
                    unavailable(self._path, error) if isinstance(error, sqlite3.Error) else error
                )
                _discard(file)
                file = None
            if writes and not self.wrote.is_set():
                self.wrote.set()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(done, outcome)
        _discard(file)


class Checkpointer:
    """Keeps the WAL of one file short, from a thread of its own.

    PASSIVE checkpoints delay nobody, but the WAL restarts only when a commit finds everything
    copied, which never happens under constant load. Beyond a limit the writer therefore copies the
    rest between two commits and restarts the WAL. This connection could not: it would compete for
    the write lock with a writer that takes it again immediately.

    Only what this process wrote is a reason to copy: of several processes at one file each copied
    the same pages, and was in the others' way.
    """

    def __init__(
        self,
        connect: Callable[[], LogFile],
        writer: Writer,
        *,
        every_s: float,
        wal_limit_bytes: int,
    ) -> None:
        self._writer = writer
        self._connect, self._every_s, self._limit = connect, every_s, wal_limit_bytes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-checkpoints", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread. Blocks until a running checkpoint has finished."""
        self._stop.set()
        self._writer.wrote.set()
        self._thread.join()

    def _run(self) -> None:
        file: LogFile | None = None
        # `_stop` first: `close` may have come just before `wrote` was cleared below.
        # Not stamina: it copies for as long as the log is open, whatever fails.
        while not self._stop.is_set():
            self._writer.wrote.wait()
            if self._stop.wait(self._every_s):
                break
            self._writer.wrote.clear()
            copied = False
            try:
                file = file or self._connect()
                copied = self._checkpoint(file)
            except (
                OSError,
                sqlite3.Error,
            ):  # disk full, another process checkpoints: the next turn tries again
                _discard(file)
                file = None
            if not copied:
                self._writer.wrote.set()
        _discard(file)

    def _checkpoint(self, file: LogFile) -> bool:
        """Whether everything was copied."""
        wal, copied = file.checkpoint()
        if wal > self._limit:
            for _ in range(CATCH_UP_ROUNDS):
                if wal - copied <= RESTART_BELOW_BYTES:
                    break
                wal, copied = file.checkpoint()
            self._writer.submit(LogFile.restart_wal, self._restarted, writes=False)
        return copied == wal

    def _restarted(self, outcome: int | Exception) -> None:
        if outcome != 0:  # Others were in the way: the next turn tries again.
            self._writer.wrote.set()


def _discard(file: LogFile | None) -> None:
    if file is not None:
        with contextlib.suppress(sqlite3.Error):
            file.close()
