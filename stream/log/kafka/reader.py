"""One member of a Kafka consumer group, reading one topic from the positions in the store.

The store's compare-and-set lets only one owner commit (docs/architecture.md, "Exactly once"), so
the rebalance listener only records that ownership changed, and the next `read` acts on it.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from stream.log.contract import SETTLE_S, PositionLost, Span, Start, Stuck, Unavailable
from stream.log.kafka.errors import FAILURES, start_client, stop_client, unavailable
from stream.log.kafka.records import decode
from stream.log.kafka.scan import Scanner, lag
from stream.log.kafka.settings import KafkaSettings
from stream.record import Entry

IDENTITY_S = 5.0
"""How often the topic's id is asked for. One that was made again may have records behind our
position by then; they are folded, and `PositionLost` says what was skipped before them."""
FETCH_WAIT_MS = 500
"""How long a broker waits before it answers an empty fetch; also the longest wait of `reload`."""
FETCH_BYTES = 8 << 20
PARTITION_BYTES = 4 << 20
"""Of one partition in a fetch: a whole batch of 500 records of 8 kB. With aiokafka's 1 MiB a member
of few partitions reads a backlog in small batches, each of which costs a transaction."""
REPORT_S = 1.0
"""How often positions are committed to Kafka. They are only written for its lag displays, and a
commit takes the coordinator 10 ms, as long as a small batch takes to fold."""

_log = structlog.get_logger("orderwire.kafka")


class StuckDetector:
    """Detects a stuck reader: lag at two checks `limit_s` apart and no record between them.
    Pure."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._quiet_since: float | None = None
        self._lag_since: float | None = None

    def moved(self) -> None:
        """Records arrived."""
        self._quiet_since = self._lag_since = None

    def check_due(self, now_s: float) -> bool:
        """No record arrived; whether to check the lag now (four times per `limit_s`)."""
        if self._quiet_since is None:
            self._quiet_since = now_s
        return now_s - self._quiet_since >= self.limit_s / 4

    def checked(self, now_s: float, behind: bool) -> bool:
        """Record the result of a check; whether the reader is stuck."""
        self._quiet_since = now_s
        if not behind:
            self._lag_since = None
            return False
        if self._lag_since is None:
            self._lag_since = now_s
        return now_s - self._lag_since >= self.limit_s


