"""Plain phone numbers are read as `phonenumbers` reads them."""

import phonenumbers
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, SUPPORTED_REGIONS, PhoneNumberType

from destinations.meta.event.phones import e164

REGIONS = sorted(SUPPORTED_REGIONS)
FORMATS = (
    phonenumbers.PhoneNumberFormat.E164,
    phonenumbers.PhoneNumberFormat.INTERNATIONAL,
    phonenumbers.PhoneNumberFormat.NATIONAL,
)


def by_the_library(text: str, place: str | None) -> str:
    try:
        number = phonenumbers.parse(text, place)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(number):
        return ""
    return phonenumbers.format_number(number, FORMATS[0])[1:]


@pytest.mark.parametrize("region", REGIONS)
def test_the_numbers_of_every_kind_are_read_as_the_library_reads_them(region: str) -> None:
    for kind in PhoneNumberType.values():
        number = phonenumbers.example_number_for_type(region, kind)
        if number is None:
            continue
        for form in FORMATS:
            text = phonenumbers.format_number(number, form)
            assert e164(text, region) in (None, by_the_library(text, region))


def test_nearly_every_number_with_a_country_code_is_plain() -> None:
    written = [
        phonenumbers.format_number(number, FORMATS[0])
        for region in REGIONS
        if (number := phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE))
    ]
    read = [e164(text, None) for text in written]
    assert sum(bool(each) for each in read) > 0.9 * len(written)


@pytest.mark.parametrize(("text", "place", "digits"), [
    ("020 7946 0623", "GB", "442079460623"), ("01 99 00 51 35", "FR", "33199005135"),
    ("0491 570 156", "AU", "61491570156"), ("(212) 555-0188", "US", "12125550188"),
    ("+1 416-555-0107", None, "14165550107"), ("+44 0207 946 0623", None, "442079460623"),
])  # fmt: skip
def test_numbers_as_they_are_dialled_at_home_are_plain(
    text: str, place: str | None, digits: str
) -> None:
    assert e164(text, place) == digits == by_the_library(text, place)


CODES = st.sampled_from(sorted(COUNTRY_CODE_TO_REGION_CODE)).map(str)
DIGITS = st.text("0123456789", min_size=3, max_size=14)
SEPARATORS = st.sampled_from(["", "", " ", "-", ".", ") ", "  ", " ("])


@settings(max_examples=500)
@given(
    start=st.one_of(CODES.map("+{}".format), st.sampled_from(["", "(", "+", "+ ", "00"])),
    parts=st.lists(st.tuples(DIGITS, SEPARATORS), min_size=1, max_size=3),
    place=st.sampled_from([*REGIONS, "XX"]) | st.none(),
)
@example(start="+1", parts=[("5195550123", "")], place=None)
@example(start="(", parts=[("519", ") "), ("555", "-"), ("0123", "")], place="CA")
@example(start="+39", parts=[("0612345678", "")], place="IT")
@example(start="+44", parts=[("02079460000", "")], place="GB")
def test_any_digits_are_read_as_the_library_reads_them(
    start: str, parts: list[tuple[str, str]], place: str | None
) -> None:
    text = start + "".join(digits + separator for digits, separator in parts)
    assert e164(text, place) in (None, by_the_library(text, place))


@settings(max_examples=300)
@given(
    data=st.data(),
    region=st.sampled_from(REGIONS),
    start=st.sampled_from(["+", "", "0", "1", "8", "00"]),
)
def test_numbers_near_a_valid_one_are_read_as_the_library_reads_them(
    data: st.DataObject, region: str, start: str
) -> None:
    number = phonenumbers.example_number(region)
    assert number is not None
    digits = list(phonenumbers.national_significant_number(number))
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.integers(0, len(digits) - 1))
        digits[place] = data.draw(st.sampled_from("0123456789"))
    text = "".join(digits)
    text = f"+{number.country_code}{text}" if start == "+" else start + text
    assert e164(text, region) in (None, by_the_library(text, region))


@pytest.mark.parametrize("text", ["", "+", "519", "5195550123 ext. 4", "tel:5195550123", "５１９"])
def test_what_is_not_plain_is_left_to_the_library(text: str) -> None:
    assert e164(text, "CA") is None
