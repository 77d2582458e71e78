"""From URLs to a log and a store. The only place that knows which implementations there are.

Each is imported where it is opened: a role loads what it uses, and the receiver opens no store at all.
"""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from orderwire.settings.program import Settings
from stream.log.contract import Log, LogError, Unavailable
from stream.log.sqlite.log import SqliteLog
from stream.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from stream.store.sql.store import SqlStore

AGAIN_S = 1.0

log = structlog.get_logger()


async def open_log(settings: Settings) -> Log:
    """The log that ORDERWIRE_LOG_URL names. Raises LogError, Unavailable."""
    if settings.log_file is None:
        from stream.log.kafka.log import KafkaLog

        return await KafkaLog.open(settings.log_url.removeprefix("kafka://"), settings.kafka)
    return await SqliteLog.open(settings.log_file)


async def open_receiving_log(settings: Settings) -> Log:
    """The same for the receiver: Kafka with the spool in front. An embedded log needs none; if its disk fails, so would the spool's.

    A spool that cannot be used is told, and gone without: deliveries that Kafka takes are better than none.
    """
    source = await open_log(settings)
    if not settings.on_kafka:
        return source
    from stream.log.spool import SpooledLog

    try:
        return await SpooledLog.open(source, settings.spool, max_bytes=settings.spool_mb << 20)
    except (LogError, Unavailable) as error:
        log.error("no spool: deliveries are refused while Kafka is away", error=str(error))
        return source


def open_store(settings: Settings) -> "SqlStore":
    """The store that ORDERWIRE_STORE_URL names, its schema up to date. Raises StoreError."""
    from stream.store.sql.store import SqlStore

    return SqlStore.open(settings.store_url.get_secret_value(), pool_size=settings.store_pool)


async def wait_for_store(settings: Settings, stop: asyncio.Event) -> "SqlStore | None":
    """`open_store`, tried again while the database is away; None where `stop` came first. Raises StoreError for what no waiting mends.

    A role that starts during the database's outage must not die of it: its deaths would take `serve` down, and the receiver with it.
    """
    told = False
    while not stop.is_set():
        try:
            return await asyncio.to_thread(open_store, settings)
        except StoreUnavailable as error:
            if settings.store_file is not None:
                raise  # A folder that cannot be written: whoever runs serve must see it.
            if not told:
                log.warning("waiting for the store", error=str(error))
            told = True
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), AGAIN_S)
    return None
