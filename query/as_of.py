"""`as_of`, the state that an answer rests on: time of the request, newest event folded, the shop's
day, and unread records."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Annotated, Final

from msgspec import Meta, Struct

from processors.engine.feed import Feed, feed_of
from query.endpoints.counting import window_covered
from stream.log.contract import Log, LogError, Span
from stream.store.contract import Position, Reading
from stream.times import EPOCH, day_text, instant

TIMEOUT_S: Final = 0.25
AN_INSTANT: Final = "2026-11-22T15:00:00.123Z"


Spans = Mapping[str, Mapping[int, Span]]
"""Topic -> partition -> what it holds. A topic is missing where the log did not answer."""


class AsOf(Struct, frozen=True, kw_only=True):
    """What an answer rests on."""

    time: Annotated[str, Meta(description="When it was asked.", examples=[AN_INSTANT])]
    event_time: Annotated[
        str | None,
        Meta(
            description="The newest event that the answer counts; null before the first.",
            examples=["2026-11-22T14:59:59.871Z"],
        ),
    ]
    day: Annotated[str, Meta(description="Today in the shop.", examples=["2026-11-22"])]
    lag_records: Annotated[
        int | None,
        Meta(
            description="Records that wait to be counted; null where the log does not answer.",
            examples=[0],
        ),
    ]
    counting_since: Annotated[
        str | None,
        Meta(
            description="The shop's first day with complete orders: since a backfill, else since"
            " the first order; null before any.",
            examples=["2026-11-20"],
        ),
    ]
    window_covered: Annotated[
        float | None,
        Meta(
            description="The share of the answer's window since then; null without a window.",
            examples=[0.02],
        ),
    ]


class Lags:
    """Asks the log for its spans; concurrent questions share one request.

    The log is asked before the store is read, so that a record that was there at the request is
    never hidden. If the log does not answer within `TIMEOUT_S`, `lag_records` is null; the rest of
    the answer needs only the store.
    """

    def __init__(self, log: Log, timeout_s: float = TIMEOUT_S) -> None:
        self._log, self._timeout_s = log, timeout_s
        self._asked: dict[str, asyncio.Task[Mapping[int, Span] | None]] = {}
        self._next: dict[str, asyncio.Task[Mapping[int, Span] | None]] = {}

    async def spans(self, topics: Collection[str]) -> dict[str, Mapping[int, Span]]:
        """The spans of `topics`, as of now or later."""
        wanted = sorted(set(topics))
        found = await asyncio.gather(*(asyncio.shield(self._ask(topic)) for topic in wanted))
        return {
            topic: spans for topic, spans in zip(wanted, found, strict=True) if spans is not None
        }

    def _ask(self, topic: str) -> "asyncio.Task[Mapping[int, Span] | None]":
        waiting = self._next.get(topic)
        if waiting is None:
            waiting = self._next[topic] = asyncio.create_task(
                self._begin(topic, self._asked.get(topic))
            )
        return waiting

    async def _begin(
        self, topic: str, before: "asyncio.Task[Mapping[int, Span] | None] | None"
    ) -> Mapping[int, Span] | None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._asked[topic] = self._next.pop(topic)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._log.spans(topic)
        except (LogError, TimeoutError):
            return None


def lag_records(feeds: Iterable[Feed], positions: Iterable[Position], spans: Spans) -> int | None:
    """Records of the feeds that are not folded yet; None if the log did not answer."""
    behind = 0
    for feed in feeds:
        if feed.topic not in spans:
            return None
        behind += sum(behind_by_partition(feed, positions, spans[feed.topic]).values())
    return behind


def behind_by_partition(
    feed: Feed, positions: Iterable[Position], spans: Mapping[int, Span]
) -> dict[int, int]:
    """Unread records by partition; a processor without a position starts at the first record
    kept."""
    reached = {
        position.partition: position.unread for position in positions if feed_of(position) == feed
    }
    return {
        partition: max(0, span.next - max(reached.get(partition, 0), span.first))
        for partition, span in spans.items()
    }


def event_time(feeds: Collection[Feed], positions: Iterable[Position]) -> str | None:
    """The newest event that the feeds have folded."""
    newest = max(
        (position.event_time_ms for position in positions if feed_of(position) in feeds), default=0
    )
    return instant(newest) if newest > 0 else None


def as_of(
    now_ms: int,
    day: int,
    feeds: Sequence[Feed],
    positions: Sequence[Position],
    spans: Spans,
    *,
    since: int | None = None,
    window_days: int | None = None,
) -> AsOf:
    """The member `as_of` of an answer; `since` is the first day with orders."""
    return AsOf(
        time=instant(now_ms),
        event_time=event_time(feeds, positions),
        day=day_text(day),
        lag_records=lag_records(feeds, positions, spans),
        counting_since=None if since is None else day_text(since),
        window_covered=window_covered(day, since, window_days),
    )


def zone_of(reading: Reading, shop: str, configured: tzinfo | None) -> tzinfo | None:
    """The shop's time zone: as set, else the UTC offset of its newest orders; None if neither is
    known."""
    if configured is not None:
        return configured
    found = reading.query("SELECT offset_s FROM order_shop WHERE shop = :shop", shop=shop)
    return timezone(timedelta(seconds=found[0][0])) if found else None


def today(now_ms: int, zone: tzinfo | None) -> int:
    """The shop's day, days since 1970-01-01; UTC if its time zone is unknown."""
    return datetime.fromtimestamp(now_ms / 1000, zone or UTC).toordinal() - EPOCH.toordinal()
