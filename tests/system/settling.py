"""What an installation has still to do, read from its spool, store and log."""

import asyncio

from orderwire.serve.feeds import feeds
from orderwire.settings.program import Settings
from stream.log.contract import Log
from stream.log.spool import read_state
from stream.record import TOPICS
from stream.store.sql.store import SqlStore


async def unsettled(settings: Settings, store: SqlStore, log: Log, *, outbox: bool) -> list[str]:
    """Processors that have not read their topics to the end, records in the spool and, with
    `outbox`, events that wait to be sent. Raises StoreUnavailable."""

    def read() -> tuple[dict[tuple[str, int], int], dict[str, int]]:
        with store.snapshot() as snapshot:
            positions = {(p.processor, p.partition): p.unread for p in snapshot.positions()}
            waiting = (
                "SELECT outcome, count(*) FROM outbox "
                "WHERE outcome IN ('pending', 'sending', 'maybe_accepted') GROUP BY 1"
            )
            return positions, {row[0]: row[1] for row in snapshot.query(waiting)}

    # Whatever moves on while we look must show further along: the spool first, for it drains
    # into the log; then the store, for what is parked shows as a lag of the log.
    spooled = (await asyncio.to_thread(read_state, settings.spool)).records
    positions, waiting = await asyncio.to_thread(read)
    spans = {topic: await log.spans(topic) for topic in TOPICS}
    found = []
    for name, topic in feeds(settings).items():
        for partition, span in spans[topic].items():
            at = positions.get((name, partition), span.first)
            if at < span.next:
                found.append(f"{name} is at {at} of {topic}/{partition}, which ends at {span.next}")
    if spooled:
        found.append(f"{spooled} records are in the spool")
    return found + ([f"outbox: {waiting}"] if outbox and waiting else [])
