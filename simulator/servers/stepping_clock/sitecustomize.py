"""Makes the wall clock of a Python process wrong by the seconds that a file names, while its
monotonic clock goes on. Python imports it at its start in processes that have this folder on their
path (`simulator/servers/wall_clock.py`); no program of ours imports it."""

import os
import time
from contextlib import suppress
from pathlib import Path

READ_AGAIN_S = 0.05
_time, _time_ns, _monotonic = time.time, time.time_ns, time.monotonic


class _Offset:
    """What the file says, read again after `READ_AGAIN_S`."""

    def __init__(self, file: Path) -> None:
        self._file, self._seconds, self._until_s = file, 0, 0.0

    def seconds(self) -> int:
        now_s = _monotonic()
        if now_s >= self._until_s:
            self._until_s = now_s + READ_AGAIN_S
            with suppress(OSError, ValueError):
                self._seconds = int(self._file.read_text())
        return self._seconds


if "STEPPING_CLOCK" in os.environ:
    _offset = _Offset(Path(os.environ["STEPPING_CLOCK"]))
    time.time = lambda: _time() + _offset.seconds()
    time.time_ns = lambda: _time_ns() + _offset.seconds() * 1_000_000_000
