"""Reads what a landing site says about a visitor's origin, and reduces it to that. Visitors write
this text: nothing here raises, and lengths are bounded."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote_plus, unquote_plus, urlsplit

CHARACTERS_READ: Final = 16_384
LABEL_CHARACTERS: Final = 400
"""Longest value kept; Meta allows 400 for a campaign's name."""
NAME_CHARACTERS: Final = 100
"""Longest id or channel kept."""
UNREADABLE: Final = "-"
"""Stands for a landing site that is no page of the shop, before its parameters."""
CLICK_IDS: Final = {
    "fbclid": "meta",
    "gclid": "google",
    "gbraid": "google",
    "wbraid": "google",
    "dclid": "google",
    "ttclid": "tiktok",
    "msclkid": "microsoft",
    "epik": "pinterest",
    "sccid": "snapchat",
    "twclid": "x",
    "li_fat_id": "linkedin",
    "rdt_cid": "reddit",
}
_READ: Final = frozenset(
    (
        *CLICK_IDS,
        *("utm_id", "utm_campaign", "utm_source", "utm_medium", "utm_term", "utm_content"),
        *("gad_campaignid", "gad_source"),
    )
)
_URL: Final = re.compile(r"[/?]|[a-z][a-z0-9+.-]*://|[\w-]+(\.[\w-]+)+([:/?#]|$)", re.IGNORECASE)
_WALLET: Final = re.compile(
    r"^(?:[a-z][a-z0-9+.-]*://[^/?#]*)?/+wallets?(?:[/?#.]|$)", re.IGNORECASE
)
_NOTHING: Final = re.compile(
    r"\{.*\}|__[A-Za-z_]+__|\(?(?:not set|none|direct)\)?|null|undefined", re.IGNORECASE
)
_NOTHING_BEGINS: Final = frozenset("{_(nNdDuU")
_CLICK: Final = re.compile(
    r"clid=(?:(?<=[?&]fbclid=)|(?<=[?&]gclid=)|(?<=[?&]ttclid=))"
    r"(?!(?i:not|none|direct|null|undefined))[A-Za-z0-9][A-Za-z0-9_.-]*"
)
"""The frequent click ids, nothing of `_NOTHING` among them. A pattern that begins with plain text
is found five times as fast as one of all names."""
REMEMBERED_CHARACTERS: Final = 500
"""Longer landing sites are read each time, so that those remembered take 4 MB at most."""
_SAFE: Final = re.compile(r"[A-Za-z0-9_.~-]*")
"""What `quote_plus` leaves as it is."""


def clean(value: str, characters: int) -> str:
    """At most `characters`, white space collapsed, no control characters, no lone surrogates."""
    if len(value) <= characters and value.isprintable() and "  " not in value:
        return value.strip()  # Of white space only the blank is printable.
    value = " ".join(value[: 4 * characters].split())
    if not value.isprintable():
        # What goes may leave two blanks side by side.
        value = " ".join("".join(filter(str.isprintable, value)).split())
    return value[:characters].strip()


def parameters(landing_site: str) -> dict[str, str]:
    """The query parameters read, by lower-case name; the first non-empty one counts.

    `&amp;` comes from links copied out of HTML.
    """
    found: dict[str, str] = {}
    query = landing_site.partition("?")[2].partition("#")[0]
    for pair in query.replace("?", "&").split("&"):
        name, _, value = pair.partition("=")
        if name not in _READ:
            name = name.strip().lower().removeprefix("amp;")
        if name in _READ and value and name not in found:
            if "%" in value or "+" in value:
                value = unquote_plus(value, errors="replace")
            value = clean(value, LABEL_CHARACTERS)
            if value and not (value[0] in _NOTHING_BEGINS and _NOTHING.fullmatch(value)):
                found[name] = value
    return found


def readable(landing_site: str) -> bool:
    """Whether it is a page that a visitor can have landed on, not a wallet's own path."""
    of_a_page = landing_site.startswith("/") and "wallet" not in landing_site.lower()
    if not of_a_page and (_WALLET.match(landing_site) or not _URL.match(landing_site)):
        return False
    if landing_site.isascii() and "[" not in landing_site and "]" not in landing_site:
        return True  # Nothing else makes `urlsplit` raise.
    try:
        urlsplit(landing_site)
    except ValueError:
        return False
    return True


def _quoted(value: str) -> str:
    if value.isascii() and value.isalnum():
        return value
    return value if _SAFE.fullmatch(value) else quote_plus(value)


def reduced(landing_site: str | None) -> str:
    """The landing site reduced to what is read: no path, and of click ids only their presence.

    Its attribution equals that of the whole one. "" if it says nothing.
    """
    if not landing_site:
        return ""
    if len(landing_site) > REMEMBERED_CHARACTERS:
        return _reduced(landing_site)
    # Without the visitor's own part, visits of one ad are alike.
    return _remembered(_CLICK.sub("clid=1", landing_site))


@lru_cache(maxsize=4_096)
def _remembered(landing_site: str) -> str:
    return _reduced(landing_site)


def _reduced(landing_site: str) -> str:
    landing_site = landing_site[:CHARACTERS_READ].strip()
    page = "/" if readable(landing_site) else UNREADABLE
    kept = [
        f"{name}=1" if name in CLICK_IDS else f"{name}={_quoted(value)}"
        for name, value in parameters(landing_site).items()
    ]
    if kept:
        return f"{page}?{'&'.join(kept)}"
    return "" if page == UNREADABLE else page
