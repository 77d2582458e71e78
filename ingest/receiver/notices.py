"""What the receiver says in the log about deliveries it did not simply take: often enough to be found, never a flood.

A wrong secret or a log that is down shows in every delivery; it is told once a minute with how often it happened since. Never in a
line: a body, an id of a person, a secret.
"""

from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)

EVERY_MS = 60_000


class Notices:
    """Tells each (event, about) at most once in `EVERY_MS`; `about` is one of few, never a sender's own word."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._told_ms: dict[tuple[str, str], int] = {}
        self._since: dict[tuple[str, str], int] = {}

    def tell(self, event: str, about: str, **fields: object) -> None:
        """Log `event` with `fields`, and how many of its kind were not logged since the last."""
        key = (event, about)
        now_ms = self._clock()
        told_ms = self._told_ms.get(key)
        if told_ms is not None and now_ms - told_ms < EVERY_MS:
            self._since[key] = self._since.get(key, 0) + 1
            return
        self._told_ms[key] = now_ms
        _log.warning(event, not_shown=self._since.pop(key, 0), **fields)
