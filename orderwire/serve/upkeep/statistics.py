"""Gathers PostgreSQL's statistics of tables that have outgrown them. Autovacuum does that too, a
minute later: by then a new installation has read whole tables for every batch."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from stream.store.contract import Store, StoreError

EVERY_S: Final = 5.0
LEAST: Final = 100
"""Rows; reading the whole of a smaller table costs nothing."""
GROWTH: Final = 10
"""Times as many rows as the statistics have seen. Updates do not count: small tables of cells and
positions would be analysed at every look."""
OUTGROWN: Final = (
    "SELECT quote_ident(s.relname) AS name FROM pg_stat_user_tables s"
    " JOIN pg_class c ON c.oid = s.relid"
    " WHERE s.schemaname = current_schema() AND pg_has_role(c.relowner, 'USAGE')"
    f" AND s.n_live_tup >= greatest({LEAST}, {GROWTH} * c.reltuples) ORDER BY 1"
)
log = structlog.get_logger()


async def keep_statistics(
    store: Store, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Look until cancelled. What fails waits for the next time, or for autovacuum."""
    while True:
        await sleep(EVERY_S)
        try:
            await asyncio.to_thread(gather, store)
        except StoreError as error:
            log.debug("statistics not gathered", detail=str(error))


def gather(store: Store) -> list[str]:
    """Analyse the tables that have outgrown their statistics, each in its own transaction. Returns
    their names."""
    with store.snapshot() as snapshot:
        tables = [str(row.name) for row in snapshot.query(OUTGROWN)]
    for table in tables:
        with store.begin() as transaction:
            transaction.execute(f"ANALYZE {table}")
    return tables
