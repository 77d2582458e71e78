"""Identity: the golden vectors, the table of differences to Meta's own libraries, agreement where
all agree, and properties."""

import re
import unicodedata
from pathlib import Path

import pytest
from facebook_business.adobjects.serverside.normalize import Normalize
from hypothesis import example, given
from hypothesis import strategies as st

from destinations.meta.event.identity import NORMALISERS, digest, hashed, normalised
from tests.support.shopify.golden import vectors

ROOT = Path(__file__).parents[4]
TABLE = ROOT / "docs/capi-identity.md"
COUNTRY = {
    "v061": "GB",
    "v063": "GB",
    "v071": "DE",
    "v053": "US",
    "v265": "JP",
    "v269": "NL",
    "v277": "IN",
    "v051": "US",
}
"""The address country of the inputs that Meta's libraries got without one; US where a rule needs
one and none is named here."""


def test_every_identity_vector_gives_its_normalised_form_and_its_hash() -> None:
    for vector in vectors("identity.json"):
        field, value, country = vector["field"], vector["input"], vector["order_country"]
        assert (normalised(field, value, country), hashed(field, value, country)) == (
            vector["normalised"],
            vector["sha256"],
        ), vector


def differences() -> dict[tuple[str, str, str], tuple[str, str]]:
    """(field, input, library) -> (the library's result, ours), if they differ on capi.json."""
    found = {}
    by_input: dict[tuple[str, str], str] = {}
    for vector in vectors("capi.json"):
        field, value, oracle = vector["field"], vector["input"], vector["oracle"]
        if field not in NORMALISERS or not isinstance(value, str) or oracle.startswith("Meta docs"):
            continue
        by_input.setdefault((field, value), vector["id"])
        country = COUNTRY.get(by_input[field, value], "US")
        ours, theirs = normalised(field, value, country), vector["normalised"] or None
        if ours != theirs:
            found[field, value, "SDK" if oracle.startswith("facebook_business") else "PB"] = (
                str(theirs),
                str(ours),
            )
    return found


def cell(text: str) -> str:
    return (
        "`"
        + "".join(c if c.isprintable() or c == "\u0307" else f"\\u{ord(c):04x}" for c in text)
        + "`"
    )


def table_row(key: tuple[str, str, str], values: tuple[str, str]) -> str:
    field, value, library = key
    form = "" if unicodedata.is_normalized("NFC", value) else " (NFD)"
    return f"| {field} | {cell(value)}{form} | {library} | {cell(values[0])} | {cell(values[1])} |"


def test_every_difference_to_metas_libraries_is_in_the_documented_table_and_nothing_else() -> None:
    documented = [
        line.rsplit(" | ", 1)[0] + " |"
        for line in TABLE.read_text().splitlines()
        if re.match(r"\| [a-z_]+ \| `", line)
    ]
    expected = [table_row(key, values) for key, values in differences().items()]
    assert sorted(documented) == sorted(expected)


AGREED = [
    ("em", " John_Smith@gmail.com "),
    ("ph", "+1 (650) 555-1212"),
    ("fn", "Mary"),
    ("fn", "정"),
    ("ln", "Valéry"),
    ("ct", "New York"),
    ("st", "CA"),
    ("zp", "94035-1234"),
    ("country", "US"),
]


@pytest.mark.parametrize(("field", "value"), AGREED)
def test_facebook_business_normalises_the_agreed_fields_to_the_same(field: str, value: str) -> None:
    assert Normalize.normalize(field, value, True) == hashed(field, value, "US")


@pytest.mark.parametrize(
    ("field", "normal", "start"),
    [
        ("em", "john_smith@gmail.com", "62a14e44"),
        ("ph", "+16505551212", "e323ec62"),
        ("fn", "mary", "6915771b"),
        ("fn", "정", "8fa8cd9c"),
        ("fn", "Valéry", "08e1996b"),
        ("country", "us", "79adb2a2"),
    ],
)
def test_the_hashes_printed_in_metas_documentation_come_out(
    field: str, normal: str, start: str
) -> None:
    assert (hashed(field, normal) or "")[:8] == start


@pytest.mark.parametrize("field", NORMALISERS)
@pytest.mark.parametrize("length", [32, 40, 64])
def test_what_looks_hashed_already_is_left_out(field: str, length: int) -> None:
    assert hashed(field, "a" * length, "US") is None
    assert hashed(field, "A0" * (length // 2), "US") is None


def test_a_number_without_country_code_is_read_with_the_orders_country_only() -> None:
    assert normalised("ph", "020 7946 0958", "GB") == "442079460958"
    assert normalised("ph", "020 7946 0958", None) is None
    assert normalised("ph", "+44 (0)20 7946 0958", "FR") == "442079460958"
    assert normalised("ph", "+1 650-555-1212 ext. 5", "US") == "16505551212"


@pytest.mark.parametrize("country", ["US", "FR", None])
@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("44 20 7946 0018", "442079460018"),
        ("33 6 12 34 56 78", "33612345678"),
        ("1 (650) 253-0000", "16502530000"),
        ("44-20-7946‑0018", "442079460018"),
        ("(00) 44 20 7946 0018", "442079460018"),
        ("0033 6 12 34 56 78 ext. 5", "33612345678"),
    ],
)
def test_a_country_code_without_plus_is_known_however_the_number_is_grouped(
    value: str, number: str, country: str | None
) -> None:
    assert normalised("ph", value, country) == number


