"""Decodes a record on `spend`: the cost of one campaign on one day (docs/api.md, "Records on
spend")."""

import hashlib
from datetime import date
from math import inf
from typing import Any, Final, NamedTuple

import msgspec

from aggregates.budget.fold.attribution import channel
from processors.shopify.landing import LABEL_CHARACTERS, NAME_CHARACTERS, clean
from processors.shopify.tolerance import (
    EPOCH_ORDINAL,
    Rejected,
    currency_code,
    micros,
    money,
    out_of_range,
    shape,
    text,
    timestamp,
)
from stream.record import Entry

COUNT_LIMIT: Final = 10**12
"""Events of a campaign and day; sums of nine million such reports are 64-bit integers."""


class SpendRow(NamedTuple):
    """Columns of `budget_spend`. Money in minor units of `currency`, the ad account's; None if not
    reported."""

    shop: str
    day: int
    """The ad account's day, days since 1970-01-01."""
    channel: str
    campaign: str
    """The campaign's identity: the id, or `name:` and the name where a report has no id."""
    campaign_id: str
    campaign_name: str
    reported_us: int
    digest: str
    currency: str
    spend: int
    impressions: int | None
    clicks: int | None
    platform_revenue: int | None
    platform_orders: int | None
    time_zone: str
    daily_budget: int | None = None
    """What the campaign may spend per day as it is set when this is reported; zero while paused."""


def newer(row: SpendRow | None, report: SpendRow) -> SpendRow:
    """The row after `report`. Commutative, associative, idempotent.

    A report of the same channel, campaign and day replaces an earlier one. `reported_at` decides
    which is later, else the time of receipt, then the body's digest, so restatements end in the
    same state in any order.
    """
    if row is None or (report.reported_us, report.digest) > (row.reported_us, row.digest):
        return report
    return row


def _count(value: Any, field: str) -> int | None:
    """A whole number of events; platforms and spreadsheets write "12", 12 and 12.0."""
    if value is None or value == "" or value == []:
        return None
    try:
        number = (
            float(value)
            if isinstance(value, str | int | float) and not isinstance(value, bool)
            else -1.0
        )
    except (ValueError, OverflowError):
        number = -1.0
    if COUNT_LIMIT < number < inf:
        raise out_of_range(field)
    if not 0 <= number <= COUNT_LIMIT:
        raise Rejected("malformed_count", f"{field} is a {shape(value)}, not a number of events")
    return round(number)


def _day(value: Any) -> int:
    written = text(value)
    if written is None:
        raise Rejected("no_date", "the spend row has no date")
    try:
        return date.fromisoformat(written[:10]).toordinal() - EPOCH_ORDINAL
    except ValueError:
        raise Rejected("malformed_date", f"date is a {shape(value)}, not YYYY-MM-DD") from None


def _name(value: Any, characters: int) -> str:
    return clean(text(value) or "", characters)


_decoder = msgspec.json.Decoder(dict[str, Any])


def decode_spend(entry: Entry) -> SpendRow:
    """A record of the topic `spend`. Raises Rejected."""
    record = entry.record
    try:
        body = _decoder.decode(record.body)
    except msgspec.DecodeError:
        raise Rejected("malformed_json", "the body is not a JSON object") from None
    day = _day(body.get("date"))
    given_channel = channel(text(body.get("channel")) or "")
    if not given_channel:
        raise Rejected("no_channel", "the spend row names no channel")
    campaign_id, name = (
        _name(body.get("campaign_id"), NAME_CHARACTERS),
        _name(body.get("campaign_name"), LABEL_CHARACTERS),
    )
    if not campaign_id and not name:
        raise Rejected("no_campaign", "the spend row has neither campaign_id nor campaign_name")
    currency = currency_code(body.get("currency"), "currency")
    if currency is None:
        raise Rejected("no_currency", "the spend row names no currency")
    spend = money(body.get("spend"), currency, "spend")
    if spend is None:
        raise Rejected("no_spend", "the spend row has no spend")
    if spend < 0:
        raise Rejected("negative_spend", "spend is below zero")
    reported = timestamp(body.get("reported_at"), "reported_at")
    return SpendRow(
        shop=record.headers["shop"],
        day=day,
        channel=given_channel,
        campaign=campaign_id or "name:" + name.casefold(),
        campaign_id=campaign_id,
        campaign_name=name,
        reported_us=micros(reported) if reported else record.time_ms * 1000,
        digest=hashlib.blake2b(record.body, digest_size=8).hexdigest(),
        currency=currency,
        spend=spend,
        impressions=_count(body.get("impressions"), "impressions"),
        clicks=_count(body.get("clicks"), "clicks"),
        platform_revenue=money(body.get("platform_revenue"), currency, "platform_revenue"),
        platform_orders=_count(body.get("platform_orders"), "platform_orders"),
        time_zone=_name(body.get("time_zone"), NAME_CHARACTERS),
        daily_budget=money(body.get("daily_budget"), currency, "daily_budget"),
    )
