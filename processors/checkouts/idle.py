"""When a checkout was touched, and how long it lay idle between visits."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
BUCKET_MS: Final = 10 * MINUTE_MS
"""Shopify's own limit (docs/facts/shopify.md, "Abandoned checkouts"); nothing shorter is
distinguished."""
EDGES_MS: Final = tuple(
    minutes * MINUTE_MS
    for minutes in (0, 10, 30, 60, 180, 360, 720, 1440, 2880, 4320, 7200, 10080, 20160)
)
"""Lower edges of the age bins (docs/facts/analytics.md, "Recovery potential"): 0, 10 m, 30 m, 1, 3,
6, 12, 24, 48, 72, 120, 168, 336 h."""
MAX_VISITS: Final = 1_000
"""More visits than one in 11 minutes for a week are a robot's; the oldest are dropped, so that a
row stays below 30 kB."""


def age_bin(age_ms: int) -> int:
    """The bin of `EDGES_MS` that an age falls in."""
    return bisect_right(EDGES_MS, age_ms) - 1


def touched(visits: str, one_ms: int, other_ms: int) -> str:
    """`visits` and two more moments. Commutative, associative and idempotent.

    Every delivery has two moments of activity, `created_at` and `updated_at`. Touches less than 10
    minutes apart make one *visit*; between visits the checkout lay idle. Visits are text, `"first
    last first last ..."` in Unix milliseconds (the column `runs`). The newest `updated_at` alone
    would not do: a buyer who returns by the recovery link touches the checkout minutes before
    paying, so no cart would ever have been abandoned and then recovered.
    """
    intervals = parsed(visits)
    if len(intervals) == 1:
        first, last = intervals[0]
        low, high = (one_ms, other_ms) if one_ms <= other_ms else (other_ms, one_ms)
        if first - low < BUCKET_MS and high - last < BUCKET_MS:
            return (
                visits if first <= low and high <= last else f"{min(first, low)} {max(last, high)}"
            )
    intervals += ((one_ms, one_ms), (other_ms, other_ms))
    intervals.sort()
    first, last = intervals[0]
    joined = []
    for start, end in intervals[1:]:
        if start - last < BUCKET_MS:
            if end > last:
                last = end
        else:
            joined.append(f"{first} {last}")
            first, last = start, end
    joined.append(f"{first} {last}")
    return " ".join(joined[-MAX_VISITS:])


def parsed(visits: str) -> list[tuple[int, int]]:
    """The visits as (first, last), ascending."""
    if not visits:
        return []
    numbers = [int(number) for number in visits.split(" ")]
    if len(numbers) == 2:
        return [(numbers[0], numbers[1])]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def before(visits: str, completed_ms: int) -> list[tuple[int, int]]:
    """The visits before the order was made: later touches (thank-you page, bookkeeping) are no
    visits."""
    kept = [
        (first, min(last, completed_ms)) for first, last in parsed(visits) if first < completed_ms
    ]
    return kept or [(completed_ms, completed_ms)]


def pauses(visits: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The idle times between visits: (since, how long), Unix ms and ms."""
    return [(last, first - last) for (_, last), (first, _) in pairwise(visits)]
