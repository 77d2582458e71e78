"""Writes the receiver's counts of deliveries into `delivery_count` every few seconds. A killed
receiver loses the counts of those seconds; only displays and the watchdog read them."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final
from zoneinfo import ZoneInfo

from ingest.receiver.tally import Tallied, Tally
from stream.store.sql.plain import PlainStore
from stream.times import day_of

EVERY_S: Final = 5.0


@asynccontextmanager
async def written_down(
    store: PlainStore, tally: Tally, zones: Mapping[str, ZoneInfo], every_s: float = EVERY_S
) -> AsyncIterator[None]:
    """The counts are written while the block runs, and once more when it ends. An unavailable store
    keeps them waiting; the heartbeat is what reports it."""

    async def write_on() -> None:
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(write, store, tally, zones)

    writing = asyncio.create_task(write_on(), name="delivery counts")
    try:
        yield
    finally:
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        await asyncio.to_thread(write, store, tally, zones)


def write(store: PlainStore, tally: Tally, zones: Mapping[str, ZoneInfo]) -> None:
    """Add what came since the last time; days are the shop's, or UTC's where no zone is set."""
    counted = tally.take()
    if not counted:
        return
    written = False
    # At a first start the store, or this table, may not be there yet.
    with suppress(Exception):
        with store.begin() as transaction:
            for each in sorted(counted):
                transaction.execute(UPSERT, **_row(each, zones.get(each.shop)))
        written = True
    if not written:
        tally.give_back(counted)


UPSERT: Final = (
    "INSERT INTO delivery_count (shop, topic, last_ms, day, today)"
    " VALUES (:shop, :topic, :last_ms, :day, :deliveries)"
    " ON CONFLICT (shop, topic) DO UPDATE SET"
    " today = CASE WHEN delivery_count.day = :day THEN delivery_count.today + :deliveries"
    " WHEN delivery_count.day > :day THEN delivery_count.today ELSE :deliveries END,"
    " day = CASE WHEN delivery_count.day > :day THEN delivery_count.day ELSE :day END,"
    " last_ms = CASE WHEN delivery_count.last_ms > :last_ms THEN delivery_count.last_ms"
    " ELSE :last_ms END"
)


def _row(counted: Tallied, zone: ZoneInfo | None) -> dict[str, int | str]:
    return {**counted._asdict(), "day": day_of(counted.last_ms, zone)}
