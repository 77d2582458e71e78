"""Notices that the log's file was removed or replaced, while it is open and before it is opened."""

import os
from contextlib import suppress
from pathlib import Path

from stream.log.contract import Unavailable


class Place:
    """A path and the file that it named when the log was opened."""

    def __init__(self, path: Path) -> None:
        """Raises Unavailable where there is no file."""
        self.path = path
        self._file = _identity(path)

    def check(self) -> None:
        """Raises Unavailable where the path names another file by now, or none."""
        # SQLite goes on writing into a file without a name: what is acknowledged from then on would
        # be gone with the process.
        if _identity(self.path) != self._file:
            raise Unavailable(
                f"log {self.path}: the file was replaced while it was open; put the old one back, "
                "or restart to go on with the new one"
            )


def _identity(path: Path) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except OSError as error:
        raise Unavailable(
            f"log {path}: the file is gone ({error.strerror}); put it back; `orderwire "
            "doctor` says how to go on without it"
        ) from error
    return stat.st_dev, stat.st_ino


def mark_of(path: Path) -> Path:
    """The file beside a log that says that the log was made."""
    return path.with_name(f"{path.name}.made")


def note_made(path: Path) -> None:
    """Leave the mark. A disk that is full leaves it to the next role."""
    with suppress(OSError):
        mark_of(path).touch(mode=0o600, exist_ok=True)


def refuse_to_begin_anew(path: Path) -> None:
    """Raises Unavailable where there was a log and there is none now: it may be put back, and a
    role that waits finds it then."""
    mark = mark_of(path)
    with suppress(OSError):
        if path.stat().st_size:
            return
    if mark.exists():
        raise Unavailable(
            f"log {path}: the file is gone, and {mark.name} says that there was one: put it back, "
            f"or begin a new one without its records: rm {mark}"
        )
