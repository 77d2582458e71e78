"""Chooses fbc and fbp, the ids of click and browser, of an order's event (docs/facts/meta.md,
"Click and browser").

    fbc = fb.{subdomain index}.{ms when the click was first seen}.{fbclid}
    fbp = fb.{index}.{ms}.{random number}
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import unquote

FBC_DAYS = 90
DAY_MS = 86_400_000
CLOCK_SKEW_MS = 60_000
VISIT_MS = 30 * 60_000
"""A visit lasts as long: a shop's landing page is that of the visit, and a later click within it
changes the cookie only (Shopify: cookie `_shopify_s`, 30 minutes)."""
SHORTEST_CUT = 12
"""Characters that a damaged click id must have left, to be distinguished from another click; or
half of them."""
SHORTEST_NAMED = 6
"""Characters of a bare click id in an attribute that is named after it."""
# What Meta's parameter builder appends: 8 characters, or one of its first 2-letter ones.
_APPENDIX = r"(?:\.(?:[A-Za-z0-9_-]{8}|AQ|Ag|Aw|BA|BQ|Bg))?"
_fbc = re.compile(
    rf"fb\.(?P<index>\d)\.(?P<ms>\d{{13}})\.(?P<click>[A-Za-z0-9_-]{{1,1000}}){_APPENDIX}"
).fullmatch
_fbp = re.compile(rf"fb\.\d\.\d{{10,13}}\.\d{{1,20}}{_APPENDIX}").fullmatch
_fbclid = re.compile(r"[A-Za-z0-9_-]{1,1000}").fullmatch


class Cookie(NamedTuple):
    """A well-formed fbc of any age."""

    subdomain: str
    seen_ms: int
    click_id: str
    text: str

    def fresh(self, now_ms: int) -> bool:
        """Whether Meta takes it at `now_ms`."""
        return now_ms - FBC_DAYS * DAY_MS < self.seen_ms <= now_ms + CLOCK_SKEW_MS


def cookie(value: str | None) -> Cookie | None:
    """`value` as an fbc; None if it is malformed. An `FB` in capitals is repaired."""
    value = value and "fb" + value[2:] if (value or "")[:2].lower() == "fb" else None
    matched = _fbc(value) if value else None
    if matched is None or value is None:
        return None
    return Cookie(matched["index"], int(matched["ms"]), matched["click"], value)


def fbc(value: str | None, now_ms: int) -> str | None:
    """`value` if it is a well-formed fbc of the last 90 days, else None: Meta refuses an older one,
    and a malformed one costs the whole batch."""
    found = cookie(value)
    return found.text if found is not None and found.fresh(now_ms) else None


def same(one: str, other: str) -> bool:
    """Whether two click ids are of one click, as far as damage in case or length allows."""
    short, long = sorted((one.lower(), other.lower()), key=len)
    enough = len(short) >= SHORTEST_CUT or 2 * len(short) >= len(long)
    return short == long or (enough and long.startswith(short))


def chosen(
    cookies: Iterable[Cookie], click_id: str | None, clicked_ms: int, now_ms: int
) -> str | None:
    """The fbc to send. `clicked_ms`: when the URL's click was first seen.

    | the cart's cookie and the click id of a URL | fbc |
    |---|---|
    | only one of them | that cookie, or an fbc built from the click id |
    | the same click | the cookie |
    | the same click, but the cookie's is damaged | the cookie's time, the URL's click id |
    | the cookie's click id is a stub of the URL's | built from the click id |
    | another click, the cookie up to 30 minutes older, or younger | the cookie: a later click |
    | another click, the cookie older | built from the click id: the visit that led to the order |
    """
    there = [each for each in cookies if each.seen_ms <= now_ms + CLOCK_SKEW_MS]
    there.sort(key=lambda each: each.seen_ms)
    if click_id is not None and not there:
        there.append(Cookie("1", clicked_ms, click_id, built(click_id, clicked_ms)))
    elif click_id is not None:
        there = [_mended(each, click_id) for each in there if not _stub(each.click_id, click_id)]
        later = bool(there) and there[-1].seen_ms > clicked_ms - VISIT_MS
        if not later and not (there and same(there[-1].click_id, click_id)):
            there.append(Cookie("1", clicked_ms, click_id, built(click_id, clicked_ms)))
    return next((each.text for each in reversed(there) if each.fresh(now_ms)), None)


def _stub(cut: str, click_id: str) -> bool:
    """Whether `cut` is the first few letters of `click_id`: too few to know which click it was,
    since click ids of one time begin alike, and nothing that Meta could attribute.

    A short click id by itself is sent: Meta names no least length, and its own examples are short.
    """
    return click_id.lower().startswith(cut.lower()) and not same(cut, click_id)


def _mended(found: Cookie, click_id: str) -> Cookie:
    """The cookie with the whole click id, if its own is a damaged one of the same click."""
    if found.click_id == click_id or not same(found.click_id, click_id):
        return found
    if len(found.click_id) > len(click_id):
        return found  # It is the URL that was cut.
    text = f"fb.{found.subdomain}.{found.seen_ms}.{click_id}"
    return Cookie(found.subdomain, found.seen_ms, click_id, text)


def fbp(value: str | None) -> str | None:
    """`value` if it is a well-formed fbp, else None."""
    return value if value and _fbp(value) else None


def fbclid(url: str | None) -> str | None:
    """The `fbclid` in a URL's query, case untouched: the first well-formed one. Else that of a URL
    within its query, as Facebook's `l.php?u=` has."""
    if not url or "fbclid" not in url.lower():
        return None
    found = _fbclid_in(url)
    if found is None and "fbclid%3d" in url.lower():
        values = (pair.partition("=")[2] for pair in _pairs(url))
        found = next((each for value in values if (each := _fbclid_in(unquote(value)))), None)
    return found


def _fbclid_in(url: str) -> str | None:
    for pair in _pairs(url):
        # `amp;` comes from links copied out of HTML.
        name, _, value = pair.removeprefix("amp;").partition("=")
        if name == "fbclid" and _fbclid(value := unquote(value)) and value not in _NOTHING:
            return value
    return None


def _pairs(url: str) -> list[str]:
    """`name=value` of the query; a second question mark only separates."""
    return url.partition("#")[0].partition("?")[2].replace("?", "&").split("&")


_NOTHING = frozenset({"undefined", "null", "none", "false"})
"""What scripts write for a value that is not there."""


def click_id(
    urls: Sequence[str | None],
    named: Iterable[str | None],
    others: Iterable[str | None] = (),
) -> str | None:
    """The click that led to an order: from its URLs, best first, else from cart attributes.

    An attribute holds a URL with an `fbclid`, or the click id itself: `named` ones are for that,
    `others` may hold any word.
    """
    for url in urls:
        if (found := fbclid(url)) is not None:
            return found
    shortest = [(SHORTEST_NAMED, value) for value in named]
    shortest += [(SHORTEST_CUT, value) for value in others]
    for least, value in shortest:
        if (found := fbclid(value)) is not None:
            return found
        if value and len(value) >= least and _fbclid(value) and value.lower() not in _NOTHING:
            return value
    return None


def built(click_id: str, seen_ms: int) -> str:
    """An fbc built on the server, without a cookie: index 1."""
    return f"fb.1.{seen_ms}.{click_id}"


def click_key(click_id: str) -> str:
    """A digest under which a click is stored."""
    return blake2b(click_id.encode(), digest_size=16).hexdigest()
