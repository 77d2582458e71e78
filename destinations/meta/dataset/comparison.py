"""Compares a dataset's Purchases with the browser's, by Meta's dataset quality: shares only, no
counts (docs/facts/meta.md, "Match quality")."""

from collections.abc import Mapping
from typing import Any

from destinations.meta.schema import BrowserComparison, DatasetQuality, DedupeKey
from processors.shopify.tolerance import mapping, sequence

PURCHASE = "Purchase"
MATCHED = 0.75
"""Share of the browser's event ids from which they count as the same as the servers'."""


def compared(quality: DatasetQuality | None, outcomes: Mapping[str, int]) -> BrowserComparison:
    """What Meta's numbers say beside ours. `outcomes`: our events by outcome."""
    sent = sum(outcomes.get(name, 0) for name in ("sent", "maybe_accepted"))
    built = sent + sum(outcomes.get(name, 0) for name in ("pending", "sending", "dry_run"))
    purchase = None if quality is None else quality.events.get(PURCHASE)
    coverage = None if purchase is None else mapping(purchase.event_coverage)
    servers = None if coverage is None else _share(coverage.get("percentage"))
    keys = [] if purchase is None else _keys(purchase.dedupe_key_feedback)
    other = None if quality is None or quality.reason or sent else bool(servers)
    return BrowserComparison(
        built=built,
        sent=sent,
        servers_by_browser=servers,
        goal=None if coverage is None else _share(coverage.get("goal_percentage")),
        dedupe_keys=keys,
        another_server=other,
        meaning=_meaning(quality, sent, servers, keys),
    )


def _meaning(
    quality: DatasetQuality | None, sent: int, servers: float | None, keys: list[DedupeKey]
) -> str:
    if quality is None:
        return "Meta has not been asked yet: it is when `orderwire serve` starts"
    if quality.reason:
        return quality.reason
    if not sent and servers:
        return (
            "another server sends Purchases to this dataset: find it and switch one of the two"
            " off before META_DRY_RUN is removed (README.md, 'Before you switch on')"
        )
    if not sent:
        return "Meta has counted no Purchase of a server: nobody else sends them from one"
    event_id = next((each for each in keys if each.key == "event_id"), None)
    if event_id is None or event_id.both is None:
        return "Meta does not say yet how many events it recognised as the browser's"
    if not event_id.browser:
        return "the browser's events have no event id: Meta may count sales twice"
    if event_id.both < MATCHED:
        return (
            f"only {event_id.both:.0%} of the browser's Purchases have an event id that a server"
            " sent: set META_EVENT_ID to what the browser's is made of, or switch the browser's off"
        )
    return f"{event_id.both:.0%} of the browser's Purchases are recognised by their event id"


def _keys(feedback: Any) -> list[DedupeKey]:
    entries = feedback if isinstance(feedback, list) else [feedback]
    return [
        DedupeKey(
            key=str(entry["dedupe_key"]),
            browser=_percentage(entry.get("browser_events_with_dedupe_key")),
            server=_percentage(entry.get("server_events_with_dedupe_key")),
            both=_percentage(entry.get("overall_browser_coverage_from_dedupe_key")),
        )
        for entry in map(mapping, sequence(entries))
        if entry.get("dedupe_key")
    ]


def _percentage(value: Any) -> float | None:
    return _share(mapping(value).get("percentage"))


def _share(percent: Any) -> float | None:
    if isinstance(percent, bool) or not isinstance(percent, int | float):
        return None
    return round(percent / 100, 4)
