"""Compares the orders and refunds that classic webhooks and Shopify Events delivered: the states
that one family delivered and the other, even in a newer state, did not."""

import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from orderwire.operation.existing import open_existing_log
from orderwire.operation.moving.reading_topics import Progress, entries_of, silent
from orderwire.operation.output import progress, show
from orderwire.settings.program import Settings
from processors.shopify.orders import Incomplete, Order, OrderDeleted, RefundCreated, decode_order
from processors.shopify.tolerance import Rejected
from stream.log.contract import Log, Span
from stream.record import Entry

EVENTS, CLASSIC = "Shopify Events", "classic webhooks"
EVENT_TOPICS: Final = frozenset({"Order", "Refund"})
GRACE_MS: Final = 5 * 60_000
"""What is younger may still be on its way by the other family."""
STEP: Final = 500
SPOOLED_MS: Final = 3_600_000
"""Records of a spool may stand so far behind younger ones."""
EXAMPLES: Final = 5


class Topic(NamedTuple):
    """Counts of one topic."""

    family: str
    topic: str
    states: int
    """States of orders, refunds, deletions."""
    missing: int
    """Of them, those that the other family did not bring, nor a newer one."""
    examples: tuple[str, ...]
    """Ids of some of the missing."""
    without_data: int
    """Deliveries beside them that named an order and did not bring it."""


class _Subject(NamedTuple):
    kind: str
    id: str


class _State(NamedTuple):
    topic: str
    subject: _Subject
    updated_us: int


class Families:
    """Deliveries of one shop by family, without those that orderwire fetched itself (header
    `origin`). Keeps a few numbers for each state."""

    def __init__(self, shop: str) -> None:
        self._shop = shop
        self._states: dict[str, dict[_State, int]] = {EVENTS: {}, CLASSIC: {}}
        """By family; when each state first came, Unix ms."""
        self._newest: dict[str, dict[_Subject, int]] = {EVENTS: {}, CLASSIC: {}}
        self._without_data: dict[tuple[str, str], int] = {}

    def add(self, entries: Iterable[Entry]) -> None:
        """Take note of records of the topic `orders`."""
        for entry in entries:
            headers = entry.record.headers
            if headers.get("shop") != self._shop or "origin" in headers:
                continue
            topic = headers.get("topic", "")
            family = EVENTS if topic in EVENT_TOPICS else CLASSIC
            try:
                self._note(family, topic, entry)
            except Rejected:
                continue  # It is parked, and counted in /v1/status.

    def _note(self, family: str, topic: str, entry: Entry) -> None:
        event = decode_order(entry, {})
        if isinstance(event, Incomplete):
            place = (family, topic)
            self._without_data[place] = self._without_data.get(place, 0) + 1
            return
        if isinstance(event, Order):
            subject, updated_us = _Subject("order", event.order_id), event.version.updated_us
        elif isinstance(event, RefundCreated):
            subject, updated_us = _Subject("refund", event.refund.id), 0
        elif isinstance(event, OrderDeleted):
            subject, updated_us = _Subject("deletion", event.order_id), 0
        else:
            return
        self._states[family].setdefault(_State(topic, subject, updated_us), entry.record.time_ms)
        newest = self._newest[family]
        newest[subject] = max(updated_us, newest.get(subject, 0))

    def topics(self, now_ms: int) -> list[Topic]:
        """One entry per family and topic."""
        found: dict[tuple[str, str], list[_State]] = {}
        missing: dict[tuple[str, str], list[str]] = {}
        for family, states in self._states.items():
            other = self._newest[EVENTS if family == CLASSIC else CLASSIC]
            for state, came_ms in states.items():
                place = (family, state.topic)
                found.setdefault(place, []).append(state)
                if other.get(state.subject, -1) < state.updated_us and came_ms < now_ms - GRACE_MS:
                    missing.setdefault(place, []).append(state.subject.id)
        return [
            Topic(
                *place,
                states=len(found.get(place, ())),
                missing=len(missing.get(place, ())),
                examples=tuple(dict.fromkeys(missing.get(place, ())))[:EXAMPLES],
                without_data=self._without_data.get(place, 0),
            )
            for place in sorted({*found, *self._without_data})
        ]


async def compared(
    log: Log, shop: str, since_ms: int, now_ms: int, on_progress: Progress = silent
) -> list[Topic]:
    """Compare the families' records of `shop` since then. Raises LogError."""
    spans = await log.spans("orders")
    starts = {
        partition: await _first_since(log, partition, span, since_ms)
        for partition, span in spans.items()
    }
    families = Families(shop)
    async for entries in entries_of(log, "orders", starts, on_progress):
        families.add(entry for entry in entries if entry.record.time_ms >= since_ms)
    return families.topics(now_ms)


async def _first_since(log: Log, partition: int, span: Span, since_ms: int) -> int:
    """The first offset of records from then on, roughly: records are in order except those of a
    spool."""
    low, high = span.first, span.next
    while high - low > STEP:
        middle = (low + high) // 2
        entries = await log.scan("orders", partition, middle, 1)
        if entries and entries[0].record.time_ms < since_ms - SPOOLED_MS:
            low = middle
        else:
            high = middle
    return low


async def events_report(settings: Settings, shop: str, hours: float) -> list[Topic]:
    """Compare the last hours and print a table: `orderwire reconcile --events`. Raises LogError,
    NothingThere."""
    now_ms = time.time_ns() // 1_000_000
    log = await open_existing_log(settings)
    try:
        with progress(f"Reading what came for {shop}") as on_progress:
            topics = await compared(log, shop, now_ms - int(hours * 3_600_000), now_ms, on_progress)
    finally:
        await log.close()
    show(
        f"Deliveries of {shop} in the last {hours:g} hours, by family",
        ("family", "topic", "states", "only here", "without data", "such as"),
        [
            (
                *(each.family, each.topic, each.states, each.missing, each.without_data),
                ", ".join(each.examples),
            )
            for each in topics
        ],
    )
    return topics
