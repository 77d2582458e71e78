"""One process at a time, among those of one machine: whoever holds an advisory lock on a file of its own.

The system lets go of it when its holder ends, however that happens. Where there is no `fcntl` (Windows) everybody holds it: a spool's
records then reach the log more than once, as they may, and a second process role on one store is not refused.
"""

from io import FileIO
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class FileLock:
    """Not reentrant; `take` is asked again and again and costs nothing once held."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None

    def take(self) -> bool:
        """Whether this process holds the lock now; never waits. Raises OSError where there can be no such file."""
        if self._file is not None:
            return True
        file = FileIO(self._path, "w")
        try:
            if fcntl is not None:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let another process have it."""
        if self._file is not None:
            self._file.close()
            self._file = None
