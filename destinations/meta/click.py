"""fbc and fbp, the ids of click and browser: sent as they were found, byte for byte, or not at all.

    fbc = fb.{subdomain index}.{ms when the click was first seen}.{fbclid}
    fbp = fb.{index}.{ms}.{random number}

An fbc older than 90 days is refused, and a malformed one costs the whole batch (docs/facts/meta.md,
"Click and browser").
"""

import re
from hashlib import blake2b
from urllib.parse import unquote

FBC_DAYS = 90
DAY_MS = 86_400_000
CLOCK_SKEW_MS = 60_000
# What Meta's parameter builder appends: 8 characters, or one of its first 2-letter ones.
_APPENDIX = r"(?:\.(?:[A-Za-z0-9_-]{8}|AQ|Ag|Aw|BA|BQ|Bg))?"
_fbc = re.compile(rf"fb\.\d\.(\d{{13}})\.([A-Za-z0-9_-]{{1,1000}}){_APPENDIX}").fullmatch
_fbp = re.compile(rf"fb\.\d\.\d{{10,13}}\.\d{{1,20}}{_APPENDIX}").fullmatch
_fbclid = re.compile(r"[A-Za-z0-9_-]{1,1000}").fullmatch


def fbc(value: str | None, now_ms: int) -> str | None:
    """`value` where it is a well-formed fbc of the last 90 days, else None."""
    matched = _fbc(value) if value else None
    if (
        matched is None
        or not now_ms - FBC_DAYS * DAY_MS < int(matched[1]) <= now_ms + CLOCK_SKEW_MS
    ):
        return None
    return value


def cookie_ms(value: str | None, click_id: str) -> int | None:
    """When the well-formed fbc `value`, of whatever age, first saw `click_id`; None where it is of another click."""
    matched = _fbc(value) if value else None
    return int(matched[1]) if matched is not None and matched[2] == click_id else None


def fbp(value: str | None) -> str | None:
    """`value` where it is a well-formed fbp, else None."""
    return value if value and _fbp(value) else None


def fbclid(landing_site: str | None) -> str | None:
    """The `fbclid` in a URL's query, case untouched; the first one where there are several, None where it is malformed."""
    query = (landing_site or "").partition("#")[0].partition("?")[2]
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name == "fbclid":
            value = unquote(value)
            return value if _fbclid(value) else None
    return None


def built(click_id: str, seen_ms: int) -> str:
    """An fbc made on the server, without a cookie: index 1 (docs/facts/meta.md, "Click and
    browser")."""
    return f"fb.1.{seen_ms}.{click_id}"


def click_key(click_id: str) -> str:
    """By what a click is remembered: not the click itself."""
    return blake2b(click_id.encode(), digest_size=16).hexdigest()
