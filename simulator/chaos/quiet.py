"""Waits until an installation has nothing left to do: all is folded, nothing is spooled, and every
event has its final outcome."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from orderwire.serve.feeds import feeds
from processors.engine.feed import Feed
from simulator.chaos.installation import Installation
from simulator.proof import verify
from stream.log.contract import Log, LogError
from stream.log.spool import read_state
from stream.record import TOPICS
from stream.store.contract import StoreError
from stream.store.sql.store import SqlStore

LOOK_S = 0.5


class Stuck(Exception):
    """What should have come has not; the message says what is missing."""


class Left(NamedTuple):
    """Work that is left."""

    records: int
    """To fold, over all processors."""
    spooled: int
    events: int
    """To send."""

    def __str__(self) -> str:
        return (
            f"{self.records} records to fold, {self.spooled} in the spool, {self.events} events "
            "to send"
        )


@asynccontextmanager
async def _opened(there: Installation) -> AsyncIterator[tuple[Log, SqlStore]]:
    store = await asyncio.to_thread(there.store)
    try:
        log = await there.log()
        try:
            yield log, store
        finally:
            await log.close()
    finally:
        store.close()


async def quiet(there: Installation, patience_s: float) -> None:
    """Return once nothing is left. Raises Stuck where nothing moves for `patience_s`, in which the
    leases of killed senders end (30 s)."""
    deadline, best = time.monotonic() + patience_s, Left(1 << 62, 0, 0)
    async with _opened(there) as (log, store):
        while True:
            try:
                left = await _left(there, log, store)
            except (LogError, StoreError) as error:
                if time.monotonic() > deadline:
                    raise Stuck(f"log or store do not answer: {error}") from None
                await asyncio.sleep(LOOK_S)
                continue
            if not any(left):
                return
            if left < best:
                best, deadline = left, time.monotonic() + patience_s
            if time.monotonic() > deadline:
                raise Stuck(f"nothing moved for {patience_s:.0f} s: {left}")
            await asyncio.sleep(LOOK_S)


async def _left(there: Installation, log: Log, store: SqlStore) -> Left:
    # The spool first, for it drains into the log; then the log's ends after the positions, for what
    # is parked shows as a lag.
    spooled = (await asyncio.to_thread(read_state, there.settings.spool)).records
    spans = {topic: await log.spans(topic) for topic in TOPICS}
    wanted = [Feed(name, topic) for name, topic in feeds(there.settings).items()]

    def stored() -> Left:
        with store.snapshot() as reading:
            records, events = verify.left(wanted, reading, spans)
            return Left(records, spooled, events)

    return await asyncio.to_thread(stored)
