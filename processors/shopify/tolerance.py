"""Cleans odd values of payloads, so that nothing behind the decoder asks again whether a field was
absent (docs/facts/shopify.md, "Absent is not empty").

Each function takes a JSON value and returns the clean value, None for "absent", or raises Rejected
if the value is malformed and something depends on it.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from stream.money import MOST_UNITS, TooLarge, is_known, minor

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND, MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
INT64 = 1 << 63
NUMBERS = (int, float)
"""What an amount may be written as, beside text. A tuple: `int | float` is made anew at each call,
and takes seven times as long."""


class Rejected(Exception):
    """A record that cannot be understood: it is parked with `reason` (snake case, no personal data)
    and can be replayed."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail = reason, detail


def lacking(**needed: Any) -> Rejected:
    """The rejection of a body without some of `needed` (Shopify's names, None if absent).

    The reason names them, so that whoever filters the subscription's fields knows which to add.
    """
    missing = [name for name, value in needed.items() if value is None]
    if missing == ["id"]:
        return Rejected("no_order_id", "the body has neither id nor admin_graphql_api_id")
    return Rejected(f"missing_fields:{','.join(missing)}", "the subscription's include_fields?")


def shape(value: Any) -> str:
    """The shape of a value without its content, for errors about personal data."""
    return (
        f"{type(value).__name__} of {len(value)}"
        if isinstance(value, str | list | dict)
        else type(value).__name__
    )


def text(value: Any) -> str | None:
    """A non-empty string, else None. Numbers become their digits."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object; null, "", [] and absent all mean an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """A JSON array; null, "" and absent mean an empty one."""
    return value if isinstance(value, list) else []


def identifier(value: Any) -> str | None:
    """A Shopify id as digits: 123, "123" and "gid://shopify/Order/123" are the same; None if
    absent."""
    if type(value) is int:  # True is none.
        return str(value) if 0 < value < INT64 else None
    if isinstance(value, str):
        tail = value.strip().rsplit("/", 1)[-1].partition("?")[0]
        return (
            str(int(tail))
            if tail.isascii() and tail.isdigit() and int(tail[:19]) > 0 and len(tail) <= 19
            else None
        )
    return None


def timestamp(value: Any, field: str) -> datetime | None:
    """An ISO 8601 time with an offset, the offset kept (it is the shop's); None if absent. Raises
    Rejected."""
    if isinstance(value, str):
        if not value:
            return None
        try:
            parsed = datetime.fromisoformat(value.strip())
        except ValueError:
            parsed = None
        if parsed is not None and parsed.tzinfo is not None and 1970 <= parsed.year <= 9000:
            return parsed
    elif value is None or value == []:
        return None
    raise Rejected(
        "malformed_timestamp", f"{field} is a {shape(value)}, not ISO 8601 with an offset"
    )


def currency_code(value: Any, field: str) -> str | None:
    """A currency's code in capitals; None if absent. Raises Rejected.

    The reason says whether the value is malformed, or an unknown code.
    """
    code = text(value)
    if code is None:
        return None
    if is_known(code.upper()):
        return code.upper()
    if code.isascii() and code.isalpha() and len(code) in (3, 4):
        raise Rejected("unknown_currency", f"{field} is {code}, which is no currency's code")
    raise Rejected("malformed_currency", f"{field} is a {shape(value)}, not a currency's code")


def money(value: Any, currency: str, field: str) -> int | None:
    """An amount in minor units of `currency`; None if absent. Raises Rejected."""
    if not isinstance(value, str):
        if value is None or value == []:
            return None
        if not isinstance(value, NUMBERS) or isinstance(value, bool):
            raise Rejected("malformed_money", f"{field} is a {shape(value)}, not an amount")
    elif not value:
        return None
    try:
        units = minor(value, currency)
    except TooLarge:
        raise out_of_range(field) from None
    except ValueError:
        raise Rejected("malformed_money", f"{field} is a {shape(value)}, not an amount") from None
    return units if -MOST_UNITS <= units <= MOST_UNITS else bounded(units, field)


def bounded(units: int, field: str) -> int:
    """Minor units of one order, checkout or report, if they can be counted. Raises Rejected."""
    if -MOST_UNITS <= units <= MOST_UNITS:
        return units
    raise out_of_range(field)


def out_of_range(field: str) -> Rejected:
    """The rejection of a number too large to be counted; the reason names the field."""
    return Rejected(
        f"out_of_range:{field.replace(' ', '_')}",
        f"{field} is beyond what one record may count: correct it where it was entered, and"
        " discard this record",
    )


def micros(moment: datetime) -> int:
    """Unix microseconds of an aware time, exactly."""
    return (moment - EPOCH) // MICROSECOND


def millis(moment: datetime) -> int:
    """Unix milliseconds of an aware time, rounded down."""
    return (moment - EPOCH) // MILLISECOND


def shop_day(moment: datetime, zone: ZoneInfo | None) -> tuple[int, int]:
    """The shop's day, as days since 1970-01-01, and how many seconds the shop is ahead of UTC: in
    `zone`, or, if none is configured, in the offset of the time itself.

    Classic webhooks write order times in the shop's own offset (docs/facts/shopify.md, "Orders"),
    so an order's day is right without a setting.
    """
    local = moment if zone is None else moment.astimezone(zone)
    offset = local.utcoffset()
    ahead_s = 0 if offset is None else round(offset.total_seconds())
    return local.toordinal() - EPOCH_ORDINAL, ahead_s
