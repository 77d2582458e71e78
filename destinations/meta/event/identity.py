"""Normalises personal data as Meta wants it and hashes it with SHA-256 (docs/facts/meta.md,
"Identity fields"; docs/capi-identity.md has the differences from Meta's libraries). A value that
cannot be normalised is left out. Every function is pure, idempotent and never raises."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Protocol

import phonenumbers
from babel import Locale
from phonenumbers import NumberParseException, PhoneNumberFormat

from destinations.meta.event import phones

# The patterns of all countries are more than the 512 that `re` keeps compiled.
phonenumbers.enable_pattern_cache()
# Neither hashed again nor passed through: nobody knows what it is a hash of.
_already_hashed = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}").fullmatch
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
# Not email-validator: 85 us an address (this takes 2), and it writes punycode as Unicode, which
# would change the hash.
_email = re.compile(
    # local part: atoms between single dots
    r"(?=.{3,254}$)[^\s@<>()\[\]\\,;:\".]+(?:\.[^\s@<>()\[\]\\,;:\".]+)*"
    # at least one dot, and a top level that is letters
    rf"@(?:{_LABEL}\.)+(?:[^\W\d_]{{2,63}}|xn--[a-z0-9-]{{1,59}})"
).fullmatch
_grouping = re.compile(r"[\s().\-\u2010-\u2015]")
_UNASSIGNED = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})
"""Two-letter codes of CLDR that are no country."""
COUNTRIES = (
    frozenset(filter(re.compile("[A-Z]{2}").fullmatch, map(str, Locale("en").territories)))
    - _UNASSIGNED
)


_REST = {code: None for code in range(128) if not chr(code).isalnum()}
"""ASCII that is neither letter nor digit."""


def _folded(value: str) -> str:
    """Lower case, NFC, letters, marks and digits of any script (general categories L, M, N) and
    nothing else.

    NFC first and last: the composed and the decomposed form of "é" hash differently.
    """
    if value.isascii():
        return value.lower() if value.isalnum() else value.lower().translate(_REST)
    text = unicodedata.normalize("NFC", value).lower().translate(_REST)
    if text.isalnum() and text == unicodedata.normalize("NFC", text).lower():
        return text  # Nearly always: what follows takes four times as long.
    while True:
        text = unicodedata.normalize("NFC", value).lower()
        text = "".join(c for c in text if unicodedata.category(c)[0] in "LMN")
        text = unicodedata.normalize("NFC", text)
        if text == value:
            return text
        value = text


def _visible(value: str) -> str:
    """Without invisible characters that are pasted along: direction marks, zero-width and soft
    characters (general category Cf)."""
    return (
        value if value.isascii() else "".join(c for c in value if unicodedata.category(c) != "Cf")
    )


def email(value: str, *countries: str | None) -> str | None:
    """Trimmed and lower case; dots and +tags of the local part stay."""
    if value.isascii():
        text = value.strip().lower()
    else:
        text = unicodedata.normalize(
            "NFC", unicodedata.normalize("NFC", _visible(value)).strip().lower()
        )
    return text if _email(text) else None


_mexican = re.compile(r"(?:\+|00|\+00)?521(?P<number>[0-9]{10})").fullmatch
_mexican_domestic = re.compile(r"0(?:44|45|1)(?P<number>[0-9]{10})").fullmatch
"""Until 2019 a Mexican mobile had a 1 behind the country code, 044 or 045 in front at home, and a
fixed line 01 (IFT, numbering plan of 3 August 2019). People still write them."""


def _readings(text: str, countries: tuple[str | None, ...]) -> Iterator[str]:
    """`text` as it is, then in other forms that it can only mean.

    A plus is added if the text can only begin with a country code: after 00 (any country), or with
    11 digits and more; ten digits are more likely a mistyped local number. Not across a slash: what
    follows one may be a second number. Mexican numbers lose their old prefixes.
    """
    yield text
    text = _grouping.sub("", text)
    if text.startswith(("00", "+00")):
        yield "+" + text.removeprefix("+")[2:]
    elif len(text) >= 11 and text.isascii() and text.isdigit():
        yield "+" + text
    found = _mexican(text) or (_mexican_domestic(text) if "MX" in countries else None)
    if found:
        yield f"+52{found['number']}"


def phone(value: str, *countries: str | None) -> str | None:
    """E.164 digits without the plus. A number without country code is from the first of `countries`
    (ISO 3166) in which it is valid."""
    text = _visible(value).strip()
    if len(text) > 64:
        return None
    places = tuple([each.upper() if each else None for each in countries]) or (None,)
    if plain := phones.e164(text, places[0]):
        return plain  # Nearly always.
    for reading in _readings(text, places):
        for place in places:
            plain = phones.e164(reading, place)
            if plain is not None:
                if plain:
                    return plain
                continue
            try:
                number = phonenumbers.parse(reading, place)
            except NumberParseException:
                continue
            if phonenumbers.is_valid_number(number):
                return phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]
    return None


def name(value: str, *countries: str | None) -> str | None:
    """A first or last name: lower case, without punctuation, symbols and spaces, in whatever
    script."""
    return _folded(value) or None


def city(value: str, *countries: str | None) -> str | None:
    """Letters and digits of any script, lower case. The dot that lower-casing leaves over a Turkish
    capital I is no letter: it goes."""
    return _folded(value.replace("İ", "i")) or None


def state(value: str, *countries: str | None) -> str | None:
    """Shopify's `province_code`, lower case, without punctuation; a name stays a name."""
    return _folded(value) or None


