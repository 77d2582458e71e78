"""The thread that copies a SQLite store's WAL."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from stream.store.sql.checkpoints import LEAST_ROWS, Checkpoints
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated

PATIENCE_S = 60.0


def written(store: SqlStore, rows: int) -> None:
    with store.begin() as transaction:
        for _ in range(rows):
            transaction.execute("UPDATE revisions SET n = n + 1")


def met(condition: Callable[[], bool]) -> bool:
    give_up = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.01)
    return condition()


def test_what_was_written_is_in_the_file_soon_although_no_commit_copied_it(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqlStore.open(write_migrated(path))
    before = path.read_bytes()
    written(store, LEAST_ROWS)
    assert met(lambda: path.read_bytes() != before)
    store.close()


def started(before: set[threading.Thread]) -> set[str]:
    """Threads that run and did not before: a store of another test may be open still."""
    return {each.name for each in threading.enumerate() if each not in before}


def test_a_store_that_writes_little_has_no_such_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = SqlStore.open(write_migrated(tmp_path / "state.db"))
    written(store, LEAST_ROWS - 1)
    assert "store-checkpoints" not in started(before)
    store.close()


def test_the_thread_ends_with_its_store(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = SqlStore.open(write_migrated(tmp_path / "state.db"))
    written(store, LEAST_ROWS)
    assert "store-checkpoints" in started(before)
    store.close()
    assert "store-checkpoints" not in started(before)


def test_a_store_that_is_closed_as_a_copy_ends_does_not_wait_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    SqlStore.open(write_migrated(path)).close()
    before = set(threading.enumerate())
    checkpoints = Checkpoints(path)

    class ClosedMeanwhile(threading.Event):
        def clear(self) -> None:
            checkpoints._stop.set()
            self.set()
            super().clear()

    checkpoints._due = ClosedMeanwhile()
    checkpoints.wrote(LEAST_ROWS)
    assert met(lambda: "store-checkpoints" not in started(before))
