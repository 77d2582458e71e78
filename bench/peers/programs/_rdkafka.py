"""confluent-kafka for an event loop: `produce`, and a future that its delivery report completes."""

import asyncio
import threading

from confluent_kafka import KafkaError, Message, Producer


class AsyncProducer:
    """`acks=all` and librdkafka's own defaults; reports are polled for in a thread."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 2})
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._poll, daemon=True).start()

    async def send(self, topic: str, value: bytes, key: bytes) -> None:
        """Returns once the broker has acknowledged."""
        acknowledged: asyncio.Future[None] = self._loop.create_future()

        def reported(error: KafkaError | None, _: Message) -> None:
            self._loop.call_soon_threadsafe(_settle, acknowledged, error)

        self._producer.produce(topic, value, key, on_delivery=reported)
        await acknowledged

    def _poll(self) -> None:
        while True:
            self._producer.poll(0.1)


def _settle(acknowledged: "asyncio.Future[None]", error: KafkaError | None) -> None:
    if error is None:
        acknowledged.set_result(None)
    else:
        acknowledged.set_exception(OSError(str(error)))
