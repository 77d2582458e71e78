"""Meta's Conversions API as a kind of destination; functions import what they need."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from destinations.delivery.account import Account
from destinations.delivery.protocol import (
    AnswerTypes,
    Completer,
    Context,
    Destination,
    Events,
    Kind,
)
from destinations.meta.event.match_keys import MATCH_KEYS
from stream.store.contract import Reading, Store
from stream.times import instant

if TYPE_CHECKING:
    from destinations.delivery.transport import Call
    from destinations.meta.schema import BrowserPixel, DatasetQuality


def _settings() -> type[Any]:
    from destinations.meta.settings import CapiSettings

    return CapiSettings


def _events(accounts: Sequence[Account], context: Context) -> Events:
    from destinations.meta.event.events import MetaEvents

    return MetaEvents(accounts, context)


def _destination(account: Account) -> Destination:
    from destinations.meta.destination import MetaDestination

    return MetaDestination(account)


def _max_age_s(settings: Any) -> int:
    from destinations.meta.settings import DEFAULT_MAX_AGE_S

    return DEFAULT_MAX_AGE_S


def _answer_types() -> AnswerTypes:
    from destinations.meta.schema import GraphAttempt, MetaAccount

    return AnswerTypes(MetaAccount, GraphAttempt)


MOST_COUNTED = 10_000


def _beside(reading: Reading, shop: str, name: str, account_id: str) -> Mapping[str, Any]:
    """The pixel, its last match quality from Meta, and the number of sales that no browser's event
    can match, since their order lacks a field of the event id's template."""
    rows = reading.query(
        "SELECT quality, quality_ms FROM meta_account WHERE shop = :shop AND destination = :name",
        shop=shop,
        name=name,
    )
    # It loads msgspec types that only answers need.
    from destinations.meta.dataset.comparison import compared

    quality = _quality_of(rows[0].quality, rows[0].quality_ms) if rows else None
    # The index `outbox_own_id` has the same condition (`destinations.meta.event.event_ids.OWN_ID`).
    (own,) = reading.query(
        "SELECT COUNT(*) FROM (SELECT 1 FROM outbox WHERE shop = :shop AND destination = :name"
        " AND substr(event_id, 1, 6) = 'order:' AND outcome NOT IN ('skipped', 'no_consent')"
        " LIMIT :most) AS own",
        shop=shop,
        name=name,
        most=MOST_COUNTED,
    )
    return {
        "browser": browser_pixel(reading, shop, name),
        "pixel_id": account_id,
        "dataset_quality": quality,
        "comparison": compared(quality, _outcomes(reading, shop, name)),
        "fallback_event_ids": int(own[0]),
    }


def _outcomes(reading: Reading, shop: str, name: str) -> dict[str, int]:
    rows = reading.query(
        "SELECT name, events FROM outbox_cell WHERE shop = :shop AND destination = :name"
        " AND kind = 'outcome'",
        shop=shop,
        name=name,
    )
    return {row.name: row.events for row in rows}


def _quality_of(kept: str, kept_ms: int) -> "DatasetQuality | None":
    from destinations.meta.schema import DatasetQuality, EventQuality, QualityDay

    if not kept:
        return None
    said = json.loads(kept)
    names = EventQuality.__struct_fields__
    events = {
        event: EventQuality(**{name: its.get(name) for name in names})
        for event, its in said["events"].items()
    }
    trend = [
        QualityDay(day=day, event_match_quality=score)
        for day, score in sorted(said.get("trend", {}).items())
    ]
    return DatasetQuality(events=events, reason=said["reason"], as_of=instant(kept_ms), trend=trend)


def browser_pixel(reading: Reading, shop: str, name: str) -> "BrowserPixel":
    """Whether the shop has the browser's pixel, and the match keys with and without its facts."""
    from destinations.meta.schema import BrowserPixel

    known = reading.query(
        "SELECT seen_ms, shown_ms FROM browser_shop WHERE shop = :shop", shop=shop
    )
    seen_ms, shown_ms = (known[0].seen_ms, known[0].shown_ms) if known else (0, 0)
    cells = reading.query(
        "SELECT kind, name, events FROM outbox_cell WHERE shop = :shop AND destination = :name"
        " AND kind IN ('match_key', 'browser_key')",
        shop=shop,
        name=name,
    )
    counted = {(row.kind, row.name): row.events for row in cells}
    completed = {key: counted.get(("browser_key", key), 0) for key in ("", *MATCH_KEYS)}
    others = {key: counted.get(("match_key", key), 0) - completed[key] for key in completed}
    return BrowserPixel(
        last_post=instant(seen_ms) if seen_ms else None,
        last_match=instant(shown_ms) if shown_ms else None,
        completed_events=completed[""],
        match_keys_with=_shares(completed),
        match_keys_without=_shares(others),
    )


def _shares(events: Mapping[str, int]) -> dict[str, float | None]:
    built = events[""]
    return {key: round(events[key] / built, 4) if built else None for key in MATCH_KEYS}


def _completer(account: Account) -> Completer:
    from destinations.meta.browser import MetaCompleter

    return MetaCompleter(account.settings.event_id)


async def _quality(store: Store, accounts: Sequence[Account], call: "Call") -> None:
    from destinations.meta.dataset.quality import QualityPoller

    await QualityPoller(store, accounts, call).run()


def _left_out(order: Any, settings: Any, event: Mapping[str, Any]) -> Mapping[str, str]:
    from destinations.meta.event.left_out import left_out

    return left_out(order, settings, event)


KIND = Kind(
    name="meta",
    processor="capi",
    settings=_settings,
    events=_events,
    destination=_destination,
    account_id=lambda settings: str(settings.pixel_id),
    max_age_s=_max_age_s,
    match_keys=MATCH_KEYS,
    answer_types=_answer_types,
    beside=_beside,
    left_out=_left_out,
    completer=_completer,
    asides={"capi quality": _quality},
)
