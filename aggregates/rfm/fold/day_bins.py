"""Purchase days in BG/NBD's cells: exact in a small shop, in weeks in a large one."""

from typing import Final, NamedTuple

EXACT_GAP_DAYS: Final = 28
"""A multiple of 7: gaps of weeks never meet gaps of days in one cell."""


class PurchaseDays(NamedTuple):
    """Days of a customer's cell key, and how far after them the customer's own days lie."""

    first_day: int
    last_day: int
    first_offset: int
    last_offset: int


def purchase_days(first_day: int, last_day: int, *, exact: bool) -> PurchaseDays:
    """The days of a cell; days since 1970-01-01.

    A large shop's cell is keyed by the middle of a week and holds the mean of its customers' days.
    Days stay exact for first purchases of customers with one purchase day, and for gaps between
    first and last day of less than four weeks: in weeks a second order of the same week would have
    no distance from the first, and the likelihood no maximum.
    """
    if exact or first_day == last_day:
        return PurchaseDays(first_day, last_day, 0, 0)
    first, gap = mid_week(first_day), last_day - first_day
    last = first + gap if gap < EXACT_GAP_DAYS else mid_week(last_day)
    return PurchaseDays(first, last, first_day - first, last_day - last)


def mid_week(day: int) -> int:
    """The middle of the week of `day`."""
    return day - day % 7 + 3
