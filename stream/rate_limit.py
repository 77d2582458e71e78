"""Why something does not work, told often enough to be found and never as a flood: each reason once in `EVERY_S`."""

from collections.abc import Callable

EVERY_S = 60.0


class Told:
    """Remembers which reasons were told lately."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock`: seconds from any moment on."""
        self._clock = clock
        self._at_s: dict[str, float] = {}

    def due(self, reason: str) -> bool:
        """Whether to tell this reason now; if so it counts as told."""
        now_s = self._clock()
        if reason in self._at_s and now_s - self._at_s[reason] < EVERY_S:
            return False
        # Some reasons hold a number, and are never met again.
        self._at_s = {
            known: at_s for known, at_s in self._at_s.items() if now_s - at_s < EVERY_S
        } | {reason: now_s}
        return True
