"""Money in minor units, with the currency's own digits; and the bins that cells keep it in."""

import pytest
from babel.numbers import get_currency_precision, list_currencies
from hypothesis import given
from hypothesis import strategies as st

from aggregates.rfm.fold.money_bins import EDGES, bin_edge
from stream.money import amount, digits, is_iso_4217, is_known, minor, money


@pytest.mark.parametrize(
    ("text", "currency", "units"),
    [
        ("35.11", "USD", 3511),
        ("35.1", "USD", 3510),
        ("35", "USD", 3500),
        ("1200", "JPY", 1200),
        ("1200.00", "JPY", 1200),
        ("1.234", "KWD", 1234),
        ("1250.50", "RSD", 125_050),
        ("99.95", "ALL", 9995),
        ("1250.125", "IQD", 1_250_125),
        ("-3.50", "EUR", -350),
        ("1e2", "USD", 10_000),
        (" 7.00 ", "USD", 700),
        (89.99, "USD", 8999),
        (0, "USD", 0),
        ("0.005", "USD", 0),
        ("0.015", "USD", 2),
    ],
)
def test_amounts_become_minor_units(text: str | float, currency: str, units: int) -> None:
    assert minor(text, currency) == units


@pytest.mark.parametrize(
    "text", ["", "example string", "NaN", "Infinity", "1,5", "1e30", "--1", "٣.٠٠x"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount of money"):
        minor(text, "USD")


def test_a_code_that_no_currency_has_is_refused() -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        digits("XQQ")


SHOPIFY_CODES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP "
    "BYN BYR BZD CAD CDF CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP "
    "GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JEP JMD JOD JPY KES "
    "KGS KHR KID KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LVL LYD MAD MDL MGA MKD MMK MNT MOP "
    "MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON "
    "RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLL SOS SRD SSP STD STN SYP SZL THB TJS TMT TND TOP "
    "TRY TTD TWD TZS UAH UGX USD USDC UYU UZS VED VEF VES VND VUV WST XAF XCD XOF XPF XXX YER ZAR "
    "ZMW"
)
"""Shopify's `CurrencyCode` (shopify.dev: admin-graphql, 2026-10)."""


def test_every_currency_that_shopify_has_is_known() -> None:
    assert [code for code in SHOPIFY_CODES.split() if not is_known(code)] == []


def test_the_currencies_that_only_shopify_has_are_counted_with_two_digits() -> None:
    only = [code for code in SHOPIFY_CODES.split() if not is_iso_4217(code)]
    assert only == ["JEP", "KID", "USDC"]
    assert [amount(minor("12.34", code), code) for code in only] == ["12.34"] * 3


@given(st.integers(-(10**15), 10**15), st.sampled_from(["USD", "JPY", "KWD", "EUR"]))
def test_an_amount_written_and_read_again_is_the_same(units: int, currency: str) -> None:
    if abs(units) < 10**15 * 10 ** digits(currency):
        assert minor(amount(units, currency), currency) == units


def test_digits_are_those_of_iso_4217_where_common_usage_has_fewer() -> None:
    """CLDR says 0 for all of these, since their coins are out of use; prices, taxes and Shopify's
    library have the digits."""
    usual = ["AFN", "ALL", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER"]
    assert [digits(code) for code in (*usual, "IQD")] == [*(2 for _ in usual), 3]


def test_no_currency_has_fewer_digits_than_it_is_shown_with() -> None:
    assert [code for code in list_currencies() if digits(code) < get_currency_precision(code)] == []


def test_money_is_shopify_s_shape() -> None:
    assert money(-5, "USD") == {"amount": "-0.05", "currency_code": "USD"}
    assert money(1234.6, "JPY") == {"amount": "1235", "currency_code": "JPY"}


@given(st.integers(0, 10**15))
def test_a_bin_s_edge_is_at_most_two_percent_above_the_amount(units: int) -> None:
    edge = bin_edge(units)
    assert units <= edge <= max(units + 1, units * 1.02 + 1)
    assert bin_edge(edge) == edge


@given(st.integers(0, 10**12), st.sampled_from(EDGES[:1500]))
def test_an_amount_is_above_an_edge_exactly_when_its_own_edge_is(units: int, edge: int) -> None:
    assert (units > edge) == (bin_edge(units) > edge)


@pytest.mark.parametrize(
    "amount", ["1000000000000000.00", "90000000000000000.00", "1e15", 10**15, "-1000000000000000"]
)
def test_an_amount_with_too_many_digits_is_refused_in_every_form(
    amount: str | int,
) -> None:
    with pytest.raises(ValueError, match="1e15"):
        minor(amount, "USD")
    assert minor("999999999999999.99", "USD") == 99_999_999_999_999_999
