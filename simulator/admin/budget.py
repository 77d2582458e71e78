"""The app's bucket of points: refilled at the plan's rate, asked for before a query runs."""

import threading
from collections.abc import Callable
from typing import Any

MAXIMUM, RESTORE = 2_000.0, 100.0
"""Recorded on a Standard plan."""
LARGEST = 1_000
"""Points that one query may ask for."""


class CostBudget:
    """`clock`: seconds from any moment on."""

    def __init__(
        self,
        clock: Callable[[], float],
        maximum: float = MAXIMUM,
        restore: float = RESTORE,
    ) -> None:
        self._clock, self.maximum, self.restore = clock, maximum, restore
        self._available, self._at_s = maximum, clock()
        self.throttled = 0
        self._lock = threading.Lock()

    @property
    def available(self) -> float:
        """Points that are there now."""
        now_s = self._clock()
        gained = (now_s - self._at_s) * self.restore
        self._available, self._at_s = min(self.maximum, self._available + gained), now_s
        return self._available

    def take(self, requested: float, actual: float) -> bool:
        """Whether `requested` points were there; `actual` of them are gone then."""
        with self._lock:
            if self.available < requested:
                self.throttled += 1
                return False
            self._available -= actual
            return True

    def throttle_status(self, requested: int, actual: int | None) -> dict[str, Any]:
        """`extensions` of an answer."""
        return {
            "cost": {
                "requestedQueryCost": requested,
                "actualQueryCost": actual,
                "throttleStatus": {
                    "maximumAvailable": self.maximum,
                    "currentlyAvailable": int(self.available),
                    "restoreRate": self.restore,
                },
            }
        }
