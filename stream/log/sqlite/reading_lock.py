"""Admits one reading deployment to a log file: a second would send every event again, and the first
drops records that the second has not read."""

from pathlib import Path

from filelock import FileLock, Timeout

from stream.log.contract import Unavailable


class ReadingLock:
    """The lock of the processors of one deployment. It ends with its process."""

    def __init__(self, path: Path) -> None:
        """`path`: the log's. By whatever link it is reached, the lock's file is one and the
        same."""
        real = path.resolve()
        self._lock = FileLock(real.with_name(f"{real.name}.process"), thread_local=False)

    def acquire(self) -> bool:
        """Whether it is ours. Raises Unavailable where its file cannot be made."""
        if self._lock.is_locked:
            return True
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            return False
        except OSError as error:
            raise Unavailable(f"{self._lock.lock_file}: {error.strerror or error}") from error
        return True

    def release(self) -> None:
        """Where it is ours."""
        self._lock.release()
