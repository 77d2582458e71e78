"""The log on Apache Kafka: implements `stream.log.contract.Log` with the modules beside this one.

An acknowledged record is on all in-sync replicas (docs/facts/streaming.md, "What an acknowledgement
survives").
"""

from collections.abc import Mapping, Sequence
from typing import Self

import structlog

from stream.log.contract import Owner, Reader, RecordsRefused, Span, Start
from stream.log.kafka import topics as kafka_topics
from stream.log.kafka.owner import OwnerGroup
from stream.log.kafka.producer import Producer
from stream.log.kafka.reader import KafkaReader
from stream.log.kafka.records import encode
from stream.log.kafka.refusals import RefusedMessages
from stream.log.kafka.scan import Scanner
from stream.log.kafka.settings import KafkaSettings
from stream.record import TOPICS, Entry, Record

_log = structlog.get_logger("orderwire.kafka")


class KafkaLog:
    """`stream.log.contract.Log` on Kafka. Belongs to the event loop that opened it."""

    def __init__(self, bootstrap: str, settings: KafkaSettings, topics: Sequence[str]) -> None:
        """Use `open`."""
        self._bootstrap, self._settings, self._topics = bootstrap, settings, tuple(topics)
        self._producer = Producer(bootstrap, settings, self._ensure_topics)
        self._scanner = Scanner(bootstrap, settings)
        self._owner = OwnerGroup(bootstrap, settings, topics[0])
        self.differences: list[str] = []
        """How the topics found differ from those set, as of the first connection; `doctor` asks
        anew with `kafka_topics.differences`."""

    @classmethod
    async def open(
        cls, bootstrap: str, settings: KafkaSettings | None = None, topics: Sequence[str] = TOPICS
    ) -> Self:
        """Connect to `host:port[,host:port]` and create the missing topics.

        Unreachable brokers raise nothing here: connecting goes on in the background, and until it
        succeeds the methods raise Unavailable.
        """
        log = cls(bootstrap, settings or KafkaSettings(), topics)
        await log._producer.start()
        return log

    @property
    def down(self) -> str | None:
        """Why nothing can be appended now; None if appends work."""
        return self._producer.down

    async def append(self, records: Sequence[Record]) -> None:
        """As `stream.log.contract.Log.append`; Unavailable at the latest after `ack_timeout_s`."""
        prefix = self._settings.topic_prefix
        messages = [encode(record, prefix) for record in records]
        if not messages:
            return
        try:
            await self._producer.append(messages)
        except RefusedMessages as refused:
            found = {id(message) for message in refused.messages}
            raise RecordsRefused(
                refused.reason,
                refused.detail,
                [
                    record
                    for record, message in zip(records, messages, strict=True)
                    if id(message) in found
                ],
            ) from None

    async def reader(self, topic: str, group: str, start: Start) -> Reader:
        """A member of the consumer group `<prefix>orderwire-<group>`."""
        return await KafkaReader.open(
            self._bootstrap, topic, group, start, self._scanner, self._settings
        )

    async def spans(self, topic: str) -> Mapping[int, Span]:
        """As `stream.log.contract.Log.spans`."""
        return await self._scanner.spans(topic)

    async def identity(self, topic: str) -> str:
        """Kafka's own id of the topic."""
        return await self._scanner.identity(topic)

    async def owner(self) -> Owner | None:
        """As `stream.log.contract.Log.owner`."""
        return await self._owner.owner()

    async def own(self, name: str) -> None:
        """As `stream.log.contract.Log.own`."""
        await self._owner.own(name)

    async def scan(self, topic: str, partition: int, offset: int, max_records: int) -> list[Entry]:
        """As `stream.log.contract.Log.scan`."""
        return await self._scanner.scan(topic, partition, offset, max_records)

    async def retain(self, topic: str, older_than_ms: int, unread: Mapping[int, int]) -> int:
        """Kafka's own retention does it (`retention.ms` of the topic)."""
        return 0

    async def close(self) -> None:
        """As `stream.log.contract.Log.close`."""
        await self._producer.close()
        await self._scanner.close()

    async def _ensure_topics(self) -> None:
        self.differences = await kafka_topics.ensure(self._bootstrap, self._settings, self._topics)
        for difference in self.differences:
            _log.warning("kafka_topic_differs", difference=difference)
