"""Cuts a span of time into windows, each read by itself, the newest first.

A window is the unit of progress: it is done once all that Shopify has of it is in the log.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

DAY_S = 86_400
SMALLEST_S = 3_600


class TimeSpan(NamedTuple):
    """From `from_s` (included) to `to_s` (excluded), Unix seconds."""

    from_s: int
    to_s: int


def uncovered(wanted: TimeSpan, covered: Iterable[TimeSpan]) -> list[TimeSpan]:
    """What of `wanted` no span covers, the newest first."""
    left, end_s = [], wanted.to_s
    for span in sorted(covered, reverse=True):
        if span.to_s < end_s and min(end_s, wanted.to_s) > max(span.to_s, wanted.from_s):
            left.append(TimeSpan(max(span.to_s, wanted.from_s), end_s))
        end_s = min(end_s, span.from_s)
        if end_s <= wanted.from_s:
            return left
    return [*left, TimeSpan(wanted.from_s, end_s)]


def cut(span: TimeSpan, length_s: int) -> list[TimeSpan]:
    """Windows of at most `length_s`, the newest first."""
    found, end_s = [], span.to_s
    while end_s > span.from_s:
        begin_s = max(span.from_s, end_s - length_s)
        found.append(TimeSpan(begin_s, end_s))
        end_s = begin_s
    return found


def halves(span: TimeSpan) -> list[TimeSpan]:
    """The newer half first; none where it is too small to be halved."""
    if span.to_s - span.from_s < 2 * SMALLEST_S:
        return []
    middle_s = (span.from_s + span.to_s) // 2
    return [TimeSpan(middle_s, span.to_s), TimeSpan(span.from_s, middle_s)]


def search(field: str, span: TimeSpan) -> str:
    """Shopify's search of a span: `field` is `processed_at`, `updated_at` or `created_at`."""
    return f"{field}:>='{rfc3339(span.from_s)}' AND {field}:<'{rfc3339(span.to_s)}'"


def rfc3339(second: int) -> str:
    """In UTC."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
