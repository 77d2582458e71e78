"""Recognises plainly written phone numbers by the metadata of `phonenumbers`, with its result: the
library takes 200 us for a number, this 3. What is not plain is left to the library."""

import re
from functools import cache, lru_cache
from typing import NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, SUPPORTED_REGIONS, PhoneMetadata
from phonenumbers.phonemetadata import PhoneNumberDesc

_plain = re.compile(r"(?P<plus>\+?)\(?[0-9][0-9 ().-]*[0-9]").fullmatch
_not_digits = re.compile(r"[^0-9]+")
SHORTEST, LONGEST = 7, 15
"""Digits of a number that is plain; E.164 allows no more."""
_KINDS = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number"),
    *("voip", "pager", "uan", "voicemail"),
)
"""The kinds of numbers of which a valid one is any (`phonenumberutil._number_type_helper`)."""


class _Region(NamedTuple):
    """A region's numbers without country code."""

    leading: "re.Pattern[str] | None"
    """How all of them begin, where that decides between regions of one country code."""
    valid: "re.Pattern[str]"


class _Home(NamedTuple):
    """How numbers without country code are written in a region."""

    country_code: str
    prefixes: "re.Pattern[str]"
    """National and international prefixes."""


def e164(text: str, place: str | None) -> str | None:
    """The digits of a valid plain number, "" for a plain number that is not valid, None for what
    is not plain. `place`: the region (ISO 3166, capitals) of a number without country code."""
    found = _plain(text)
    if found is None:
        return None
    digits = _not_digits.sub("", text)
    if not SHORTEST <= len(digits) <= LONGEST:
        return None
    if found["plus"]:
        code = _country_code(digits)
        if code is None:
            return None
        number = digits[len(code) :]
        prefixes = _national_prefix(code)
        if prefixes is not None and prefixes.match(number):
            return None  # The library strips it, or not.
    else:
        home = None if place is None else _home(place)
        if home is None or digits.startswith(home.country_code) or home.prefixes.match(digits):
            return None
        code, number = home.country_code, digits
    return code + number if _is_valid(code, number) else ""


def _country_code(digits: str) -> str | None:
    """The country code in front; no code begins another one."""
    for length in (1, 2, 3):
        if regions := COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length])):
            # Region 001 has numbers of no country. No code begins with 0.
            return None if digits[0] == "0" or regions[0] == "001" else digits[:length]
    return None


@cache  # As many as country codes.
def _national_prefix(code: str) -> "re.Pattern[str] | None":
    metadata = _metadata(COUNTRY_CODE_TO_REGION_CODE[int(code)][0])
    written = metadata.national_prefix_for_parsing
    return re.compile(written) if written else None


@lru_cache(maxsize=512)
def _home(place: str) -> _Home | None:
    """None for what is no region."""
    if place not in SUPPORTED_REGIONS:
        return None
    metadata = _metadata(place)
    prefixes = [metadata.national_prefix_for_parsing, metadata.international_prefix]
    written = "|".join(f"(?:{prefix})" for prefix in prefixes if prefix)
    return _Home(str(metadata.country_code), re.compile(written or r"(?!)"))


def _is_valid(code: str, number: str) -> bool:
    """As `phonenumbers.is_valid_number`: by the first region of the country code that it is of."""
    for region in _regions(code):
        if region.leading is None:
            if region.valid.fullmatch(number):
                return True
        elif region.leading.match(number):
            return region.valid.fullmatch(number) is not None
    return False


@cache  # As many as country codes.
def _regions(code: str) -> tuple[_Region, ...]:
    regions = COUNTRY_CODE_TO_REGION_CODE[int(code)]
    return tuple(_region(_metadata(each), among=len(regions)) for each in regions)


def _region(metadata: PhoneMetadata, among: int) -> _Region:
    kinds = [getattr(metadata, kind) for kind in _KINDS]
    any_kind = "|".join(written for kind in kinds if (written := _written(kind)))
    valid = rf"(?={_written(metadata.general_desc) or '(?!)'}\Z)(?:{any_kind or '(?!)'})"
    leading = metadata.leading_digits if among > 1 else None
    return _Region(re.compile(leading) if leading else None, re.compile(valid))


def _written(kind: PhoneNumberDesc | None) -> str:
    """The numbers of a kind: their pattern, and how long they may be."""
    if kind is None or not kind.national_number_pattern:
        return ""
    lengths = "|".join(f"[0-9]{{{length}}}" for length in kind.possible_length if length > 0)
    among = rf"(?=(?:{lengths})\Z)" if lengths else ""
    return f"(?:{among}(?:{kind.national_number_pattern}))"


def _metadata(region: str) -> PhoneMetadata:
    metadata = PhoneMetadata.metadata_for_region(region, None)
    assert metadata is not None  # noqa: S101 - the library has one for each of its regions
    return metadata
