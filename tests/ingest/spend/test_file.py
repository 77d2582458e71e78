"""Spend files as Meta, Google, TikTok and spreadsheets write them."""

import contextlib
import csv
import io
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.budget.fold.spend_record import decode_spend
from ingest.spend.campaign_day import Rates, row
from ingest.spend.file import NotASpendFile, Options, Report, read
from ingest.spend.record import spend_record
from stream.record import Entry

SHOP = "example.myshopify.com"
NOW_MS = 1_795_348_800_000
REPORTED = "2026-11-27T09:00:00.000+00:00"
OWN = "date,channel,campaign_id,campaign_name,currency,spend\n"

META = """Campaign name,Campaign ID,Day,Amount spent (EUR),Impressions,\
Clicks (all),Link clicks,Purchases,Website purchases,\
Purchases conversion value,Reporting starts,Reporting ends
,,,"1,312.62",91000,1290,900,41,41,"2,700.00",2026-11-24,2026-11-25
Summer,120211,2026-11-24,"1,250.12",90000,1200,800,40,40,"2,600.50",2026-11-24,2026-11-24
Summer,120211,2026-11-25,62.50,1000,90,100,1,1,99.50,2026-11-25,2026-11-25
"""
GOOGLE = """Campaign report
"November 24, 2026 - November 25, 2026"
Day\tCampaign\tCampaign ID\tCurrency code\tCost\tImpr.\tClicks\tConversions\tConv. value
2026-11-24\tBrand – größer\t900\tUSD\t1,234.56\t12,001\t301\t7.50\t890.12
2026-11-25\tBrand – größer\t900\tUSD\t0.00\t --\t0\t --\t --
Total: Account\t --\t --\tUSD\t1,234.56\t12,001\t301\t7.50\t890.12
"""
TIKTOK = """Campaign name,Campaign ID,By Day,Currency,Cost,Impressions,Clicks (destination),\
Complete payment,Total complete payment
Spark,1777,2026-11-24 00:00:00,GBP,33.10,5000,90,3,120.00
Total of 1 results,-,-,GBP,33.10,5000,90,3,120.00
"""


def decoded(report: Report) -> list[tuple[object, ...]]:
    """What the fold makes of each day: it takes every record that a file makes."""
    found: list[tuple[object, ...]] = []
    for each in report.days:
        record = spend_record(SHOP, row(each, Rates(), REPORTED), NOW_MS)
        spent = decode_spend(Entry(record, 0, 0))
        found.append((spent.day, spent.channel, spent.campaign, spent.currency, spent.spend))
    return found


def test_metas_export_is_recognised_with_its_currency_and_without_its_total() -> None:
    report = read(META.encode("utf-8-sig"), Options())
    assert (report.platform, report.bad, report.lines, report.totals) == ("meta", [], 2, 1)
    first, second = report.days
    assert (first.date, first.campaign_id, first.currency) == (
        date(2026, 11, 24),
        "120211",
        "EUR",
    )
    assert (first.spend, second.spend) == (Decimal("1250.12"), Decimal("62.50"))
    assert (first.clicks, first.platform_orders, first.platform_revenue) == (
        1200,
        40,
        Decimal("2600.50"),
    )
    assert decoded(report)[0][1:] == ("meta", "120211", "EUR", 125_012)


def test_googles_utf_16_export_is_read_below_its_title_with_dashes_for_nothing() -> None:
    report = read(b"\xff\xfe" + GOOGLE.encode("utf-16-le"), Options(time_zone="Europe/London"))
    assert (report.platform, report.bad, report.totals) == ("google", [], 1)
    first, second = report.days
    assert (first.campaign_name, first.spend) == ("Brand – größer", Decimal("1234.56"))
    assert (first.impressions, first.platform_orders) == (12_001, 8)
    assert (second.spend, second.impressions, second.platform_revenue) == (Decimal(0), None, None)
    assert first.time_zone == "Europe/London"


def test_tiktoks_export_is_recognised_and_its_total_left_out() -> None:
    report = read(TIKTOK.encode(), Options())
    (spark,) = report.days
    assert (report.platform, report.totals) == ("tiktok", 1)
    assert (spark.date, spark.spend, spark.platform_orders) == (
        date(2026, 11, 24),
        Decimal("33.10"),
        3,
    )


