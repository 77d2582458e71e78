"""A span of whole days."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Window:
    """Days since 1970-01-01, both ends included."""

    first: int
    last: int

    def days(self) -> range:
        """All of its days."""
        return range(self.first, self.last + 1)


def total(by_day: Counter[int], window: Window) -> int:
    """The sum over the days of `window`."""
    return sum(amount for day, amount in by_day.items() if window.first <= day <= window.last)


def day_text(day: int) -> str:
    """Days since 1970-01-01 as a date."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()
