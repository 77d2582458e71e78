"""Opens the log and the store that the URLs name. The only module that knows the implementations;
each is imported when opened, since the receiver needs no store."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import structlog

from orderwire.serve.waiting import again, unless_stopped
from orderwire.settings.program import Settings
from stream.log.contract import Log, LogError, Unavailable
from stream.log.sqlite.log import SqliteLog
from stream.store.contract import StoreUnavailable

if TYPE_CHECKING:
    from stream.store.sql.store import SqlStore

AGAIN_S = 1.0

log = structlog.get_logger()


async def open_log(settings: Settings, member: str | None = None) -> Log:
    """The log that ORDERWIRE_LOG_URL names; `member` as of KafkaSettings. Raises LogError,
    Unavailable."""
    if settings.log_file is None:
        from stream.log.kafka.log import KafkaLog

        return await KafkaLog.open(
            settings.log_url.removeprefix("kafka://"), replace(settings.kafka, member=member)
        )
    return await SqliteLog.open(settings.log_file)


async def open_receiving_log(settings: Settings) -> Log:
    """The same for the receiver: Kafka with a spool in front.

    An embedded log needs none: a failing disk would fail the spool too. If the spool cannot be
    used, the receiver logs it and goes on without.
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
    """`open_store`, retried while the database is away; None if `stop` came first.

    Without the retry every role would die during the database's outage, and the receiver with them.
    Raises StoreError for errors that waiting does not fix.
    """

    def away(error: Exception) -> bool:
        # A folder that cannot be written is for whoever runs serve to see.
        return isinstance(error, StoreUnavailable) and settings.store_file is None

    return await unless_stopped(
        stop, again(AGAIN_S)(away, partial(asyncio.to_thread, open_store, settings))
    )
