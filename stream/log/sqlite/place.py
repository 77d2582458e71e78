"""Notices that the log's file was removed or replaced while it is open.

SQLite goes on writing into a file that has no name any more: everything acknowledged from then on
would be gone with the process.
"""

import os
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
            f"log {path}: the file is gone ({error.strerror}); put it back, or restart to make a "
            "new one"
        ) from error
    return stat.st_dev, stat.st_ino