@pytest.mark.parametrize("value", ["493-090-1820", "212 661 1234/56"])
def test_what_is_more_likely_a_mistyped_number_of_the_orders_country_is_not_taken_to_be_from_abroad(
    value: str,
) -> None:
    assert normalised("ph", value, "US") is None


def test_a_number_is_from_the_first_of_the_orders_countries_in_which_it_is_valid() -> None:
    assert normalised("ph", "06 12 34 56 78", "US", "FR", "IT") == "33612345678"
    assert normalised("ph", "150 1234 5678", "GB", "CN") == "8615012345678"
    assert normalised("ph", "+1 650 555 1212", "FR", "US") == "16505551212"


def test_a_plus_before_the_international_prefix_is_still_that_prefix() -> None:
    assert normalised("ph", "+00 44 20 7946 0958", "US") == "442079460958"


@pytest.mark.parametrize(
    "value",
    [
        "\u200buser@example.com",
        "user@example.com\u200b",
        "\ufeffUser@Example.com",
        "us\u00ader@example.com",
    ],
)
def test_characters_that_cannot_be_seen_are_no_part_of_an_email_address(value: str) -> None:
    assert normalised("em", value) == "user@example.com"


def test_both_unicode_forms_of_a_name_hash_the_same() -> None:
    assert hashed("fn", unicodedata.normalize("NFD", "José")) == hashed(
        "fn", unicodedata.normalize("NFC", "José")
    )


TEXT = (
    st.text(max_size=60)
    | st.text(alphabet="İıẞßΣςﬁ\u0301\u0307\u200d\u200b’-. 0٠９\u202aé", max_size=12)
    | st.emails()
)


@given(
    st.sampled_from(sorted(NORMALISERS)),
    TEXT,
    st.sampled_from([None, "US", "GB", "FR", "JP", "XX", ""]),
)
@example("ct", "İstanbul", None)
def test_normalising_never_raises_and_what_is_hashed_is_64_lower_case_hex(
    field: str, value: str, country: str | None
) -> None:
    result = hashed(field, value, country)
    assert result is None or re.fullmatch("[0-9a-f]{64}", result)
    assert result != digest("")


@given(st.sampled_from(sorted(NORMALISERS)), TEXT, st.sampled_from([None, "US", "GB", "FR"]))
def test_normalising_twice_is_normalising_once(field: str, value: str, country: str | None) -> None:
    once = NORMALISERS[field](value, country)
    if once is not None:
        assert NORMALISERS[field](("+" if field == "ph" else "") + once, country) == once


@pytest.mark.parametrize(
    "answer",
    [
        "+52 1 55 1234 5678",
        "+5215512345678",
        "0052 1 55 1234 5678",
        "5215512345678",
        "044 55 1234 5678",
        "045 55 1234 5678",
        "01 55 1234 5678",
        "55 1234 5678",
    ],
)
def test_a_mexican_number_loses_the_prefixes_that_were_given_up(answer: str) -> None:
    assert normalised("ph", answer, "MX") == "525512345678"


@pytest.mark.parametrize("answer", ["+521551234567", "+52155123456789"])
def test_a_mexican_number_of_another_length_is_none(answer: str) -> None:
    assert normalised("ph", answer, "MX") is None


@given(st.integers(2_000_000, 9_999_999))
def test_a_phone_reads_the_same_however_it_is_written(local: int) -> None:
    text = str(local)
    forms = [
        f"+1 212 {text}",
        f"(212) {text[:3]}-{text[3:]}",
        f"1-212-{text}",
        f"212.{text[:3]}.{text[3:]}",
        f"001 212 {text}",
    ]
    assert len({normalised("ph", form, "US") for form in forms}) == 1


@pytest.mark.parametrize("field", ["st", "country"])
@pytest.mark.parametrize(
    "value", ["CA", "ca", " us ", "N.Y.", "QO", "", "Île", "California", "a" * 64]
)
def test_a_remembered_code_has_the_hash_of_its_normalised_form(field: str, value: str) -> None:
    text = normalised(field, value)
    expected = None if text is None else digest(text)
    assert [hashed(field, value), hashed(field, value, "US")] == [expected, expected]
