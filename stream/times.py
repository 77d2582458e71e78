"""Times and days as answers write them."""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

EPOCH: Final = date(1970, 1, 1)


def instant(ms: int) -> str:
    """Unix milliseconds as RFC 3339 in UTC."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def day_of(at_ms: int, zone: ZoneInfo | None) -> int:
    """Days since 1970-01-01, in `zone` or UTC."""
    return (datetime.fromtimestamp(at_ms / 1000, zone or UTC).date() - EPOCH).days


def day_text(day: int) -> str:
    """Days since 1970-01-01 as a date."""
    return (EPOCH + timedelta(days=day)).isoformat()
