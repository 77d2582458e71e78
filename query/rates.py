"""How often a token may ask: bursts, and so many requests a second in the long run, counted per
process."""

from collections.abc import Callable
from typing import Final

from query.problem import Problem

BURST_S: Final = 4.0
"""A burst has the requests of so many seconds."""


class RequestRates:
    """What each token has left. Tokens are few: those that are configured."""

    def __init__(self, per_s: float, now_s: Callable[[], float]) -> None:
        """`now_s` never goes back. No limit where `per_s` is 0."""
        self._per_s, self._now_s = per_s, now_s
        self._left: dict[bytes, tuple[float, float]] = {}

    def take(self, token: bytes) -> None:
        """Count one request of a token (its digest). Raises Problem 429."""
        if not self._per_s or not token:
            return
        now_s, burst = self._now_s(), max(1.0, self._per_s * BURST_S)
        left, since_s = self._left.get(token, (burst, now_s))
        left = min(burst, left + (now_s - since_s) * self._per_s)
        if left < 1.0:
            wait_s = max(1, round((1.0 - left) / self._per_s))
            raise Problem(
                429,
                "too-many-requests",
                f"this token asks more than {self._per_s:g} times a second",
                f"ask again in {wait_s} s; listen to /v1/events instead of polling, or raise"
                " ORDERWIRE_API_REQUESTS_PER_S",
                headers={"Retry-After": str(wait_s)},
            )
        self._left[token] = left - 1.0, now_s