def zip_code(value: str, *countries: str | None) -> str | None:
    """Lower case without spaces and dashes; in the US (the first of `countries`) the first 5
    digits."""
    text = _folded(value)
    if countries and (countries[0] or "").upper() == "US":
        text = text[:5]
    return text or None


def country_code(value: str, *countries: str | None) -> str | None:
    """A two-letter ISO 3166 code, lower case; a country's name is left out."""
    code = value.strip().upper()
    return code.lower() if code in COUNTRIES else None


def external_id(value: str, *countries: str | None) -> str | None:
    """A customer id: lower case, without spaces."""
    if value.isascii():
        return "".join(value.lower().split()) or None
    return (
        unicodedata.normalize("NFC", "".join(unicodedata.normalize("NFC", value).lower().split()))
        or None
    )


class Normaliser(Protocol):
    """A function above."""

    def __call__(self, value: str, *countries: str | None) -> str | None: ...


NORMALISERS: dict[str, Normaliser] = {
    "em": email,
    "ph": phone,
    "fn": name,
    "ln": name,
    "ct": city,
    "st": state,
    "zp": zip_code,
    "country": country_code,
    "external_id": external_id,
}
"""By Meta's name of the field. `db` and `ge` are not in an order and not sent."""


def normalised(field: str, value: str | None, *countries: str | None) -> str | None:
    """`value` of `field` as Meta wants it before hashing; None if it is left out. `countries` are
    the order's, ISO 3166, best first."""
    # No shorter text is a hash.
    if not value or (len(value) >= 32 and _already_hashed(value.strip())):
        return None
    return NORMALISERS[field](value, *countries)


_NOTHING_HASHED = sha256()
"""Copied for each digest: OpenSSL looks a new one up by name, in half of the time of a digest."""


def digest(text: str) -> str:
    """SHA-256 in lower-case hex."""
    hashing = _NOTHING_HASHED.copy()
    hashing.update(text.encode("utf-8", "surrogatepass"))
    return hashing.hexdigest()


def hashed(field: str, value: str | None, *countries: str | None) -> str | None:
    """The hash that is sent for `value`; None if the field is left out."""
    text = normalised(field, value, *countries)
    return None if text is None else digest(text)


def all_hashed(field: str, values: Sequence[str], *countries: str | None) -> list[str]:
    """The distinct hashes of `values`, in their order."""
    if len(values) == 1:  # Nearly always.
        found = hashed(field, values[0], *countries)
        return [] if found is None else [found]
    several = dict.fromkeys([hashed(field, value, *countries) for value in values])
    return [each for each in several if each is not None]


LONGEST_PLACE = 60
"""Characters of city and codes together; longer text may be personal, and is not remembered."""


def place_hashed(
    city: str | None, state: str | None, zip_code: str | None, country: str | None, zip_of: str
) -> Mapping[str, list[str]]:
    """The fields of a place that have a hash. `zip_of`: the country of its zip code (ISO 3166)."""
    parts = (city, state, zip_code, country)
    in_us = zip_of.upper() == "US"
    if sum(map(len, filter(None, parts))) <= LONGEST_PLACE:
        return _remembered_place(*parts, in_us=in_us)
    return _place_hashed(*parts, in_us=in_us)


@lru_cache(maxsize=4_096)
def _remembered_place(*parts: str | None, in_us: bool) -> Mapping[str, list[str]]:
    """Many orders come from one place, and it is nobody's own."""
    return _place_hashed(*parts, in_us=in_us)


def _place_hashed(*parts: str | None, in_us: bool) -> Mapping[str, list[str]]:
    found = {
        field: hashed(field, part, "US" if in_us else None)
        for field, part in zip(("ct", "st", "zp", "country"), parts, strict=True)
    }
    return {field: [each] for field, each in found.items() if each is not None}
