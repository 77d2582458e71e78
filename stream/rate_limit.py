"""Rate-limits log lines: each kind at most once per pause, with the number of lines left out."""

from collections.abc import Callable, Hashable

EVERY_S = 60.0
FORGOTTEN_AFTER = 10
"""Pauses after which a kind is forgotten: some hold a number, and are never met again."""


class _Line:
    __slots__ = ("left_out", "shown_s")

    def __init__(self, shown_s: float) -> None:
        self.shown_s, self.left_out = shown_s, 0


class RateLimit:
    """Remembers which kinds of lines were logged lately. Every log line that may repeat uses
    one."""

    def __init__(self, clock: Callable[[], float], every_s: float = EVERY_S) -> None:
        """`clock`: seconds from any moment on."""
        self._clock, self._every_s = clock, every_s
        self._lines: dict[Hashable, _Line] = {}
        self._left_out = 0

    def allows(self, kind: Hashable) -> bool:
        """Whether to log a line of this kind now; if so it counts as logged."""
        now_s = self._clock()
        line = self._lines.get(kind)
        if line is not None and now_s - line.shown_s < self._every_s:
            line.left_out += 1
            return False
        oldest_s = now_s - FORGOTTEN_AFTER * self._every_s
        self._lines = {k: each for k, each in self._lines.items() if each.shown_s > oldest_s}
        self._left_out = 0 if line is None else line.left_out
        self._lines[kind] = _Line(now_s)
        return True

    @property
    def left_out(self) -> int:
        """How many lines of the kind that was allowed last were not logged before it."""
        return self._left_out
