"""What a record on `spend` says."""

import json
from typing import Any

import pytest

from aggregates.budget.fold.spend_record import SpendRow, decode_spend, newer
from processors.shopify.tolerance import Rejected
from stream.record import Entry, Record

ROW = {
    "date": "2026-11-20",
    "channel": "meta",
    "campaign_id": "1200001",
    "campaign_name": "Summer",
    "currency": "USD",
    "spend": "12.34",
}


def entry(body: Any, time_ms: int = 1_000) -> Entry:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Entry(
        Record("spend", "k", "id", time_ms, {"shop": "a.myshopify.com", "source": "spend"}, raw),
        0,
        0,
    )


def decoded(**changes: Any) -> SpendRow:
    return decode_spend(entry({**ROW, **changes}))


def test_a_row_of_strings_as_a_csv_has_them() -> None:
    row = decoded(
        impressions="1000",
        clicks="12.0",
        platform_revenue="99.5",
        platform_orders="3",
        time_zone="America/Los_Angeles",
    )
    assert row[:6] == ("a.myshopify.com", 20_777, "meta", "1200001", "1200001", "Summer")
    assert (row.currency, row.spend, row.impressions, row.clicks) == ("USD", 1234, 1000, 12)
    assert (row.platform_revenue, row.platform_orders, row.time_zone) == (
        9950,
        3,
        "America/Los_Angeles",
    )


def test_numbers_empty_strings_and_nulls_are_tolerated() -> None:
    row = decoded(
        spend=12.34,
        campaign_id=1200001,
        impressions="",
        clicks=None,
        platform_revenue="",
        time_zone=None,
        currency="usd",
    )
    assert (
        row.spend,
        row.campaign_id,
        row.impressions,
        row.clicks,
        row.platform_revenue,
        row.time_zone,
    ) == (
        1234,
        "1200001",
        None,
        None,
        None,
        "",
    )


def test_money_has_the_currencys_own_digits() -> None:
    assert decoded(currency="JPY", spend="1200.00").spend == 1200
    assert decoded(currency="KWD", spend="1.234").spend == 1234


def test_a_campaign_without_id_is_known_by_its_name_whatever_the_case() -> None:
    assert (
        decoded(campaign_id="", campaign_name=" Summer  Sale").campaign
        == decoded(campaign_id=None, campaign_name="summer sale").campaign
    )


def test_channels_of_reports_and_links_meet() -> None:
    assert decoded(channel="Facebook Ads").channel == "meta"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"date": None}, "no_date"),
        ({"date": "20.11.2026"}, "malformed_date"),
        ({"date": "2026-13-01"}, "malformed_date"),
        ({"channel": ""}, "no_channel"),
        ({"campaign_id": None, "campaign_name": " "}, "no_campaign"),
        ({"currency": None}, "no_currency"),
        ({"currency": "dollars"}, "malformed_currency"),
        ({"currency": "ZZZ"}, "unknown_currency"),
        ({"spend": None}, "no_spend"),
        ({"spend": "1,234.00"}, "malformed_money"),
        ({"spend": "NaN"}, "malformed_money"),
        ({"spend": "-1"}, "negative_spend"),
        ({"spend": "1000000000000.01"}, "out_of_range:spend"),
        ({"platform_revenue": "1e40"}, "out_of_range:platform_revenue"),
        ({"clicks": "1000000000001"}, "out_of_range:clicks"),
        ({"clicks": "1e400"}, "malformed_count"),
        ({"clicks": "many"}, "malformed_count"),
        ({"clicks": -1}, "malformed_count"),
        ({"clicks": True}, "malformed_count"),
        ({"reported_at": "yesterday"}, "malformed_timestamp"),
    ],
)
def test_what_cannot_be_understood_is_rejected_with_its_reason(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Rejected) as caught:
        decoded(**changes)
    assert caught.value.reason == reason


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"{", b"null"])
def test_a_body_that_is_no_object_is_rejected(body: bytes) -> None:
    with pytest.raises(Rejected) as caught:
        decode_spend(entry(body))
    assert caught.value.reason == "malformed_json"


def test_the_later_report_wins_by_its_own_time_else_by_when_it_came() -> None:
    early, late = (
        decode_spend(entry(ROW, time_ms=1)),
        decode_spend(entry({**ROW, "spend": "9"}, time_ms=2)),
    )
    assert newer(early, late) == newer(late, early) == late
    first = decoded(reported_at="2026-11-21T00:00:00Z")
    second = decode_spend(
        entry({**ROW, "spend": "9", "reported_at": "2026-11-22T00:00:00Z"}, time_ms=0)
    )
    assert newer(first, second) == newer(second, first) == second
