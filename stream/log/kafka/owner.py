"""Keeps in Kafka which deployment reads the topics of a prefix: two share one consumer group, and
each would get half of the records.

It is the metadata of an offset in a consumer group without members, which is there wherever our
groups are, needs no topic, and is forgotten by Kafka a week after its last write.
"""

import asyncio
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import GroupAuthorizationFailedError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from stream.log.contract import Owner
from stream.log.kafka.errors import FAILURES, start_client, stop_client, unavailable
from stream.log.kafka.settings import KafkaSettings

UNKNOWN = Owner("", "")
"""We may not read or write the group: whoever set its rights looks after its name, too."""


class OwnerGroup:
    """The group `<prefix>orderwire-owner`, with one offset of `topic`. Raises Unavailable."""

    def __init__(self, bootstrap: str, settings: KafkaSettings, topic: str) -> None:
        self._bootstrap, self._settings = bootstrap, settings
        self._group = f"{settings.topic_prefix}orderwire-owner"
        self._place = TopicPartition(settings.topic_prefix + topic, 0)

    async def owner(self) -> Owner | None:
        """Who said last that it reads these topics."""
        return await self._ask(None)

    async def own(self, name: str) -> None:
        """Say that this deployment reads them."""
        await self._ask(f"{name} {uuid4().hex[:8]}")

    async def _ask(self, said: str | None) -> Owner | None:
        consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=self._group,
            enable_auto_commit=False,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            **self._settings.security.options(),
        )
        started = False
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                await start_client(consumer)
                started = True
                if said is None:
                    return await self._read(consumer)
                consumer.assign([self._place])
                await consumer.commit({self._place: OffsetAndMetadata(0, said)})
                return None
        except GroupAuthorizationFailedError:
            return UNKNOWN if said is None else None
        except FAILURES as error:
            raise unavailable("Kafka does not say who reads its topics", error) from error
        finally:
            if started:
                await stop_client(consumer.stop(), consumer._client.close())

    async def _read(self, consumer: Any) -> Owner | None:
        # Private: aiokafka's `committed` leaves the metadata out.
        found = await consumer._coordinator.fetch_committed_offsets([self._place])
        text = found[self._place].metadata if self._place in found else ""
        name, _, sign = text.partition(" ")
        return Owner(name, sign) if name else None
