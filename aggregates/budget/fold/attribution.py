"""Attributes an order's revenue to a campaign by its landing site, the first page of the visit that
ordered (docs/facts/analytics.md, "Attribution")."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from processors.shopify.landing import (
    CHARACTERS_READ,
    CLICK_IDS,
    LABEL_CHARACTERS,
    NAME_CHARACTERS,
    clean,
    parameters,
    readable,
)


class Attribution(NamedTuple):
    """Where an order's revenue belongs. Parts hold no tab and no other control character."""

    channel: str
    """`meta`, `google`, ... or a source's own name; "" if there is none; `(direct)` and `(none)`
    for the two below."""
    campaign_id: str
    """As in the link, "" if absent."""
    campaign: str
    """The link's label: whitespace collapsed, case folded; "" where there is none."""

    def subject(self) -> str:
        """As one string, the `subject` of an `OrderRow`."""
        return "\t".join(self)


DIRECT: Final = Attribution("(direct)", "", "")
UNATTRIBUTED: Final = Attribution("(none)", "", "")

SOURCES: Final = {
    **dict.fromkeys(
        (
            "meta",
            "facebook",
            "fb",
            "instagram",
            "ig",
            "messenger",
            "msg",
            "an",
            "audiencenetwork",
            "threads",
        ),
        "meta",
    ),
    **dict.fromkeys(
        ("google", "adwords", "gads", "googleshopping", "youtube", "yt", "doubleclick", "dv360"),
        "google",
    ),
    **dict.fromkeys(("tiktok", "tt"), "tiktok"),
    **dict.fromkeys(("microsoft", "bing", "msn"), "microsoft"),
    **dict.fromkeys(("pinterest", "pin"), "pinterest"),
    **dict.fromkeys(("snapchat", "snap"), "snapchat"),
    **dict.fromkeys(("x", "twitter", "tco"), "x"),
    "linkedin": "linkedin",
    "reddit": "reddit",
}
"""What links call a platform (Meta's own `{{site_source_name}}` says fb, ig, msg, an), after
`_source_key`."""
_PLATFORMS: Final = frozenset(SOURCES.values())
PAID_MEDIUM: Final = re.compile(r"cpc|cpm|cpv|ppc|paid|ads?\b|display")
_WORDS: Final = re.compile(r"[^\W_]+")
REMEMBERED_CHARACTERS: Final = 500
"""Longer landing sites and sources are read each time, so that those remembered take 4 MB each at
most."""
_NOISE: Final = frozenset(("www", "com", "m", "l", "lm", "ad", "ads", "paid", "cpc", "ppc"))


def channel(source: str) -> str:
    """The channel of a `utm_source` or a spend report: `Facebook_Ads` -> `meta`; an unknown one
    keeps its own name."""
    return _known_channel(source) if len(source) <= REMEMBERED_CHARACTERS else _channel(source)


@lru_cache(maxsize=4_096)
def _known_channel(source: str) -> str:
    return _channel(source)


def _channel(source: str) -> str:
    name = clean(source, NAME_CHARACTERS).casefold()
    words = "".join(word for word in _WORDS.findall(name) if word not in _NOISE) or "".join(
        _WORDS.findall(name)
    )
    return (
        SOURCES.get(words)
        or SOURCES.get(words.removesuffix("ads"))
        or name.strip("() ")[:NAME_CHARACTERS]
    )


def _channel_of(found: dict[str, str]) -> str:
    """The channel of a link. A known platform's source wins over a click id, since Meta adds
    `fbclid` to every link opened in its apps, an e-mail's too; a click id wins over an unknown
    source if the medium says that the click was paid. Google adds `gad_campaignid` by itself
    (Google Ads Help 16193746)."""
    click = next((CLICK_IDS[name] for name in found if name in CLICK_IDS), "")
    if not click and ("gad_campaignid" in found or "gad_source" in found):
        click = "google"
    source = channel(found.get("utm_source", ""))
    if not source or (
        click
        and source not in _PLATFORMS
        and PAID_MEDIUM.search(found.get("utm_medium", "").casefold())
    ):
        return click
    return source


def attribute(landing_site: str | None) -> Attribution:
    """Where the order that began at `landing_site` belongs: the first rule that applies. Never
    raises, and lengths are bounded, since visitors write this text.

    | landing site | attribution |
    |---|---|
    | `utm_id`, `gad_campaignid` or `utm_campaign` | that campaign; channel by source or click id |
    | no campaign, but `utm_source` or a click id (`fbclid`, `gclid`, ...) | channel, no campaign |
    | none of these, and a page of the shop | `DIRECT` |
    | null, no URL, a wallet's own path (`/wallets/checkouts.json`) | `UNATTRIBUTED` |
    """
    if not landing_site:
        return UNATTRIBUTED
    if len(landing_site) <= REMEMBERED_CHARACTERS:
        return _remembered(landing_site)
    return _attribute(landing_site)


@lru_cache(maxsize=4_096)
def _remembered(landing_site: str) -> Attribution:
    return _attribute(landing_site)


def _attribute(landing_site: str) -> Attribution:
    landing_site = landing_site[:CHARACTERS_READ].strip()
    if found := parameters(landing_site):
        channel_name = _channel_of(found)
        campaign_id = clean(
            found.get("utm_id") or found.get("gad_campaignid") or "", NAME_CHARACTERS
        )
        campaign = clean(found.get("utm_campaign", ""), LABEL_CHARACTERS).casefold()
        if channel_name or campaign_id or campaign:
            return Attribution(channel_name, campaign_id, campaign)
    return DIRECT if readable(landing_site) else UNATTRIBUTED
