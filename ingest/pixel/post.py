"""Reads one unsigned post of the browser's pixel: the record holds fields of a known form, never
the body as it came."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from ingest.receiver.delivery import digest_id
from stream.record import Record

SOURCE = "pixel"
PURCHASE = "checkout_completed"
EVENTS = frozenset({"checkout_started", PURCHASE, "consent"})
PURPOSES = ("analytics", "marketing", "preferences", "sale_of_data")
"""Of Shopify's Customer Privacy API."""
CLICK_IDS = frozenset(
    [
        "fbclid",
        "gclid",
        "gbraid",
        "wbraid",
        "ttclid",
        "msclkid",
        "epik",
        "sccid",
        "rdt_cid",
        "twclid",
    ]
)
MAX_BODY_BYTES = 8 << 10

_token = re.compile(r"[A-Za-z0-9_-]{8,128}").fullmatch
_FORMS: Mapping[str, re.Pattern[str]] = {
    "event_id": re.compile(r"[A-Za-z0-9_.:-]{1,128}"),
    "fbp": re.compile(r"[A-Za-z0-9._-]{1,128}"),
    "fbc": re.compile(r"[A-Za-z0-9._-]{1,1100}"),
    "user_agent": re.compile(r"[\x20-\x7e]{1,512}"),
}
_click = re.compile(r"[A-Za-z0-9._~:+/=-]{1,1000}").fullmatch
_decoder = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder(order="deterministic")


class PostRefused(Exception):
    """A post that says nothing we could keep, or is of a shop that is not ours."""


def read_post(body: bytes, shops: Collection[str], received_ms: int) -> Record:
    """The record of a post. Raises Refused."""
    try:
        post = _decoder.decode(body)
    except (ValueError, RecursionError):
        raise PostRefused from None
    shop, event, token = post.get("shop"), post.get("event"), post.get("checkout_token")
    if (
        not isinstance(shop, str)
        or shop not in shops
        or not isinstance(event, str)
        or event not in EVENTS
        or not isinstance(token, str)
        or not _token(token)
    ):
        raise PostRefused
    facts = _facts(post)
    if event != PURCHASE:
        # Every event of the browser has an id of its own.
        facts.pop("event_id", None)
    kept = _encoder.encode({"checkout_token": token, **facts})
    topic = f"{SOURCE}/{event}"
    return Record(
        topic="checkouts",
        key=f"{shop}:{token}",
        id=digest_id(topic, kept),
        time_ms=received_ms,
        headers={"source": SOURCE, "topic": topic, "shop": shop},
        body=kept,
    )


def _facts(post: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        name: value
        for name, form in _FORMS.items()
        if isinstance(value := post.get(name), str) and form.fullmatch(value)
    }
    consent = post.get("consent")
    if isinstance(consent, dict):
        facts["consent"] = {
            purpose: consent[purpose]
            for purpose in PURPOSES
            if isinstance(consent.get(purpose), bool)
        }
    clicks = post.get("clicks")
    if isinstance(clicks, dict):
        facts["clicks"] = {
            name: value
            for name in sorted(CLICK_IDS & clicks.keys())
            if isinstance(value := clicks[name], str) and _click(value)
        }
    clicked_ms = post.get("clicked_ms")
    if (
        isinstance(clicked_ms, int)
        and not isinstance(clicked_ms, bool)
        and 0 < clicked_ms < 1 << 48
    ):
        facts["clicked_ms"] = clicked_ms
    return facts
