"""Deletes records of the log that are older than the retention and that everybody has read."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import structlog

from orderwire.serve.feeds import feeds
from orderwire.settings.program import Settings
from processors.engine.stops import first_needed
from stream.clock import WallClock
from stream.log.contract import Log, Unavailable
from stream.record import TOPICS
from stream.store.contract import Store, StoreError

RETAIN_EVERY_S: Final = 600.0
DAY_MS: Final = 86_400_000

log = structlog.get_logger()


async def retain(
    source: Log,
    store: Store,
    settings: Settings,
    clock: WallClock,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Delete until cancelled. Where log or store is away it is put off."""
    while True:
        older_than_ms = clock.careful_ms() - settings.retention_days * DAY_MS
        try:
            for topic in TOPICS:
                unread = await _unread(
                    source,
                    store,
                    topic,
                    {name for name, read in feeds(settings).items() if read == topic},
                )
                if dropped := await source.retain(topic, older_than_ms, unread):
                    log.info("retention", topic=topic, records=dropped)
        except (StoreError, Unavailable) as error:
            log.warning("retention put off", error=str(error))
        await sleep(RETAIN_EVERY_S)


async def _unread(
    source: Log, store: Store, topic: str, readers: Collection[str]
) -> dict[int, int]:
    """The offset by partition up to which all `readers` of `topic` have read, stopped shops
    included. Topics without readers expire by age."""
    spans = await source.spans(topic)

    def needed() -> dict[tuple[str, str, int], int]:
        with store.snapshot() as snapshot:
            return first_needed(snapshot)

    known = await asyncio.to_thread(needed)
    return {
        partition: min(
            (known.get((name, topic, partition), span.first) for name in readers),
            default=span.next,
        )
        for partition, span in spans.items()
    }
