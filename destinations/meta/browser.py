"""Completes a Purchase with what the browser's pixel reported, and obeys its privacy choices.

| Shopify's purpose, refused | Purchase |
|---|---|
| `marketing` | not sent |
| `sale_of_data` | sent with Limited Data Use, Meta locating the buyer itself |
| `analytics`, `preferences` | no effect: Meta's purpose is marketing |
"""

from typing import Any

import orjson

from destinations.browser.facts import MARKETING, SALE_OF_DATA, BrowserFacts
from destinations.delivery.protocol import Built
from destinations.meta.event import click
from destinations.meta.event.match_keys import MATCH_KEYS
from destinations.meta.event.payload import filled
from destinations.meta.settings import BY_ORDER_ID, OWN_ID, PIXEL_EVENT_ID, placeholders

REFUSED = "the buyer refused marketing in the shop's privacy banner"


class MetaCompleter:
    """A `destinations.delivery.protocol.Completer`. A field that the order has stays, except that
    the same click, seen earlier, gives the `fbc` its time."""

    def __init__(self, event_id: str = BY_ORDER_ID) -> None:
        """`event_id`: the account's template."""
        self._template = event_id if PIXEL_EVENT_ID in placeholders(event_id) else None

    def refusal(self, facts: BrowserFacts) -> str:
        """Why nothing may be sent; "" where it may."""
        return REFUSED if facts.refuses(MARKETING) else ""

    def completed(self, payload: bytes, facts: BrowserFacts, seen_ms: int) -> Built:
        """The event with what was missing; `seen_ms`: when the pixel posted last."""
        event: dict[str, Any] = orjson.loads(payload)
        if event["action_source"] == "website":
            _complete(event["user_data"], facts, seen_ms)
        if facts.refuses(SALE_OF_DATA) and event.get("data_processing_options") != ["LDU"]:
            event["data_processing_options"] = ["LDU"]
            event["data_processing_options_country"] = 0
            event["data_processing_options_state"] = 0
        keys = tuple(name for name in MATCH_KEYS if name in event["user_data"])
        return Built(orjson.dumps(event), keys, browser=True)

    def event_id(self, facts: BrowserFacts) -> str | None:
        """The template's id, where it names the browser's event and that one is known."""
        if self._template is None:
            return None
        return filled(self._template, {PIXEL_EVENT_ID: facts.event_id})

    def awaits(self, facts: BrowserFacts) -> bool:
        """Whether the id of the browser's event is still to come: with checkout_completed."""
        return self._template is not None and self.event_id(facts) is None

    def renamed(self, payload: bytes, event_id: str) -> bytes | None:
        """The event under `event_id`, where it lacked the template's so far."""
        event: dict[str, Any] = orjson.loads(payload)
        if not event["event_id"].startswith(OWN_ID):
            return None
        return orjson.dumps({**event, "event_id": event_id})


def _complete(user_data: dict[str, Any], facts: BrowserFacts, seen_ms: int) -> None:
    if facts.user_agent:
        user_data.setdefault("client_user_agent", facts.user_agent)
    if found := click.fbp(facts.fbp):
        user_data.setdefault("fbp", found)
    fbc = _fbc(user_data.get("fbc"), facts, seen_ms)
    if fbc is not None:
        user_data["fbc"] = fbc


def _fbc(ordered: str | None, facts: BrowserFacts, seen_ms: int) -> str | None:
    """The order's click, else the cookie's, else the URL's, by the earliest time that is known of
    it."""
    found = [click.cookie(ordered), click.cookie(facts.fbc), click.cookie(_built(facts, seen_ms))]
    there = [each for each in found if each is not None and each.fresh(seen_ms)]
    if not there:
        return None
    of_one_click = [each for each in there if each.click_id == there[0].click_id]
    return min(of_one_click, key=lambda each: each.seen_ms).text


def _built(facts: BrowserFacts, seen_ms: int) -> str | None:
    click_id = click.click_id((), [facts.clicks.get("fbclid")])
    if click_id is None:
        return None
    return click.built(click_id, min(facts.clicked_ms or seen_ms, seen_ms))
