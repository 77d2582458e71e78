"""From URLs to a log and a store. The only place that knows which implementations there are."""

from pathlib import Path

from orderwire.settings import Settings
from stream.log import Log
from stream.sql_store import SqlStore
from stream.sqlite_log import SqliteLog


async def open_log(settings: Settings) -> Log:
    """The log that ORDERWIRE_LOG_URL names. Raises LogError, Unavailable."""
    if settings.on_kafka:
        from stream.kafka_log import KafkaLog

        return await KafkaLog.open(settings.log_url.removeprefix("kafka://"), settings.kafka)
    return await SqliteLog.open(Path(settings.log_url.removeprefix("sqlite:///")))


async def open_receiving_log(settings: Settings) -> Log:
    """The same for the receiver: Kafka with the spool in front. An embedded log needs none; if its disk fails, so would the spool's."""
    log = await open_log(settings)
    if not settings.on_kafka:
        return log
    from stream.spool import SpooledLog

    return await SpooledLog.open(log, settings.spool, max_bytes=settings.spool_mb << 20)


def open_store(settings: Settings) -> SqlStore:
    """The store that ORDERWIRE_STORE_URL names, its schema up to date. Raises StoreError."""
    return SqlStore.open(settings.store_url.get_secret_value(), pool_size=settings.store_pool)
