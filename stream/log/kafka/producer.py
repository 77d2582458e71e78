"""Appends to Kafka: acknowledged by all in-sync replicas, in order per key, never waited for
without end.

After the first record that is not acknowledged within `ack_timeout_s` the producer is *down*. All
waiting appends fail with Unavailable, nothing more is handed to aiokafka, and a probe looks every
`probe_every_s`:

| the producer | the probe |
|---|---|
| still owes batches | waits: their delivery proves that writing works again |
| owes some for longer than `request_timeout_s` | replaces it as soon as a new one connects |
| failed a batch for good | connects a new one |
| never connected | connects |

A record that failed with Unavailable may be in the log all the same, because aiokafka's idempotent
producer never times a batch out (docs/facts/streaming.md, "Kafka producer").
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from aiokafka.structs import RecordMetadata

from stream.log.contract import Unavailable
from stream.log.kafka.errors import FAILURES, let_go, unavailable
from stream.log.kafka.records import Message, partition_of
from stream.log.kafka.settings import KafkaSettings
from stream.rate_limit import Told

BATCH_BYTES = 1 << 20
"""aiokafka's default of 16 KiB wakes its waiters quadratically under load
(docs/facts/streaming.md, "Kafka producer"). One larger record still fits by itself."""

_FAILURES = (*FAILURES, AssertionError)
"""AssertionError: aiokafka's word for a partition that it does not know (the topic was made anew
with fewer)."""

_log = structlog.get_logger("orderwire.kafka")


class _Ticket:
    """One append: answered when its last record is acknowledged."""

    __slots__ = ("deadline", "done", "left", "open", "size")

    def __init__(self, done: "asyncio.Future[None]", left: int, size: int, deadline: float) -> None:
        self.done, self.left, self.size, self.deadline = done, left, size, deadline
        self.open = True


class _Lane:
    """What waits for one partition, and whether its task runs.

    A lane has at most one task, so batches of a partition leave in the order of the appends.
    """

    __slots__ = ("moving", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[tuple[Message, _Ticket]] = deque()
        self.moving = False


class Producer:
    """One producer for the process. `prepare` is awaited before the first connection counts; it
    makes the `topics`."""

    def __init__(
        self,
        bootstrap: str,
        settings: KafkaSettings,
        topics: Sequence[str],
        prepare: Callable[[], Awaitable[None]],
    ) -> None:
        self._bootstrap, self._settings, self._topics, self._prepare = (
            bootstrap,
            settings,
            topics,
            prepare,
        )
        self._loop = asyncio.get_running_loop()
        self._client: Any = None
        self._down: str | None = "not connected yet"
        self._told = Told(self._loop.time)
        self._down_since = self._loop.time()
        self._prepared = False
        self._closed = False
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._counts: dict[str, int] = {}
        self._tickets: deque[_Ticket] = deque()
        self._queued_bytes = 0
        self._owed = 0
        self._timer: asyncio.TimerHandle | None = None
        self._probe: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def down(self) -> str | None:
        """Why nothing is handed over now; None while all is well."""
        return self._down

    async def start(self) -> None:
        """Connect; where that fails the probe goes on trying. Raises nothing: a receiver with a
        spool starts without brokers."""
        try:
            await self._replace()
        except Unavailable as error:
            self._tell(error)
            self._start_probe()

    async def append(self, messages: Sequence[Message]) -> None:
        """Hand over and wait for every acknowledgement. Cancelling cancels the waiting only. Raises
        Unavailable."""
        if self._down is None and not self._closed:
            unknown = {
                message.topic for message in messages if self._partitions(message.topic) == 0
            }
            if unknown:
                await self._learn(unknown)
        if self._closed:
            raise Unavailable("the Kafka log is closed")
        if self._down is not None:
            raise Unavailable(self._down)
        size = sum([message.size for message in messages])
        if self._queued_bytes and self._queued_bytes + size > self._settings.queue_bytes:
            raise Unavailable(
                f"{self._queued_bytes} bytes wait for Kafka, limit {self._settings.queue_bytes}"
            )
        if not messages:
            return
        done = self._loop.create_future()
        ticket = _Ticket(
            done, len(messages), size, self._loop.time() + self._settings.ack_timeout_s
        )
        self._queued_bytes += size
        self._tickets.append(ticket)
        if self._timer is None:
            self._timer = self._loop.call_at(ticket.deadline, self._check_deadlines)
        for message in messages:
            place = (message.topic, partition_of(message.key, self._partitions(message.topic)))
            lane = self._lanes.get(place)
            if lane is None:
                lane = self._lanes[place] = _Lane()
            lane.waiting.append((message, ticket))
            if not lane.moving:
                lane.moving = True
                self._spawn(self._move(place, lane, self._client), self._tasks)
        await done

    async def close(self) -> None:
        """Wait for what is under way, `ack_timeout_s` at most, then let go. Appends are refused
        from now on."""
        self._closed = True
        moving = [*self._tasks]
        if moving and self._down is None:
            await asyncio.wait(moving, timeout=self._settings.ack_timeout_s)
        if self._client is not None and self._down is None and self._owed:
            await asyncio.wait(
                [asyncio.ensure_future(self._client.flush())], timeout=self._settings.ack_timeout_s
            )
        self._refuse("the Kafka log is closed")
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        client, self._client = self._client, None
        if client is not None:
            await _discard(client)
        await asyncio.gather(*self._leaving)

    def _partitions(self, topic: str) -> int:
        """How many there are, 0 where the topic is not known (yet)."""
        count = self._counts.get(topic)
        if not count:
            count = self._counts[topic] = len(
                self._client.client.cluster.partitions_for_topic(topic) or ()
            )
        return count

    def _metadata_changed(self, _: object) -> None:
        self._counts.clear()

    async def _learn(self, topics: Collection[str]) -> None:
        try:
            async with asyncio.timeout(self._settings.ack_timeout_s):
                while self._down is None and not all(self._partitions(topic) for topic in topics):
                    for topic in topics:
                        if self._client is not None:
                            await self._client.partitions_for(topic)
        except _FAILURES as error:
            raise unavailable(f"Kafka tells no partitions of {', '.join(topics)}", error) from error

    async def _move(self, place: tuple[str, int], lane: _Lane, client: Any) -> None:
        """A lane's task: batch after batch until nothing waits."""
        topic, partition = place
        try:
            while lane.waiting and client is self._client and self._down is None:
                # One batch per turn of the loop: 0.83 to 0.94 of the CPU that `send` takes per
                # record (`bench/kafka_append.py`).
                batch, tickets = client.create_batch(), []
                while lane.waiting:
                    message, ticket = lane.waiting[0]
                    if (
                        batch.append(
                            timestamp=None,
                            key=message.key,
                            value=message.value,
                            headers=message.headers,
                        )
                        is None
                    ):
                        break
                    lane.waiting.popleft()
                    tickets.append(ticket)
                batch.close()
                self._owed += 1
                try:
                    delivery = await client.send_batch(batch, topic, partition=partition)
                except _FAILURES as error:
                    if client is self._client:
                        self._give_up(
                            str(unavailable(f"Kafka takes nothing for {topic}/{partition}", error))
                        )
                    return
                delivery.add_done_callback(partial(self._delivered, client, tickets))
        finally:
            lane.moving = False

    def _delivered(
        self, client: Any, tickets: list[_Ticket], delivery: "asyncio.Future[RecordMetadata]"
    ) -> None:
        error = None if delivery.cancelled() else delivery.exception()
        if client is not self._client:
            return
        if error is not None:
            self._give_up(f"Kafka refused a batch: {type(error).__name__}")
            return
        self._owed -= 1
        for ticket in tickets:
            ticket.left -= 1
            if ticket.left == 0 and ticket.open:
                ticket.open = False
                self._queued_bytes -= ticket.size
                if not ticket.done.done():
                    ticket.done.set_result(None)

    def _check_deadlines(self) -> None:
        self._timer = None
        while self._tickets and not self._tickets[0].open:
            self._tickets.popleft()
        if not self._tickets:
            return
        if self._tickets[0].deadline <= self._loop.time():
            self._refuse(f"Kafka did not acknowledge within {self._settings.ack_timeout_s:g} s")
        else:
            self._timer = self._loop.call_at(self._tickets[0].deadline, self._check_deadlines)

    def _refuse(self, reason: str) -> None:
        """Go down: answer everybody, keep nothing, look for better times."""
        for ticket in self._tickets:
            if ticket.open and not ticket.done.done():
                ticket.done.set_exception(Unavailable(reason))
            ticket.open = False
        self._tickets.clear()
        for lane in self._lanes.values():
            lane.waiting.clear()
        self._queued_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._down is None:
            self._down, self._down_since = reason, self._loop.time()
            if not self._closed:
                _log.warning("kafka_down", reason=reason)
                self._start_probe()

    def _give_up(self, reason: str) -> None:
        """A batch failed for good: go down, and discard the producer before it delivers more.

        Every later batch would fail with OutOfOrderSequenceNumber (aio-libs/aiokafka issue 1017),
        or be delivered out of order although its append was answered Unavailable.
        """
        client, self._client, self._owed = self._client, None, 0
        self._refuse(reason)
        self._spawn(_discard(client), self._leaving)

    def _tell(self, error: Unavailable) -> None:
        self._down = str(error)
        if self._told.due(self._down):
            _log.warning("kafka_down", reason=self._down)

    def _start_probe(self) -> None:
        if self._probe is None or self._probe.done():
            self._probe = self._loop.create_task(self._look())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(self._settings.probe_every_s)
            waited = self._loop.time() - self._down_since
            # A producer can stick without an error (aio-libs/aiokafka issue 1154).
            if self._client is None or (self._owed and waited > self._settings.request_timeout_s):
                try:
                    await self._replace()
                except Unavailable as error:
                    self._tell(error)
                    continue
            elif self._owed:
                continue
            # Nothing may be awaited from here on: who goes down again starts a probe only where none runs.
            self._down = None
            _log.info("kafka_up", after_s=round(waited, 1))
            return

    async def _replace(self) -> None:
        """A new producer in place of the old one. Raises Unavailable and leaves the old one."""
        settings = self._settings
        fresh: Any = None
        try:
            if not self._prepared:
                await self._prepare()
                self._prepared = True
            fresh = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=BATCH_BYTES,
                compression_type=settings.compression,
                request_timeout_ms=int(settings.request_timeout_s * 1000),
                **settings.security.options(),
            )
            async with asyncio.timeout(settings.request_timeout_s):
                await fresh.start()
                for topic in self._topics:
                    await fresh.partitions_for(topic)
        except BaseException as error:
            if fresh is not None:
                await _discard(fresh)
            if isinstance(error, _FAILURES):
                raise unavailable("no connection to Kafka", error) from error
            raise
        old, self._client = self._client, fresh
        fresh.client.cluster.add_listener(self._metadata_changed)
        self._counts.clear()
        self._lanes = {}
        self._owed, self._down = 0, None
        if old is not None:
            self._spawn(_discard(old), self._leaving)

    def _spawn(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        task = self._loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _discard(client: Any) -> None:
    """Stop a producer without waiting for brokers: what it still owes was answered Unavailable.
    `stop` alone waits for ever for that."""
    accumulator = client._message_accumulator
    owed = [
        *accumulator._pending_batches,
        *(batch for batches in accumulator._batches.values() for batch in batches),
    ]
    accumulator.fail_all(ProducerClosed())
    for future in [future for batch in owed for future in (batch.future, batch._drain_waiter)]:
        if future.done() and not future.cancelled():
            future.exception()  # known; asyncio would report it as never retrieved
    await let_go(client.stop(), client.client.close())
