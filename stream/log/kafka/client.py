"""aiokafka's producer: how it is made, and how one is given up."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed

from stream.log.kafka.errors import FAILURES, stop_client
from stream.log.kafka.settings import KafkaSettings

BATCH_BYTES = 1 << 20
"""aiokafka's default of 16 KiB wakes its waiters quadratically under load
(docs/facts/streaming.md, "Kafka producer"). One larger record still fits by itself."""

PRODUCER_FAILURES = (*FAILURES, AssertionError)
"""AssertionError: aiokafka's word for a partition that it does not know (the topic was made anew
with fewer)."""


async def connected(bootstrap: str, settings: KafkaSettings, topic: str) -> Any:
    """A producer that has met its brokers and knows the topic. Raises PRODUCER_FAILURES."""
    client = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=BATCH_BYTES,
        compression_type=settings.compression,
        request_timeout_ms=int(settings.request_timeout_s * 1000),
        **settings.security.options(),
    )
    try:
        async with asyncio.timeout(settings.request_timeout_s):
            await client.start()
            await client.partitions_for(topic)
    except BaseException:
        await discard(client)
        raise
    return client


async def discard(client: Any) -> None:
    """Stop a producer without waiting for brokers: what it owes was already answered Unavailable,
    and `stop` by itself waits for it for ever."""
    accumulator = client._message_accumulator
    owed = [
        *accumulator._pending_batches,
        *(batch for batches in accumulator._batches.values() for batch in batches),
    ]
    accumulator.fail_all(ProducerClosed())
    for future in [future for batch in owed for future in (batch.future, batch._drain_waiter)]:
        if future.done() and not future.cancelled():
            future.exception()  # known; asyncio would report it as never retrieved
    await stop_client(client.stop(), client.client.close())