class _Ownership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Partitions owned since the last rebalance. `generation` counts the changes.

    Takes no lock and waits for nothing: a lock shared by listener and `getmany` deadlocks
    (docs/facts/streaming.md, "Kafka producer").
    """

    def __init__(self) -> None:
        self.partitions: frozenset[int] | None = None
        self.generation = 0
        self.changed = asyncio.Event()

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._set(None)

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._set(frozenset(place.partition for place in assigned))

    def _set(self, partitions: frozenset[int] | None) -> None:
        self.partitions = partitions
        self.generation += 1
        self.changed.set()


class KafkaReader:
    """`stream.log.contract.Reader` on Kafka. Called by one task at a time.

    A position outside its partition raises PositionLost at every `read` until the stored position
    is changed.
    """

    def __init__(
        self,
        consumer: Any,
        topic: str,
        start: Start,
        scanner: Scanner,
        settings: KafkaSettings,
        ownership: _Ownership,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Use `open`."""
        self._consumer, self._topic, self._start, self._scanner = consumer, topic, start, scanner
        self._name = settings.topic_prefix + topic
        self._ownership = ownership
        self._clock = clock
        self._watchdog = StuckDetector(settings.stuck_after_s)
        self._placed_in: int | None = None
        self._identity = ""
        self._identified_at: float | None = None
        self._next: dict[int, int] = {}
        self._unreported: dict[int, int] = {}
        self._reported_at: float | None = None
        self._reporting: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        bootstrap: str,
        topic: str,
        group: str,
        start: Start,
        scanner: Scanner,
        settings: KafkaSettings,
    ) -> "KafkaReader":
        """Connect and start to join the group; `read` completes the join. Raises Unavailable."""
        consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=f"{settings.topic_prefix}orderwire-{group}",
            group_instance_id=settings.member,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            fetch_max_bytes=FETCH_BYTES,
            max_partition_fetch_bytes=PARTITION_BYTES,
            session_timeout_ms=int(settings.session_timeout_s * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_s * 1000 / 4),
            request_timeout_ms=int(
                (settings.request_timeout_s + settings.session_timeout_s) * 1000
            ),
            metadata_max_age_ms=60_000,
            **settings.security.options(),
        )
        ownership = _Ownership()
        try:
            async with asyncio.timeout(settings.request_timeout_s):
                await start_client(consumer)
        except FAILURES as error:
            raise unavailable("no connection to Kafka", error) from error
        consumer.subscribe([settings.topic_prefix + topic], listener=ownership)
        return cls(consumer, topic, start, scanner, settings, ownership)

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions owned now."""
        return self._ownership.partitions or frozenset()

    async def read(self, max_records: int, wait_s: float) -> list[Entry]:
        """As `stream.log.contract.Reader.read`."""
        deadline = self._clock() + wait_s
        self._report_in_time()
        while True:
            try:
                await self._identify()
                if await self._place(deadline):
                    entries = await self._fetch(max_records, deadline)
                    if entries:
                        self._watchdog.moved()
                        return entries
            except asyncio.CancelledError:
                self._placed_in = (
                    None  # what aiokafka handed out in that moment was not given to anybody
                )
                raise
            except OffsetOutOfRangeError:
                self._placed_in = None  # the next turn compares with the spans
                continue
            except (KafkaError, OSError) as error:
                raise unavailable(f"reading {self._name} from Kafka failed", error) from error
            if self._clock() >= deadline:
                await self._watch()
                return []

    async def _identify(self) -> None:
        """Ask `Start` for positions again if the topic is another one by now."""
        now_s = self._clock()
        if self._identified_at is not None and now_s - self._identified_at < IDENTITY_S:
            return
        self._identified_at = now_s
        try:
            found = await self._scanner.identity(self._topic)
        except Unavailable:
            return  # Asked again; brokers that are away are not this question's business.
        if found and found != self._identity:
            if self._identity:
                # Also where the group has no partition of it yet: whoever reads is to know.
                await self._start(self.partitions)
                await self.reload()
            self._identity = found

    async def reload(self) -> None:
        """As `stream.log.contract.Reader.reload`."""
        self._placed_in = None

    async def report(self, positions: Mapping[int, int]) -> None:
        """Commit for Kafka's lag displays, in the background and at most every `REPORT_S`."""
        self._unreported.update(positions)
        self._report_in_time()

    def _report_in_time(self) -> None:
        now_s, idle = self._clock(), self._reporting is None or self._reporting.done()
        if (
            self._unreported
            and idle
            and (self._reported_at is None or now_s - self._reported_at >= REPORT_S)
        ):
            self._reported_at = now_s
            self._reporting = asyncio.create_task(self._commit())

    async def _commit(self) -> None:
        """Ignores refusals by a rebalance (aiokafka: IllegalStateError, CommitFailedError)."""
        positions, self._unreported = self._unreported, {}
        owned = self.partitions
        offsets = {
            TopicPartition(self._name, partition): position
            for partition, position in positions.items()
            if partition in owned
        }
        if not offsets:
            return
        try:
            async with asyncio.timeout(1):
                await self._consumer.commit(offsets)
        except FAILURES as error:
            _log.debug("lag_hint_not_committed", topic=self._topic, reason=type(error).__name__)

    async def close(self) -> None:
        """Leave the group, so that other members need not wait for the session to time out."""
        if self._reporting is not None:
            await asyncio.gather(self._reporting, return_exceptions=True)
        await self._commit()
        # With a name aiokafka keeps the place for the next process of that name, and nobody would
        # read its partitions until the session is over: there may be none.
        self._consumer._coordinator._group_instance_id = None
        await stop_client(self._consumer.stop(), self._consumer._client.close())

    async def _place(self, deadline: float) -> bool:
        """Seek every owned partition to its position if ownership changed since the last seek;
        False if no partition is owned."""
        ownership = self._ownership
        while self._placed_in != ownership.generation:
            owned, generation = ownership.partitions, ownership.generation
            ownership.changed.clear()
            if owned is None:
                if not await self._changes(deadline):
                    return False
                continue
            positions: dict[int, int] = {}
            if owned:
                positions = await self._positions(owned)
            else:
                await self._start(owned)
            if ownership.generation != generation:
                continue
            for partition, position in positions.items():
                self._consumer.seek(TopicPartition(self._name, partition), position)
            self._next, self._placed_in = positions, generation
        if not self._next:
            await self._changes(deadline)  # more members than partitions: wait for one
        return bool(self._next)

    async def _positions(self, owned: frozenset[int]) -> dict[int, int]:
        asked = await self._start(owned)
        settled = self._clock() + SETTLE_S
        # Not stamina: whether to look again depends on the spans, by the reader's clock.
        while True:
            spans = await self._scanner.spans(self._topic)
            try:
                return {
                    partition: self._position(partition, asked.get(partition), spans[partition])
                    for partition in owned
                }
            except PositionLost as lost:
                if lost.position < lost.span.first or self._clock() >= settled:
                    raise
            await asyncio.sleep(0.25)

    def _position(self, partition: int, asked: int | None, span: Span) -> int:
        position = span.first if asked is None else asked
        if not span.first <= position <= span.next:
            raise PositionLost(self._topic, partition, position, span)
        return position

    async def _fetch(self, max_records: int, deadline: float) -> list[Entry]:
        places = [TopicPartition(self._name, partition) for partition in self._next]
        self._consumer.resume(*places)
        # Without waiting, `_take` takes what is there in one step, which no rebalance can come
        # between.
        fetched = await self._take(places, 0, max_records)
        if not fetched:
            # The waiting one is given up, with nothing lost, when the partitions change under it.
            getting = asyncio.ensure_future(
                self._take(places, max(1, int((deadline - self._clock()) * 1000)), max_records)
            )
            changing = asyncio.ensure_future(self._ownership.changed.wait())
            try:
                await asyncio.wait((getting, changing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changing.cancel()
                if not getting.done():
                    getting.cancel()
            fetched = getting.result() if getting.done() and not getting.cancelled() else {}
        entries: list[Entry] = []
        for place, messages in fetched.items():
            entries += [decode(self._topic, message) for message in messages]
            self._next[place.partition] = messages[-1].offset + 1
        return entries

    async def _take(
        self, places: Collection[TopicPartition], timeout_ms: int, max_records: int
    ) -> Any:
        """`getmany`; pauses fetching in the same step unless a backlog fills whole batches.

        Without the pause aiokafka 0.14.0 (`_get_actions_per_node`) would fetch as soon as a batch
        is taken, get the one record that has arrived by then, and not fetch again until that one is
        taken. Each record would wait for two batches of its reader instead of one.
        """
        fetched = await self._consumer.getmany(
            *places, timeout_ms=timeout_ms, max_records=max_records
        )
        if 0 < sum(map(len, fetched.values())) < max_records:
            self._consumer.pause(*self._consumer.assignment().intersection(places))
        return fetched

    async def _changes(self, deadline: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock())):
                await self._ownership.changed.wait()
        except TimeoutError:
            return False
        return True

    async def _watch(self) -> None:
        """No record arrived in time: check the lag. Raises Stuck, or Unavailable if the lag is
        unknown."""
        if not self._watchdog.check_due(self._clock()):
            return
        spans = await self._scanner.spans(self._topic)
        joining = self._ownership.partitions is None
        if self._watchdog.checked(self._clock(), behind=joining or lag(spans, self._next) > 0):
            what = (
                "the group was not joined"
                if joining
                else f"{lag(spans, self._next)} records wait and none came"
            )
            raise Stuck(
                f"{self._name}: {what} for {self._watchdog.limit_s:g} s; ending this role, its "
                "supervisor starts it again"
            )
