"""How long to wait before a query so that the shop's bucket of points can pay for it (shopify.dev,
"API rate limits")."""

import threading
from collections.abc import Callable, Mapping
from typing import Any


class Bucket:
    """One shop's points, as its last answer described them. Thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds from any moment on. Until an answer has come, nothing is known."""
        self._clock = clock
        self._lock = threading.Lock()
        self._available, self._at_s = 0.0, 0.0
        self._maximum, self._rate = 0.0, 0.0
        self._requested: dict[str, float] = {}

    def answered(self, document: str, cost: object) -> None:
        """Note `extensions.cost` of an answer to `document`."""
        if not isinstance(cost, Mapping):
            return
        status = cost.get("throttleStatus")
        with self._lock:
            if (requested := _number(cost, "requestedQueryCost")) > 0:
                self._requested[document] = requested
            if isinstance(status, Mapping):
                self._maximum = _number(status, "maximumAvailable")
                self._rate = _number(status, "restoreRate")
                self._available, self._at_s = (
                    _number(status, "currentlyAvailable"),
                    self._clock(),
                )

    def wait_s(self, document: str) -> float:
        """Seconds until `document` can be paid for; 0 where its cost or the bucket is unknown."""
        with self._lock:
            requested = self._requested.get(document, 0.0)
            if self._rate <= 0 or requested > self._maximum:
                return 0.0
            gained = (self._clock() - self._at_s) * self._rate
            available = min(self._available + gained, self._maximum)
            return max(0.0, (requested - available) / self._rate)


def _number(holder: Mapping[str, Any], name: str) -> float:
    value = holder.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
