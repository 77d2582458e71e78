"""Reads a spend report from a CSV: campaign days, and the lines that cannot be read."""

import csv
import datetime as dt
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from ingest.spend.campaign_day import CampaignDay
from ingest.spend.columns import SpendColumns, recognise
from ingest.spend.written import Unreadable, bare, day, day_first, decimal_mark, number
from stream.money import MOST_UNITS, is_known, minor

HEADER_WITHIN: Final = 20
"""Google writes a title and the dates of the report above the header."""
DELIMITERS: Final = ",;\t|"
MICROS: Final = Decimal(1_000_000)
MOST: Final = 10**12
"""Amounts and counts below it can be added up whatever the currency."""


class NotASpendFile(ValueError):
    """The file as a whole cannot be read; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the file does not say itself, or says wrongly."""

    channel: str | None = None
    currency: str | None = None
    time_zone: str | None = None
    dates: str | None = None
    """`dmy` or `mdy`: how slashed dates are written."""
    decimal: str | None = None
    """`,` or `.`."""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be taken, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a file holds."""

    days: list[CampaignDay]
    bad: list[BadLine]
    lines: int
    """Lines that were read as spend."""
    totals: int
    """Lines of totals, left out."""
    platform: str | None


def decoded(content: bytes) -> str:
    """The file's text: UTF-8 or UTF-16, with or without a byte order mark, else Windows-1252.

    Google's exports are UTF-16; a spreadsheet on Windows saves CSV in its own code page.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    if content[1:2] == b"\0":
        return content.decode("utf-16-le")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def read(content: bytes, options: Options) -> Report:
    """Every campaign day of a file, and every unreadable line. Raises NotASpendFile.

    Lines of one campaign and day (an export by ad set or age) are added together. Totals are left
    out; a repeated line is refused, since adding it would count its spend twice.
    """
    try:
        text = decoded(content)
    except UnicodeDecodeError:
        raise NotASpendFile("it is neither UTF-8 nor UTF-16: save it as CSV (UTF-8)") from None
    columns, delimiter, rows = _table(text)
    try:
        lines = [(line, cells) for line, cells in rows if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise NotASpendFile(f"it is no CSV: {error}") from None
    mark = options.decimal or decimal_mark(
        (columns.get(cells, name) for _, cells in lines for name in ("spend", "platform_revenue")),
        default="," if delimiter == ";" else ".",
    )
    slashes = (
        {"dmy": True, "mdy": False}[options.dates]
        if options.dates
        else day_first(
            columns.get(cells, name) for _, cells in lines for name in ("date", "first_date")
        )
    )
    reader = _Reader(columns, options, mark, slashes)
    return reader.report(lines)


def _table(text: str) -> tuple[SpendColumns, str, Iterator[tuple[int, list[str]]]]:
    """The header, the delimiter, and the lines behind the header with their numbers."""
    for delimiter in DELIMITERS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        numbered = ((rows.line_num, cells) for cells in rows)
        try:
            for _, cells in zip(range(HEADER_WITHIN), (row for _, row in numbered), strict=False):
                if (columns := recognise(cells)) is not None:
                    return columns, delimiter, numbered
        except csv.Error:
            continue
    raise NotASpendFile(
        "no header with a day, a campaign and a spend was found in its first"
        f" {HEADER_WITHIN} lines: export by campaign and day, or name the columns date, channel,"
        " campaign_id, campaign_name, currency, spend"
    )


class _Reader:
    """Takes lines one by one."""

    def __init__(
        self, columns: SpendColumns, options: Options, mark: str, slashes_day_first: bool | None
    ) -> None:
        self._columns, self._options = columns, options
        self._mark, self._slashes = mark, slashes_day_first

    def report(self, lines: Sequence[tuple[int, list[str]]]) -> Report:
        days: dict[tuple[dt.date, str, str], CampaignDay] = {}
        bad: list[BadLine] = []
        seen: dict[tuple[str, ...], int] = {}
        totals = read = 0
        for line, cells in lines:
            if self._is_total(cells):
                totals += 1
                continue
            read += 1
            try:
                found = self._campaign_day(cells)
                twin = seen.setdefault(tuple(cells), line)
                if twin != line and found.spend:
                    raise Unreadable(f"the same as line {twin}")
                known = days.get(found.key)
                days[found.key] = _countable(found if known is None else _together(known, found))
            except (Unreadable, ValueError) as error:
                bad.append(BadLine(line, str(error)))
        return Report(list(days.values()), bad, read, totals, self._columns.platform)

    def _get(self, cells: Sequence[str], name: str) -> str:
        return self._columns.get(cells, name)

    def _is_total(self, cells: Sequence[str]) -> bool:
        """Google: `Total: Account`; TikTok: `Total of 12 results`; Meta: a line that names neither
        campaign nor id, above or below all others."""
        first = next((cell.strip().casefold() for cell in cells if cell.strip()), "")
        if first.startswith(("total:", "total of ", "gesamt:", "total ", "totals")) or (
            first in ("total", "gesamt")
        ):
            return True
        return not any(bare(self._get(cells, name)) for name in ("campaign_id", "campaign_name"))

    def _campaign_day(self, cells: Sequence[str]) -> CampaignDay:
        currency = (
            self._get(cells, "currency") or self._columns.currency or self._options.currency or ""
        ).upper()
        if not currency:
            raise Unreadable("no currency: say --currency EUR")
        if not is_known(currency):
            raise Unreadable(f"{currency[:10]!r} is no currency's code")
        channel = self._get(cells, "channel") or self._options.channel or self._columns.platform
        if not any(map(str.isalnum, channel or "")):
            raise Unreadable("no channel: say --channel meta, google, tiktok or another")
        spend = self._spend(cells)
        if spend < 0:
            raise Unreadable("spend is below zero")
        return CampaignDay(
            date=self._date(cells),
            channel=str(channel).casefold(),
            campaign_id=_id(self._get(cells, "campaign_id")),
            campaign_name=self._get(cells, "campaign_name"),
            currency=currency,
            spend=spend,
            impressions=self._count(cells, "impressions"),
            clicks=self._count(cells, "clicks"),
            platform_revenue=self._amount(cells, "platform_revenue"),
            platform_orders=self._count(cells, "platform_orders"),
            time_zone=self._get(cells, "time_zone") or self._options.time_zone or "",
            reported_at=_moment(self._get(cells, "reported_at")),
        )

    def _spend(self, cells: Sequence[str]) -> Decimal:
        if self._get(cells, "spend"):
            return self._amount(cells, "spend") or Decimal(0)
        micros = number(self._get(cells, "spend_micros"), ".")
        return Decimal(0) if micros is None else _bounded(micros / MICROS)

    def _amount(self, cells: Sequence[str], name: str) -> Decimal | None:
        found = number(self._get(cells, name), self._mark)
        return None if found is None else _bounded(found)

    def _date(self, cells: Sequence[str]) -> dt.date:
        if text := self._get(cells, "date"):
            return day(text, self._slashes)
        first, last = (
            day(self._get(cells, name), self._slashes) for name in ("first_date", "last_date")
        )
        if first != last:
            raise Unreadable(f"it covers {first} to {last}: export with the breakdown by day")
        return first

    def _count(self, cells: Sequence[str], name: str) -> int | None:
        found = number(self._get(cells, name), self._mark)
        if found is None:
            return None
        if not 0 <= found < MOST:
            raise Unreadable(f"{name} is below zero, or too large")
        return round(found)


def _bounded(amount: Decimal) -> Decimal:
    if abs(amount) >= MOST:
        raise Unreadable("an amount is too large")
    return amount


def _countable(day: CampaignDay) -> CampaignDay:
    """Raises Unreadable for what would be parked."""
    for name in ("spend", "platform_revenue"):
        money = getattr(day, name)
        if money is not None and abs(minor(money, day.currency)) > MOST_UNITS:
            raise Unreadable(f"{name} is too large to be counted")
    for name in ("impressions", "clicks", "platform_orders"):
        if (getattr(day, name) or 0) > MOST:
            raise Unreadable(f"{name} is too large to be counted")
    return day


def _moment(text: str) -> str:
    """When a line was reported, with its offset."""
    if not text:
        return ""
    try:
        known = dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        raise Unreadable("reported_at is no time with an offset: 2026-11-26T12:00:00+01:00")
    return text


def _id(text: str) -> str:
    """A campaign's id: Meta's exports for spreadsheets write `c:1200001`."""
    return text.removeprefix("c:").strip("'\"")


def _together(one: CampaignDay, other: CampaignDay) -> CampaignDay:
    """Two lines of a campaign's day, added."""
    if one.currency != other.currency:
        raise Unreadable(
            f"the campaign's day is in {one.currency} and {other.currency}; write one currency"
        )

    def both(a: int | None, b: int | None) -> int | None:
        return (a or 0) + (b or 0) if a is not None or b is not None else None

    revenue = (
        None
        if one.platform_revenue is None and other.platform_revenue is None
        else (one.platform_revenue or Decimal(0)) + (other.platform_revenue or Decimal(0))
    )
    return replace(
        one,
        campaign_name=one.campaign_name or other.campaign_name,
        spend=one.spend + other.spend,
        impressions=both(one.impressions, other.impressions),
        clicks=both(one.clicks, other.clicks),
        platform_revenue=revenue,
        platform_orders=both(one.platform_orders, other.platform_orders),
    )
