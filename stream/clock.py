"""Finds steps of the wall clock by comparing it with a clock that never steps. What is deleted by
age believes a step forward only once it has lasted."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

STEP_MS: Final = 2_000
"""Less between two looks is drift, which NTP corrects without a step (at most 0.5 ms per second).
"""
TOGETHER_MS: Final = 50
READ_TRIES: Final = 10
"""Both clocks are read anew where the process was stopped between them: that is no step."""
DOUBTED_MS: Final = 900_000
"""How long a step forward is not believed by what cannot be undone."""
BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def wall_ms() -> int:
    """The wall clock, Unix milliseconds."""
    return time.time_ns() // 1_000_000


def steady_ms() -> int:
    """Milliseconds since the machine was started, which never step. Time asleep counts where the
    system can say it (Linux: CLOCK_BOOTTIME)."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(clock) // 1_000_000


def boot() -> str:
    """The id of this start of the machine, within which `steady_ms` of processes compare; "" where
    the system has none."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


class _Doubted(NamedTuple):
    until_ms: int
    """By the steady clock."""
    by_ms: int


class WallClock:
    """The wall clock of one process, which notices its steps. Call it for the time. Thread-safe."""

    def __init__(
        self, wall: Callable[[], int] = wall_ms, steady: Callable[[], int] = steady_ms
    ) -> None:
        self._wall, self._steady = wall, steady
        self._offset_ms = self.offset_ms()
        self._doubted: list[_Doubted] = []
        self._lock = threading.Lock()

    def __call__(self) -> int:
        """Unix milliseconds."""
        return self._wall()

    def offset_ms(self) -> int:
        """The wall clock minus the steady one: only a step changes it at once."""
        for _ in range(READ_TRIES):
            before_ms = self._steady()
            wall_ms = self._wall()
            if self._steady() - before_ms <= TOGETHER_MS:
                break
        return wall_ms - before_ms

    def doubt(self, by_ms: int) -> None:
        """The wall clock has stepped by so much, just before this process was started."""
        with self._lock:
            self._doubt(by_ms)

    def careful_ms(self) -> int:
        """Unix milliseconds for what cannot be undone: without the steps forward of the last
        quarter of an hour."""
        with self._lock:
            offset_ms = self.offset_ms()
            by_ms, self._offset_ms = offset_ms - self._offset_ms, offset_ms
            if abs(by_ms) >= STEP_MS:
                self._doubt(by_ms)
            now_ms = self._steady()
            self._doubted = [each for each in self._doubted if each.until_ms > now_ms]
            return now_ms + offset_ms - sum(each.by_ms for each in self._doubted)

    def _doubt(self, by_ms: int) -> None:
        if by_ms > 0:
            self._doubted.append(_Doubted(self._steady() + DOUBTED_MS, by_ms))
            return
        left_ms = -by_ms  # A step back takes back the newest steps forward.
        while self._doubted and left_ms > 0:
            last = self._doubted.pop()
            if last.by_ms > left_ms:
                self._doubted.append(last._replace(by_ms=last.by_ms - left_ms))
            left_ms -= last.by_ms
