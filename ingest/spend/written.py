"""Reads numbers and dates as spreadsheets of different countries write them. What one cell leaves
open, the whole file decides: `1,234` beside `12,50` is 1.234, beside `1,234.00` it is 1234."""

import re
from collections.abc import Iterable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

_NUMBER = re.compile(r"-?[0-9][0-9.,]*|-?[.,][0-9]+")
_THOUSANDS_SPACES = re.compile(r"[\s\u00a0\u202f'’]")
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "jan janv ene januar january",
            "feb févr fév februar february",
            "mar mär mrz mars march märz",
            "apr avr abr april",
            "may mai mayo",
            "jun juin juni june",
            "jul juil juli july",
            "aug août ago august",
            "sep sept september",
            "oct okt oktober october",
            "nov november",
            "dec dez déc dic december dezember",
        ),
        start=1,
    )
    for name in names.split()
}
_SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?!\d)")
_DOTTED = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})(?!\d)")
_ISO = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?!\d)")
_DAY_FIRST = re.compile(r"(\d{1,2})\.?\s+([^\W\d]+)\.?,?\s+(\d{4})(?!\d)")
_MONTH_FIRST = re.compile(r"([^\W\d]+)\.?\s+(\d{1,2}),?\s+(\d{4})(?!\d)")


class Unreadable(ValueError):
    """A cell that cannot be read; the message says what was expected, and quotes the cell."""


def bare(cell: str) -> str:
    """A number's cell without currency signs and thousands' spaces; "" for what means nothing."""
    text = _THOUSANDS_SPACES.sub("", cell)
    text = text.strip("€$£¥₹%").removeprefix("US$").replace("−", "-")
    return "" if text in ("", "-", "--", "—", "–", "n/a", "N/A") else text


def decimal_mark(cells: Iterable[str], default: str) -> str:
    """`,` or `.`: what stands before the fraction in these cells."""
    for cell in cells:
        text = bare(cell)
        if "," in text and "." in text:
            return max(",.", key=text.rfind)
        for mark, other in ((",", "."), (".", ",")):
            if text.count(mark) == 1 and len(text.rpartition(mark)[2]) != 3:
                return mark
            if text.count(mark) > 1:
                return other
    return default


def number(cell: str, mark: str) -> Decimal | None:
    """A cell's number; None where it is empty. Raises Unreadable."""
    text = bare(cell)
    if not text:
        return None
    other = "." if mark == "," else ","
    whole, _, fraction = text.partition(mark)
    groups = whole.lstrip("-").split(other)
    # Groups of two are India's: 1,23,456.00.
    grouped = len(groups) == 1 or (
        len(groups[-1]) == 3 and all(len(group) in (2, 3) for group in groups[1:-1])
    )
    if not _NUMBER.fullmatch(text) or other in fraction or mark in fraction or not grouped:
        raise Unreadable(f"{cell[:30]!r} is no number (this file writes 1{other}234{mark}56)")
    try:
        return Decimal(f"{whole.replace(other, '') or '0'}.{fraction or '0'}")
    except InvalidOperation:
        raise Unreadable(f"{cell[:30]!r} is no number") from None


def day_first(cells: Iterable[str]) -> bool | None:
    """Whether slashed dates begin with the day; None if no date of the file decides it."""
    found = [match for cell in cells if (match := _SLASHED.match(cell.strip()))]
    if any(int(match[1]) > 12 for match in found):
        return True
    if any(int(match[2]) > 12 for match in found):
        return False
    return None


def day(cell: str, slashes_day_first: bool | None) -> date:
    """A cell's date; a time behind it is left out. Raises Unreadable."""
    text = cell.strip()
    try:
        if match := _ISO.match(text):
            return date(int(match[1]), int(match[2]), int(match[3]))
        if match := _DOTTED.match(text):
            return date(int(match[3]), int(match[2]), int(match[1]))
        if match := _SLASHED.match(text):
            if slashes_day_first is None:
                raise Unreadable(
                    f"{text[:10]!r} may be two days: say --dates dmy (day first) or --dates mdy"
                )
            first, second = int(match[1]), int(match[2])
            days, month = (first, second) if slashes_day_first else (second, first)
            return date(int(match[3]), month, days)
        if match := _DAY_FIRST.match(text):
            return date(int(match[3]), _month(match[2]), int(match[1]))
        if match := _MONTH_FIRST.match(text):
            return date(int(match[3]), _month(match[1]), int(match[2]))
    except Unreadable:
        raise
    except (ValueError, KeyError):
        pass
    raise Unreadable(f"{text[:30]!r} is no date: write it as 2026-11-26")


def _month(name: str) -> int:
    return _MONTHS[name.casefold()]
