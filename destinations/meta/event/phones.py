"""Recognises plainly written phone numbers by the metadata of `phonenumbers`, with its result: the
library takes 200 us for a number, this 3. What is not plain is left to the library."""

import re
from functools import cache, lru_cache
from typing import NamedTuple

from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, SUPPORTED_REGIONS, PhoneMetadata
from phonenumbers.phonemetadata import PhoneNumberDesc

_plain = re.compile(r"(?P<plus>\+?)\(?[0-9][0-9 ().-]*[0-9]").fullmatch
_SIGNS = str.maketrans("", "", "+ ().-")
"""What a plain number has beside its digits."""
SHORTEST, LONGEST = 7, 15
"""Digits of a number that is plain; E.164 allows no more."""
NEVER = "(?!)"
_KINDS = (
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost", "personal_number"),
    *("voip", "pager", "uan", "voicemail"),
)
"""The kinds of numbers of which a valid one is any (`phonenumberutil._number_type_helper`)."""


class _Home(NamedTuple):
    """How numbers are dialled within a region."""

    country_code: str
    prefix: "re.Pattern[str]"
    """The national prefix, as the 0 in front of an area code."""
    abroad: "re.Pattern[str]"
    """The prefix of a number with country code."""
    general: "re.Pattern[str]"
    """Numbers without national prefix, roughly."""
    lengths: frozenset[int]
    """How many digits those have."""


def e164(text: str, place: str | None) -> str | None:
    """The digits of a valid plain number, "" for a plain number that is not valid, None for what
    is not plain. `place`: the region (ISO 3166, capitals) of a number without country code."""
    found = _plain(text)
    if found is None:
        return None
    number = text.translate(_SIGNS)
    if not SHORTEST <= len(number) <= LONGEST:
        return None
    if found["plus"]:
        code = _country_code(number)
        if code is None:
            return None
        home, number = _home(COUNTRY_CODE_TO_REGION_CODE[int(code)][0]), number[len(code) :]
    elif place in SUPPORTED_REGIONS:  # Senders write the place: nothing else is remembered.
        home = _home(place)
        if number.startswith(home.country_code) or home.abroad.match(number):
            return None
    else:
        return None
    prefix = home.prefix.match(number)
    if prefix is None:
        return home.country_code + number if _is_valid(home.country_code, number) else ""
    # The library strips a prefix only where that does not spoil a number, and some it replaces.
    within = number[prefix.end() :]
    replaced = bool(prefix.groups()) and prefix.groups()[-1] is not None
    stripped = not replaced and len(within) in home.lengths and not home.general.fullmatch(number)
    return home.country_code + within if stripped and _is_valid(home.country_code, within) else None


def _country_code(digits: str) -> str | None:
    """The country code in front; no code begins another one."""
    for length in (1, 2, 3):
        if regions := COUNTRY_CODE_TO_REGION_CODE.get(int(digits[:length])):
            # Region 001 has numbers of no country. No code begins with 0.
            return None if digits[0] == "0" or regions[0] == "001" else digits[:length]
    return None


@lru_cache(maxsize=512)
def _home(place: str) -> _Home:
    metadata = _metadata(place)
    general = metadata.general_desc
    return _Home(
        str(metadata.country_code),
        re.compile(metadata.national_prefix_for_parsing or NEVER),
        re.compile(metadata.international_prefix or NEVER),
        re.compile((general and general.national_number_pattern) or NEVER),
        frozenset(general.possible_length if general else ()),
    )


def _is_valid(code: str, number: str) -> bool:
    """As `phonenumbers.is_valid_number`: by the first region of the country code that it is of."""
    regions = COUNTRY_CODE_TO_REGION_CODE[int(code)]
    for place in regions:
        leading = _leading(place) if len(regions) > 1 else None
        if leading is None:
            if _valid(place).fullmatch(number):
                return True
        elif leading.match(number):
            return _valid(place).fullmatch(number) is not None
    return False


@cache  # As many as regions. To compile those of all a country code's takes up to 0.1 s.
def _leading(place: str) -> "re.Pattern[str] | None":
    """How all of a region's numbers begin, where that decides between those of one country code."""
    leading = _metadata(place).leading_digits
    return re.compile(leading) if leading else None


@cache
def _valid(place: str) -> "re.Pattern[str]":
    """A region's numbers without country code."""
    metadata = _metadata(place)
    kinds = [getattr(metadata, kind) for kind in _KINDS]
    any_kind = "|".join(written for kind in kinds if (written := _written(kind)))
    return re.compile(rf"(?={_written(metadata.general_desc) or NEVER}\Z)(?:{any_kind or NEVER})")


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