@pytest.mark.parametrize(
    ("text", "spends"),
    [
        ("Tag;Kampagne;Kosten;Währungscode\n24.11.2026;Marke;1.234,56;EUR\n", ["1234.56"]),
        ("Tag;Kampagne;Kosten;Währungscode\n24.11.2026;Marke;12,5;EUR\n", ["12.5"]),
        ("Tag;Kampagne;Kosten;Währungscode\n24.11.2026;Marke;1.234;EUR\n", ["1234"]),
        (OWN + "2026-11-24,meta,1,a,EUR,1.234\n", ["1.234"]),
        (OWN + '2026-11-24,meta,1,a,EUR,"1,234"\n', ["1234"]),
        (OWN + '2026-11-24,a,1,,EUR,"12,50"\n2026-11-25,a,1,,EUR,"1,234"\n', ["12.50", "1.234"]),
        (OWN + '2026-11-24,meta,1,a,EUR,"1 234,50 €"\n', ["1234.50"]),
        (OWN + '2026-11-24,meta,1,a,INR,"1,23,456.78"\n', ["123456.78"]),
        (OWN + "2026-11-24,meta,1,a,EUR,€7.10\n", ["7.10"]),
    ],
)  # fmt: skip
def test_amounts_are_read_by_what_the_file_as_a_whole_says(text: str, spends: list[str]) -> None:
    report = read(text.encode(), Options(channel="google"))
    assert report.bad == []
    assert [each.spend for each in report.days] == [Decimal(each) for each in spends]


@pytest.mark.parametrize(
    ("written", "dates", "expected"),
    [
        ("2026-11-04", None, date(2026, 11, 4)),
        ("2026-11-04T00:00:00", None, date(2026, 11, 4)),
        ("04.11.2026", None, date(2026, 11, 4)),
        ('"Nov 4, 2026"', None, date(2026, 11, 4)),
        ("4 November 2026", None, date(2026, 11, 4)),
        ("04/11/2026", "dmy", date(2026, 11, 4)),
        ("11/04/2026", "mdy", date(2026, 11, 4)),
        ("25/11/2026", None, date(2026, 11, 25)),
        ("11/25/2026", None, date(2026, 11, 25)),
    ],
)
def test_days_are_read_as_countries_write_them(
    written: str, dates: str | None, expected: date
) -> None:
    report = read((OWN + f"{written},meta,1,a,EUR,1.00\n").encode(), Options(dates=dates))
    assert [each.date for each in report.days] == [expected]


def test_a_day_that_may_be_two_is_refused_with_what_to_say() -> None:
    (bad,) = read((OWN + "04/11/2026,meta,1,a,EUR,1.00\n").encode(), Options()).bad
    assert "--dates dmy" in bad.reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2026-13-24,meta,1,a,EUR,1.00", "is no date"),
        ("2026-11-24,meta,1,a,EUR,twelve", "is no number"),
        ("2026-11-24,meta,1,a,EUR,-3.00", "below zero"),
        ("2026-11-24,meta,1,a,EURO,3.00", "no currency's code"),
        ("2026-11-24,meta,1,a,,3.00", "--currency"),
        ("2026-11-24,,1,a,EUR,3.00", "--channel"),
        ("2026-11-24,meta,1,a,EUR,3.00", "the same as line 2"),
        ("2026-11-24,meta,1,a,USD,3.00", "EUR and USD"),
    ],
)
def test_a_bad_line_is_named_by_its_number_and_spoils_no_other(line: str, reason: str) -> None:
    text = OWN + "2026-11-24,meta,1,a,EUR,3.00\n" + line + "\n2026-11-25,meta,1,a,EUR,4.00\n"
    report = read(text.encode(), Options())
    (bad,) = report.bad
    assert bad.line == 3
    assert reason in bad.reason
    assert [each.spend for each in report.days] == [Decimal("3.00"), Decimal("4.00")]


def test_lines_of_one_campaign_and_day_are_added_up() -> None:
    text = (
        "Day,Campaign name,Ad set name,Amount spent (EUR),Purchases\n"
        "2026-11-24,Summer,wide,10.10,1\n2026-11-24,SUMMER,narrow,5.05,\n"
    )
    (summed,) = read(text.encode(), Options()).days
    assert (summed.spend, summed.platform_orders) == (Decimal("15.15"), 1)


