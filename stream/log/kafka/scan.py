"""Reads spans and stretches of topics outside any consumer group, for lag, position checks, replay
and tools.

One group-less consumer serves one question at a time, within `request_timeout_s`. Its connection is
separate from the readers', so that a stuck reader's watchdog can still ask.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from stream.log.contract import Span
from stream.log.kafka.errors import FAILURES, start_client, stop_client, unavailable
from stream.log.kafka.records import decode
from stream.log.kafka.settings import KafkaSettings
from stream.log.kafka.topic_id import topic_id
from stream.record import Entry

FETCH_WAIT_MS = 10
"""A broker answers one connection in turn, so a fetch that it holds at a topic's end would hold up
the next question."""


class Scanner:
    """Reads topics, named without prefix. Raises Unavailable."""

    def __init__(self, bootstrap: str, settings: KafkaSettings) -> None:
        self._bootstrap, self._settings = bootstrap, settings
        self._lock = asyncio.Lock()
        self._consumer: Any = None

    async def spans(self, topic: str) -> dict[int, Span]:
        """The span of every partition."""
        async with self._ask() as consumer:
            return await self._spans(consumer, self._settings.topic_prefix + topic)

    async def identity(self, topic: str) -> str:
        """The topic's id; "" where it is not known."""
        async with self._ask() as consumer:
            return await topic_id(consumer._client, self._settings.topic_prefix + topic)

    async def scan(self, topic: str, partition: int, offset: int, max_records: int) -> list[Entry]:
        """Up to `max_records` entries from `offset` on; from the first one kept if retention has
        passed `offset`."""
        async with self._ask() as consumer:
            place = TopicPartition(self._settings.topic_prefix + topic, partition)
            span = (await self._spans(consumer, place.topic)).get(partition, Span(0, 0))
            start = max(offset, span.first)
            if start >= span.next or max_records < 1:
                return []
            if consumer.assignment() != {place}:
                consumer.assign([place])
                consumer.seek(place, start)
            else:
                consumer.resume(place)
                if await consumer.position(place) != start:
                    consumer.seek(place, start)
            while True:
                messages = (
                    await consumer.getmany(place, timeout_ms=1000, max_records=max_records)
                ).get(place, [])
                if messages or await consumer.position(place) >= span.next:
                    consumer.pause(
                        place
                    )  # or it would fetch at the end again and again, with nobody asking
                    return [decode(topic, message) for message in messages]

    async def close(self) -> None:
        async with self._lock:
            await self._discard_consumer()

    async def _spans(self, consumer: Any, name: str) -> dict[int, Span]:
        # Private, as aiokafka's consumer has no public way to learn of a topic that it is not
        # subscribed to (its producer has one).
        partitions = await consumer._client._wait_on_metadata(name)
        places = [TopicPartition(name, partition) for partition in sorted(partitions)]
        first = await consumer.beginning_offsets(places)
        following = await consumer.end_offsets(places)
        return {place.partition: Span(first[place], following[place]) for place in places}

    @asynccontextmanager
    async def _ask(self) -> AsyncIterator[Any]:
        async with self._lock:
            try:
                async with asyncio.timeout(self._settings.request_timeout_s):
                    if self._consumer is None:
                        consumer = AIOKafkaConsumer(
                            bootstrap_servers=self._bootstrap,
                            enable_auto_commit=False,
                            auto_offset_reset="none",
                            fetch_max_wait_ms=FETCH_WAIT_MS,
                            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
                            metadata_max_age_ms=60_000,
                            **self._settings.security.options(),
                        )
                        await start_client(consumer)
                        self._consumer = consumer
                    yield self._consumer
            except BaseException as error:
                await self._discard_consumer()
                if isinstance(error, FAILURES):
                    raise unavailable("Kafka does not answer", error) from error
                raise

    async def _discard_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await stop_client(consumer.stop(), consumer._client.close())


def lag(spans: Mapping[int, Span], positions: Mapping[int, int]) -> int:
    """Records waiting behind `positions`; an upper bound, since offsets may have gaps."""
    return sum(
        max(0, spans[partition].next - position)
        for partition, position in positions.items()
        if partition in spans
    )
