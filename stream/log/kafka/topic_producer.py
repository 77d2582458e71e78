"""Appends to one topic: acknowledged by all in-sync replicas, in order per key, within a bounded
wait."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import structlog
from aiokafka.errors import OutOfOrderSequenceNumber, UnknownProducerId
from aiokafka.structs import RecordMetadata

from stream.log.contract import Unavailable
from stream.log.kafka.client import BATCH_BYTES, PRODUCER_FAILURES, connected, discard
from stream.log.kafka.errors import unavailable
from stream.log.kafka.partition_queue import PartitionQueue, Ticket, Waiting
from stream.log.kafka.records import Message, partition_of
from stream.log.kafka.refusals import (
    RecordRefusals,
    RefusedMessages,
    is_refusal,
    is_unauthorised,
    reason_of,
)
from stream.log.kafka.settings import KafkaSettings
from stream.rate_limit import RateLimit

_log = structlog.get_logger("orderwire.kafka")


class TopicProducer:
    """The only producer of `topic` (with its prefix) in this process. `prepare` is awaited before a
    connection counts as made.

    After the first record that is not acknowledged within `ack_timeout_s` the producer is *down*:
    all waiting appends fail with Unavailable, nothing more is handed to aiokafka, and a probe
    checks every `probe_every_s`:

    | the producer | the probe |
    |---|---|
    | still owes batches | waits: their delivery proves that writing works again |
    | owes some for longer than `request_timeout_s` | replaces it once a new one connects |
    | failed a batch for good | connects a new one |
    | never connected | connects |

    A record that failed with Unavailable may still reach the log, because aiokafka's idempotent
    producer never times a batch out (docs/facts/streaming.md, "Kafka producer").
    """

    def __init__(
        self,
        bootstrap: str,
        settings: KafkaSettings,
        topic: str,
        prepare: Callable[[], Awaitable[None]],
        limit: RateLimit | None = None,
    ) -> None:
        """`limit` is of the lines that say why Kafka is away, which all topics share."""
        self._bootstrap, self._settings, self._topic, self._prepare = (
            bootstrap,
            settings,
            topic,
            prepare,
        )
        self._loop = asyncio.get_running_loop()
        self._client: Any = None
        self._down: str | None = "not connected yet"
        self._limit = limit or RateLimit(self._loop.time)
        self._down_since = self._loop.time()
        self._closed = False
        self._lanes: dict[int, PartitionQueue] = {}
        self._early: list[Waiting] | None = None
        """What waits for the first connection, while that is under way."""
        self._partitions = 0
        self._tickets: deque[Ticket] = deque()
        self._queued_bytes = 0
        self._owed = 0
        self._refusals = RecordRefusals(topic, self._loop.time)
        self._renewing = False
        self._batch_bytes = BATCH_BYTES
        self._timer: asyncio.TimerHandle | None = None
        self._probe: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def down(self) -> str | None:
        """Why no record is sent now; None if records are sent."""
        return self._down

    def start(self) -> None:
        """Begin to connect; the probe retries. Records appended meanwhile wait, as for an
        acknowledgement."""
        self._early = []
        self._spawn(self._connect(), self._connecting)

    async def _connect(self) -> None:
        try:
            await self._replace()
        except Unavailable as error:
            self._early = None
            self._refuse(str(error))
            self._log_down(error)
            self._start_probe()
            return
        early, self._early = self._early or [], None
        for each in early:
            self._line_up(*each)

    async def append(self, messages: Sequence[Message]) -> None:
        """Append and wait for every acknowledgement. Cancelling cancels only the wait. Raises
        Unavailable, RefusedMessages."""
        refused = self._refusals.known(messages)
        if refused is not None and len(refused.messages) == len(messages):
            raise refused
        connecting = self._early is not None
        if self._down is None and not self._closed and not self._count():
            await self._learn()
        if self._closed:
            raise Unavailable("the Kafka log is closed")
        if self._down is not None and not connecting:
            raise Unavailable(self._down)
        taken = messages if refused is None else refused.others(messages)
        size = sum([message.size for message in taken])
        if self._queued_bytes and self._queued_bytes + size > self._settings.queue_bytes:
            raise Unavailable(
                f"{self._queued_bytes} bytes wait for Kafka, limit {self._settings.queue_bytes}"
            )
        if not taken:
            return
        done = self._loop.create_future()
        ticket = Ticket(done, len(taken), size, self._loop.time() + self._settings.ack_timeout_s)
        ticket.refused = refused
        self._queued_bytes += size
        self._tickets.append(ticket)
        if self._timer is None:
            self._timer = self._loop.call_at(ticket.deadline, self._check_deadlines)
        for message in taken:
            if self._early is not None:
                self._early.append((message, ticket))
            else:
                self._line_up(message, ticket)
        await done

    def _line_up(self, message: Message, ticket: Ticket) -> None:
        partition = partition_of(message.key, self._count())
        lane = self._lanes.get(partition)
        if lane is None:
            lane = self._lanes[partition] = PartitionQueue()
        lane.waiting.append((message, ticket))
        if not lane.moving:
            self._begin_to_move(partition, lane)

    async def close(self) -> None:
        """Refuse new appends, wait at most `ack_timeout_s` for those under way, then close."""
        self._closed = True
        if connecting := [*self._connecting]:
            await asyncio.wait(connecting, timeout=self._settings.ack_timeout_s)
            for task in connecting:
                task.cancel()
            await asyncio.gather(*connecting, return_exceptions=True)
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
            await discard(client)
        await asyncio.gather(*self._leaving)

    def _count(self) -> int:
        """The number of partitions; 0 if it is not known yet."""
        if not self._partitions:
            cluster = self._client.client.cluster
            self._partitions = len(cluster.partitions_for_topic(self._topic) or ())
        return self._partitions

    def _metadata_changed(self, _: object) -> None:
        self._partitions = 0

    async def _learn(self) -> None:
        try:
            async with asyncio.timeout(self._settings.ack_timeout_s):
                while self._down is None and not self._count():
                    if self._client is not None:
                        await self._client.partitions_for(self._topic)
        except PRODUCER_FAILURES as error:
            raise unavailable(f"Kafka names no partitions of {self._topic}", error) from error

    def _begin_to_move(self, partition: int, lane: PartitionQueue) -> None:
        lane.moving = True
        self._spawn(self._move(partition, lane, self._client), self._tasks)

    async def _move(self, partition: int, lane: PartitionQueue, client: Any) -> None:
        """A lane's task: sends batch after batch until the lane is empty."""
        try:
            while (
                lane.waiting
                and client is self._client
                and self._down is None
                and not self._renewing
            ):
                batch = client.create_batch()
                entries = lane.fill(batch, self._batch_bytes)
                self._owed += 1
                try:
                    delivery = await client.send_batch(batch, self._topic, partition=partition)
                except PRODUCER_FAILURES as error:
                    if client is self._client:
                        where = f"{self._topic}/{partition}"
                        self._give_up(str(unavailable(f"Kafka takes nothing for {where}", error)))
                    return
                delivery.add_done_callback(partial(self._delivered, client, lane, entries))
        finally:
            lane.moving = False

    def _delivered(
        self,
        client: Any,
        lane: PartitionQueue,
        entries: list[Waiting],
        delivery: "asyncio.Future[RecordMetadata]",
    ) -> None:
        error = None if delivery.cancelled() else delivery.exception()
        if client is not self._client:
            return
        if error is None:
            for _, ticket in entries:
                self._acknowledged(ticket)
        elif is_refusal(error):
            self._take_back(lane, entries, error)
        elif self._renewing and isinstance(error, OutOfOrderSequenceNumber | UnknownProducerId):
            lane.returned += entries  # it came behind one that was refused, and is not in the log
        else:
            self._give_up(f"Kafka refused a batch: {type(error).__name__}")
            return
        self._owed -= 1
        if self._renewing and not self._owed:
            self._spawn(self._renew(), self._connecting)

    def _acknowledged(self, ticket: Ticket) -> None:
        ticket.left -= 1
        if ticket.left or not ticket.open:
            return
        ticket.open = False
        self._queued_bytes -= ticket.size
        if ticket.done.done():
            return
        if ticket.refused is None:
            ticket.done.set_result(None)
        else:
            ticket.done.set_exception(ticket.refused)

    def _take_back(
        self, lane: PartitionQueue, entries: list[Waiting], error: BaseException
    ) -> None:
        """The broker refused this batch for good: send it again in halves, a single record back to
        its appender.

        A batch behind it may overtake it; folds decide by version.
        """
        self._renewing = True
        if is_unauthorised(error):
            self._refusals.unauthorised(error)
            for each in self._lanes.values():
                entries = [*entries, *each.waiting]
                each.waiting.clear()
        elif len(entries) > 1:
            self._batch_bytes = sum(message.size for message, _ in entries) // 2
            lane.returned += entries
            return
        else:
            self._refusals.too_large(entries[0][0], error)
        for message, ticket in entries:
            refused = RefusedMessages(
                reason_of(error), self._refusals.description(error), [message]
            )
            ticket.refused = refused if ticket.refused is None else ticket.refused.and_also(refused)
            self._acknowledged(ticket)

    async def _renew(self) -> None:
        """Replace the client once the old one owes nothing. After a refusal its sequence numbers
        are one batch ahead of the broker's (aio-libs/aiokafka issue 1017)."""
        lanes = self._lanes
        try:
            await self._replace()
        except Unavailable as error:
            self._give_up(str(error))
            return
        finally:
            self._renewing = False
        self._lanes = lanes
        for partition, lane in lanes.items():
            lane.waiting.extendleft(reversed(lane.returned))
            lane.returned = []
            if lane.waiting and not lane.moving:
                self._begin_to_move(partition, lane)

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
        """Go down: fail every waiting append, clear the queues, start the probe."""
        for ticket in self._tickets:
            if ticket.open and not ticket.done.done():
                ticket.done.set_exception(Unavailable(reason))
            ticket.open = False
        self._tickets.clear()
        for lane in self._lanes.values():
            lane.waiting.clear()
            lane.returned.clear()
        if self._early is not None:
            self._early.clear()
        self._queued_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._down is None:
            self._down, self._down_since = reason, self._loop.time()
            if not self._closed:
                _log.warning("kafka_down", topic=self._topic, reason=reason)
                self._start_probe()

    def _give_up(self, reason: str) -> None:
        """A batch failed for good: go down, and discard the producer before it delivers more.

        Every later batch would fail with OutOfOrderSequenceNumber (aio-libs/aiokafka issue 1017),
        or be delivered out of order although its append was answered Unavailable.
        """
        client, self._client, self._owed = self._client, None, 0
        self._refuse(reason)
        self._spawn(discard(client), self._leaving)

    def _log_down(self, error: Unavailable) -> None:
        self._down = str(error)
        if self._limit.allows(self._down):
            _log.warning("kafka_down", topic=self._topic, reason=self._down)

    def _start_probe(self) -> None:
        if self._probe is None or self._probe.done():
            self._probe = self._loop.create_task(self._look())

    async def _look(self) -> None:
        # Not stamina: each look decides anew whether there is anything to replace.
        while True:
            await asyncio.sleep(self._settings.probe_every_s)
            waited = self._loop.time() - self._down_since
            # A producer can stick without an error (aio-libs/aiokafka issue 1154).
            if self._renewing or self._refusals.all_s() > 0:
                continue
            if self._client is None or (self._owed and waited > self._settings.request_timeout_s):
                try:
                    await self._replace()
                except Unavailable as error:
                    self._log_down(error)
                    continue
            elif self._owed:
                continue
            # Nothing may be awaited from here on: who goes down again starts a probe only where
            # none runs.
            self._down = None
            _log.info("kafka_up", topic=self._topic, after_s=round(waited, 1))
            return

    async def _replace(self) -> None:
        """Put a new producer in place of the old one. Raises Unavailable and keeps the old one."""
        try:
            await self._prepare()
            fresh = await connected(self._bootstrap, self._settings, self._topic)
        except BaseException as error:
            if is_unauthorised(error):
                self._refusals.unauthorised(error)
            if isinstance(error, PRODUCER_FAILURES):
                raise unavailable("no connection to Kafka", error) from error
            raise
        old, self._client = self._client, fresh
        fresh.client.cluster.add_listener(self._metadata_changed)
        self._partitions = 0
        self._lanes = {}
        self._owed, self._down = 0, None
        if old is not None:
            self._spawn(discard(old), self._leaving)

    def _spawn(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        task = self._loop.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
