"""Decides when our own failures stop a shop, or a whole processor.

Only exceptions of our decode or fold count; a body that lacks a field is the sender's fault and is
parked. A shop stops when nearly all of its records fail, a processor only when several shops'
records do, as after a bad deployment.
"""

from collections import Counter, deque
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple

ONE_SHOPS_SHARE = 0.9
"""Failures of which one shop has more than this share are that shop's, not the processor's."""


@dataclass(frozen=True, slots=True)
class ParkLimit:
    """How much of a shop may fail before the shop is stopped.

    `max_run` failures in a row, or more than `max_ratio` of the shop's last `window` records (once
    that many were seen since its first failure). For a whole processor: twice as many, from more
    than one shop.
    """

    max_run: int = 100
    max_ratio: float = 0.2
    window: int = 1_000

    def twice(self) -> "ParkLimit":
        """The limit over all shops: higher, so that a single shop reaches its own first."""
        return ParkLimit(2 * self.max_run, self.max_ratio, 2 * self.window)


class Passed(NamedTuple):
    """A limit that was exceeded. `shop` None: the processor's."""

    shop: str | None
    reason: str


class TooManyFailures(Exception):
    """Several shops' records fail: the processor stops, and its position stays before them."""


class _Window:
    """The last records, each with the shop that it failed for, or None."""

    def __init__(self, limit: ParkLimit) -> None:
        self.limit, self.run = limit, 0
        self.seen: deque[str | None] = deque()
        self.failed: Counter[str] = Counter()

    def note(self, failed: str | None) -> None:
        if len(self.seen) == self.limit.window and (oldest := self.seen.popleft()) is not None:
            self.failed[oldest] -= 1
        self.seen.append(failed)
        self.run = 0 if failed is None else self.run + 1
        if failed is not None:
            self.failed[failed] += 1

    def passed(self) -> str | None:
        """Why the limit is exceeded; None if it is not."""
        failed, limit = self.failed.total(), self.limit
        full = len(self.seen) == limit.window
        if self.run < limit.max_run and not (full and failed / limit.window > limit.max_ratio):
            return None
        return f"{failed} of the last {len(self.seen)} records failed, {self.run} in a row"


class Failures:
    """Counts our own failures by shop. Keeps nothing of shops without failures."""

    def __init__(self, limit: ParkLimit) -> None:
        self._limit = limit
        self._shops: dict[str, _Window] = {}
        self._all = _Window(limit.twice())

    def trial(self) -> "Failures":
        """An independent copy."""
        return deepcopy(self)

    def quiet(self) -> bool:
        """Whether nothing of late failed: then records that do not fail change nothing."""
        return not self._shops and not self._all.seen

    def note(self, shop: str, *, failed: bool) -> Passed | None:
        """Count one record; returns the limit that it exceeds, if any."""
        window = self._shops.get(shop)
        if window is None and failed:
            window = self._shops[shop] = _Window(self._limit)
        if window is not None:
            window.note(shop if failed else None)
            if not window.failed.total():
                del self._shops[shop]
        if self._shops or self._all.seen:
            self._all.note(shop if failed else None)
            if not self._all.failed.total():
                self._all = _Window(self._all.limit)
        if not failed or window is None:
            return None
        if (reason := window.passed()) is not None:
            return Passed(shop, reason)
        reason, worst = self._all.passed(), max(self._all.failed.values())
        if reason is None or worst > ONE_SHOPS_SHARE * self._all.failed.total():
            return None
        return Passed(None, f"{reason}, of {sum(n > 0 for n in self._all.failed.values())} shops")

    def forget(self, shop: str) -> None:
        """The shop is stopped: it no longer counts, and starts at zero when it resumes."""
        self._shops.pop(shop, None)
        self._all = _Window(self._all.limit)


def first_passed(failures: Failures, records: Sequence[tuple[str, bool]]) -> Passed | None:
    """The first limit that these records (shop, failed) exceed; they are counted up to there."""
    for shop, failed in records:
        if (passed := failures.note(shop, failed=failed)) is not None:
            return passed
    return None
