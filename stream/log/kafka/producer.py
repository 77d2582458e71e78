"""One producer per topic, each with its own connection, so that a failing topic delays no other."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from stream.log.contract import Unavailable
from stream.log.kafka.records import Message
from stream.log.kafka.refusals import RefusedMessages
from stream.log.kafka.settings import KafkaSettings
from stream.log.kafka.topic_producer import TopicProducer
from stream.rate_limit import RateLimit

_log = structlog.get_logger("orderwire.kafka")


class Producer:
    """Topic producers, each made at the first append to its topic. `prepare` creates the topics; it
    is awaited once."""

    def __init__(
        self, bootstrap: str, settings: KafkaSettings, prepare: Callable[[], Awaitable[None]]
    ) -> None:
        self._bootstrap, self._settings, self._prepare_once = bootstrap, settings, prepare
        self._topics: dict[str, TopicProducer] = {}
        self._preparing = asyncio.Lock()
        self._not_prepared: str | None = "not connected yet"
        self._probe: asyncio.Task[None] | None = None
        self._closed = False
        self._limit = RateLimit(time.monotonic)

    @property
    def down(self) -> str | None:
        """Why some topic in use takes no records now; None if all do."""
        reasons = [each.down for each in self._topics.values()]
        return self._not_prepared or next((reason for reason in reasons if reason), None)

    async def start(self) -> None:
        """Create the topics, retrying in the background. Never raises: a receiver with a spool
        starts without brokers."""
        try:
            await self._prepare()
        except Unavailable as error:
            if self._limit.allows(str(error)):
                _log.warning("kafka_down", reason=str(error))
            self._probe = asyncio.create_task(self._try_on())

    async def append(self, messages: Sequence[Message]) -> None:
        """Append and wait for every acknowledgement. Cancelling cancels only the wait. Raises
        Unavailable, RefusedMessages."""
        by_topic: dict[str, list[Message]] = {}
        for message in messages:
            by_topic.setdefault(message.topic, []).append(message)
        if len(by_topic) == 1:
            await self._append(*by_topic.popitem())
            return
        outcomes = await asyncio.gather(
            *(self._append(topic, of_topic) for topic, of_topic in by_topic.items()),
            return_exceptions=True,
        )
        refused: RefusedMessages | None = None
        for outcome in outcomes:
            if isinstance(outcome, RefusedMessages):
                refused = outcome if refused is None else refused.and_also(outcome)
            elif outcome is not None:
                raise outcome
        if refused is not None:
            raise refused

    async def close(self) -> None:
        """Close every topic's producer."""
        self._closed = True
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await asyncio.gather(*(each.close() for each in self._topics.values()))

    async def _append(self, topic: str, messages: Sequence[Message]) -> None:
        producer = self._topics.get(topic)
        if producer is None:
            if self._closed:
                raise Unavailable("the Kafka log is closed")
            producer = TopicProducer(
                self._bootstrap, self._settings, topic, self._prepare, self._limit
            )
            self._topics[topic] = producer
            producer.start()
        await producer.append(messages)

    async def _prepare(self) -> None:
        async with self._preparing:
            if self._not_prepared is not None:
                try:
                    await self._prepare_once()
                except Unavailable as error:
                    self._not_prepared = str(error)
                    raise
                self._not_prepared = None

    async def _try_on(self) -> None:
        # Not stamina: Kafka may be away for days, which is looked at and not counted.
        while True:
            await asyncio.sleep(self._settings.probe_every_s)
            try:
                await self._prepare()
            except Unavailable:
                continue
            _log.info("kafka_up")
            return