def test_a_line_over_several_days_is_refused() -> None:
    text = (
        "Campaign name,Amount spent (EUR),Reporting starts,Reporting ends\n"
        "Summer,10.00,2026-11-01,2026-11-26\nSummer,10.00,2026-11-26,2026-11-26\n"
    )
    report = read(text.encode(), Options())
    assert [(each.line, "breakdown by day" in each.reason) for each in report.bad] == [(2, True)]
    assert [each.date for each in report.days] == [date(2026, 11, 26)]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"Campaign,Cost\nx,1\n"])
def test_a_file_without_day_campaign_and_spend_is_refused_as_a_whole(content: bytes) -> None:
    with pytest.raises(NotASpendFile):
        read(content, Options())


def test_amounts_are_converted_only_where_a_rate_is_given_and_keep_what_was_reported() -> None:
    (usd,) = read(
        (
            b"date,channel,campaign_id,currency,spend,platform_revenue\n"
            b"2026-11-24,meta,1,USD,10.00,30\n"
        ),
        Options(),
    ).days
    rates = Rates({"USD": Decimal("0.92")}, into="EUR")
    converted = row(usd, rates, REPORTED)
    assert (converted["currency"], converted["spend"]) == ("EUR", "9.20")
    assert converted["platform_revenue"] == "27.60"
    assert (converted["account_currency"], converted["account_spend"]) == ("USD", "10.00")
    gbp = row(replace(usd, currency="GBP"), rates, REPORTED)
    assert (gbp["currency"], gbp["spend"], "rate" in gbp) == ("GBP", "10.00", False)


def test_micros_of_googles_api_are_units() -> None:
    text = (
        "segments.date,campaign.id,campaign.name,metrics.cost_micros,customer.currency_code\n"
        "2026-11-24,900,Brand,12340000,EUR\n"
    )
    (brand,) = read(text.encode(), Options()).days
    assert (brand.channel, brand.spend) == ("google", Decimal("12.34"))


odd = st.one_of(
    st.text(max_size=8),
    st.sampled_from(("9" * 40, "--", "Total", "\0", '"', "(", "1E9", "-1", "1,5")),
)


def mostly(*values: str) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(values), st.sampled_from(values), odd)


FIELDS = {
    "date": mostly("2026-11-24", "24/11/2026", "Nov 24, 2026"),
    "channel": mostly("meta", "Google Ads"),
    "campaign_id": mostly("1", "c:2"),
    "campaign_name": mostly("Summer", "a\tb"),
    "currency": mostly("EUR", "JPY", "KWD"),
    "spend": mostly("1.234", "1,234.50", "0"),
    "clicks": mostly("12", "12.0"),
    "platform_revenue": mostly("9.99", ""),
    "reported_at": mostly("", "2026-11-26T12:00:00+01:00", "2026-11-26"),
}


@given(
    rows=st.lists(st.tuples(*FIELDS.values()), max_size=4),
    delimiter=st.sampled_from(",;\t"),
)
def test_each_line_is_a_day_that_the_fold_takes_or_is_named_as_bad(
    rows: list[tuple[str, ...]], delimiter: str
) -> None:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([tuple(FIELDS), *rows])
    content = text.getvalue().encode("utf-8", "replace")
    report = read(content, Options(dates="dmy"))
    assert all(bad.reason and bad.line > 1 for bad in report.bad)
    assert len(decoded(report)) == len(report.days)


@given(content=st.binary(max_size=200))
def test_whatever_bytes_come_a_file_is_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(NotASpendFile):
        read(content, Options())


def test_a_cell_that_never_ends_is_refused_and_not_a_crash() -> None:
    with pytest.raises(NotASpendFile):
        read((OWN + '"' + "x" * 200_000).encode(), Options())


def test_a_spreadsheets_own_code_page_is_read() -> None:
    text = "Day,Campaign name,Amount spent (EUR)\n2026-11-24,Größe,1.00\n"
    (day,) = read(text.encode("cp1252"), Options()).days
    assert day.campaign_name == "Größe"
