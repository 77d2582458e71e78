"""Runs a processor: read -> decode -> fence -> load, fold, save. The only place where a processor
meets log and store."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import structlog

from processors.engine import read_topics, stops
from processors.engine.behind import Behind
from processors.engine.decoding import Decoded, decode_all, shop_of
from processors.engine.limits import Failures, ParkLimit, TooManyFailures
from processors.engine.processor import Processor, ticks_of
from processors.engine.settling import Settling
from processors.engine.shared_decoding import Wait, for_nobody
from processors.engine.stops import ALL_SHOPS, StoppedShop
from processors.engine.store_calls import StoreCalls
from processors.engine.ticking import FailingTick, OneTick
from processors.engine.work import BatchWork
from stream.log.contract import Log, OpenReader, Reader, Unavailable
from stream.metrics import ProcessorMetrics
from stream.record import Entry
from stream.store.contract import Fenced, Move, Store, StoreUnavailable, Transaction

Event = TypeVar("Event")
BATCH = 500
"""Records per transaction: 38-190 k records/s against 6-7 k with one each; larger ones gain little
and wait longer."""
TICK_S = 1.0
IDLE_S = 5.0
"""How long an idle processor sleeps that has no tick; a record wakes it."""
FORGET_S = 10.0
SMALL_BYTES = 32 << 10
"""So much is decoded on the event loop, in less time than a thread takes to begin."""
CHANGES_KEPT_MS = 60_000
"""How long readers may look away and still get differences only."""
BACKLOG_MS = 1_000
"""Records that came longer ago than this are a backlog: no pause before the next batch."""
BAD_IN_A_BATCH = 8
"""Bad records of one shop that a search among all finds; a shop with more falls behind."""

log = structlog.get_logger()


class Pace(NamedTuple):
    """How far apart partial batches begin: a transaction costs milliseconds whatever it holds, so
    without a pace a few records a second would keep a core busy."""

    most_s: float = 0.0
    busy: float = 0.0
    """Less far apart where batches are quick: they may take this share of the time; 0: always
    `most_s`."""

    def apart_s(self, took_s: float) -> float:
        """Seconds between the starts of a batch that took so long and the next."""
        return min(self.most_s, took_s / self.busy) if self.busy else self.most_s


class Runner(Generic[Event]):
    """Runs one processor. `run` until stopped; it may be run again after any exception.

    A batch is one transaction. Its first statement moves the position by compare-and-set from where
    this owner loaded it, so an owner that lost the partition is Fenced, rolls back, and reloads.
    Parking, limits and searches are in `settling`; a shop that fails too often falls behind
    (`behind`), and the others read on.
    """

    def __init__(
        self,
        processor: Processor[Event],
        source: Log,
        store: Store,
        *,
        metrics: ProcessorMetrics,
        limit: ParkLimit | None = None,
        shops: Collection[str] = (),
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        committed: Callable[[Sequence[Event]], None] = lambda _: None,
        pace: Pace = Pace(),  # noqa: B008 - a tuple
        before_backlog: Wait = for_nobody,
        readers: OpenReader | None = None,
    ) -> None:
        """`readers`: whence its reader comes, if not from `source`. `before_backlog` is awaited
        before each further batch of a backlog is read. `committed`
        is called on the event loop after each batch, with the events folded.
        `shops`: whose ticks are called one by one if the tick of all raises. `pace`: of partial
        batches."""
        self._processor, self._log, self._store, self._metrics = processor, source, store, metrics
        self._open_reader = source.reader if readers is None else readers
        self._clock_ms, self._pace, self._before_backlog = clock_ms, pace, before_backlog
        failures = Failures(limit or ParkLimit())
        self._settling = Settling(processor, source, store, failures, metrics, clock_ms, committed)
        self._behind = Behind(self._settling, source, clock_ms())
        self._ticks = [
            OneTick(processor.name, name, tick, sorted(shops))
            for name, tick in ticks_of(processor).items()
        ]
        self._ticked = self._forgot = 0.0
        self._changed = time.monotonic()
        """When a batch may last have changed cells."""
        self._loaded: dict[int, int] = {}
        """By partition: the position in the store."""
        self._in_hand: dict[int, int] = {}
        """By partition: the offset behind what was read and is not saved yet."""
        self._owned: Collection[int] = ()
        self._asked_to_go_on: dict[int, StoppedShop] = {}
        """By partition: rows of this processor as a whole, while it reads on to `limited_from`."""
        self._log_away = False

    def stopped_shops(self) -> set[str]:
        """Shops whose records it does not fold, most of them having failed."""
        return self._behind.stopped()

    def failing_ticks(self) -> list[FailingTick]:
        """Ticks that raised when last called."""
        return [failing for tick in self._ticks for failing in tick.failing()]

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until `stop` is set; the current batch is finished.

        Raises TooManyFailures, LogError, StoreError, and errors of bugs in the engine.
        """
        self._calls = StoreCalls(self._processor.name, self._metrics, stop)
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix=f"{self._processor.name} decode")
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._read_on(stop, stopping)
                except Unavailable as error:
                    if (
                        not self._log_away
                    ):  # logged once: it is retried every second, maybe for hours
                        self._log_away = True
                        log.warning(
                            "log unavailable", processor=self._processor.name, error=str(error)
                        )
                    await asyncio.wait({stopping}, timeout=TICK_S)
        except TooManyFailures as error:
            await self._calls.until_done(partial(self._write_stop, str(error)))
            raise
        except StoreUnavailable:
            if not stop.is_set():
                raise
        finally:
            stopping.cancel()
            self._calls.close()
            self._decoder.shutdown(wait=True)

    async def may_go_on(self) -> bool:
        """Whether `orderwire replay --resume` was asked for after TooManyFailures."""
        _, rows = await asyncio.to_thread(self._standing)
        return not any(row.shop == ALL_SHOPS and row.stopped for row in rows)

    async def _read_on(self, stop: asyncio.Event, stopping: "asyncio.Future[Any]") -> None:
        """Batch after batch until `stop`. In a backlog the next is read while one commits."""
        # A batch that failed with the reader before was not saved, and is read again.
        self._in_hand.clear()
        reader = await self._open_reader(self._processor.topic, self._processor.name, self._start)
        ahead: asyncio.Future[list[Decoded[Event]]] | None = None
        try:
            # Not stamina: a fenced batch is not repeated, its reader begins elsewhere.
            while not stop.is_set():
                if ahead is None:
                    ahead = asyncio.ensure_future(self._next_batch(reader))
                await asyncio.wait([ahead, stopping], return_when=asyncio.FIRST_COMPLETED)
                if not ahead.done():
                    return
                started = time.monotonic()
                batch, ahead = ahead.result(), None
                if self._log_away:
                    self._log_away = False
                    log.info("log available again", processor=self._processor.name)
                paced = 0 < len(batch) < BATCH and not self._is_backlog(batch)
                if batch and not paced:
                    ahead = asyncio.ensure_future(self._next_of_backlog(reader))
                try:
                    if batch:
                        await self._fold(reader, batch)
                        self._changed = started
                    del batch  # megabytes of bodies: not to be kept until the next ones are there
                    await self._behind.step(self._calls, self._loaded)
                except Fenced:
                    self._metrics.fenced.inc()
                    log.info("fenced", processor=self._processor.name)
                    await _give_up(ahead)
                    ahead = None
                    self._in_hand.clear()
                    await reader.reload()
                took_s = time.monotonic() - started
                await self._tick()
                if paced:
                    wait_s = started + self._pace.apart_s(took_s) - time.monotonic()
                    if wait_s > 0:
                        await asyncio.wait({stopping}, timeout=wait_s)
        finally:
            await _give_up(ahead)  # the reader is closed with nobody inside it
            await reader.close()

    async def _next_of_backlog(self, reader: Reader) -> list[Decoded[Event]]:
        await self._before_backlog()
        return await self._next_batch(reader)

    async def _next_batch(self, reader: Reader) -> list[Decoded[Event]]:
        entries = await reader.read(BATCH, self._patience_s())
        self._in_hand.update({entry.partition: entry.offset + 1 for entry in entries})
        if not entries:
            return []
        if sum(len(entry.record.body) for entry in entries) <= SMALL_BYTES:
            return decode_all(self._processor, entries)
        return await asyncio.get_running_loop().run_in_executor(
            self._decoder, decode_all, self._processor, entries
        )

    def _patience_s(self) -> float:
        """How long to wait for records."""
        if self._behind.catching_up():
            return 0.0
        idle = not (self._ticks or self._behind.anybody() or self._asked_to_go_on)
        return IDLE_S if idle else TICK_S

    def _is_backlog(self, batch: Sequence[Decoded[Event]]) -> bool:
        return self._clock_ms() - _newest_ms([each.entry for each in batch]) > BACKLOG_MS

    async def _start(self, partitions: Collection[int]) -> Mapping[int, int]:
        positions, rows = await self._calls.until_done(self._standing)
        topic, identity = self._processor.topic, await self._log.identity(self._processor.topic)
        if identity:
            check = partial(
                read_topics.check, self._store, self._processor.name, topic, identity, positions
            )
            await self._calls.until_done(check)
        self._owned = frozenset(partitions)
        for partition in partitions:
            self._loaded.pop(partition, None)
        mine = {each: positions[each] for each in partitions if each in positions}
        self._loaded.update(mine)
        await self._take_over(rows)
        in_hand = {each: self._in_hand[each] for each in partitions if each in self._in_hand}
        return mine | {each: max(at, mine.get(each, 0)) for each, at in in_hand.items()}

    def _standing(self) -> tuple[dict[int, int], list[StoppedShop]]:
        name, topic = self._processor.name, self._processor.topic
        with self._store.snapshot() as snapshot:
            positions = {
                each.partition: each.next
                for each in snapshot.positions(name)
                if each.topic == topic
            }
            return positions, stops.stopped_shops(snapshot, name)

    async def _take_over(self, rows: Collection[StoppedShop]) -> None:
        owned = [row for row in rows if row.partition in self._owned]
        self._asked_to_go_on = {row.partition: row for row in owned if row.shop == ALL_SHOPS}
        if out_of_date := self._behind.take_over(owned, self._loaded):
            await self._calls.until_done(partial(self._end, out_of_date))

    async def _fold(self, reader: Reader, decoded: list[Decoded[Event]]) -> None:
        """Fold the batch without shops that are behind. Raises Fenced."""
        work = BatchWork(
            decoded,
            BAD_IN_A_BATCH,
            limited_from={each: row.limited_from for each, row in self._asked_to_go_on.items()},
        )
        entries = [each.entry for each in decoded]
        self._behind.leave_out(work)
        started = time.perf_counter()
        # As they are now: the read of the next batch may load what another owner has saved.
        save = partial(self._save, entries=entries, loaded=dict(self._loaded))
        await self._settling.settle(work, self._calls, save)
        self._loaded.update({entry.partition: entry.offset + 1 for entry in entries})
        for partition in self._loaded.keys() & self._in_hand.keys():
            if self._loaded[partition] == self._in_hand[partition]:
                del self._in_hand[partition]
        self._metrics.folded(
            Counter([shop_of(each.entry) for each in decoded]),
            Counter([shop_of(each.entry) for each in decoded if each.outcome is None]),
        )
        self._metrics.batch_s.observe(time.perf_counter() - started)
        self._metrics.event_time_s.set(_newest_ms(entries) / 1000)
        self._behind.note(self._behind.rows_for(work))
        await reader.report({entry.partition: self._loaded[entry.partition] for entry in entries})

    def _save(
        self,
        transaction: Transaction,
        work: BatchWork[Event],
        *,
        entries: Sequence[Entry],
        loaded: Mapping[int, int],
    ) -> None:
        records = Counter([entry.partition for entry in entries])
        nexts = {entry.partition: entry.offset + 1 for entry in entries}
        moves = {each: Move(loaded.get(each), nexts[each], records[each]) for each in records}
        transaction.advance(self._processor.name, self._processor.topic, moves, _newest_ms(entries))
        stops.begin(transaction, self._behind.rows_for(work))

    def _write_stop(self, reason: str) -> None:
        """Record that all shops are stopped at the present positions."""
        with self._store.begin() as transaction:
            rows = [
                StoppedShop(
                    self._processor.name,
                    self._processor.topic,
                    partition,
                    ALL_SHOPS,
                    next=self._loaded.get(partition, 0),
                    stopped=1,
                    limited_from=0,
                    reason=reason,
                    since_ms=self._clock_ms(),
                )
                for partition in self._owned
            ]
            stops.begin(transaction, rows)

    async def _tick(self) -> None:
        now_s = time.monotonic()
        if now_s - self._ticked < TICK_S:
            return
        self._ticked = now_s
        if self._ticks:
            await self._calls.until_done(partial(self._run_ticks, now_s))
        # Ticks change cells too. Without any: until the changes of the last batch are forgotten.
        if now_s - self._forgot >= FORGET_S and (
            self._ticks or self._forgot <= self._changed + CHANGES_KEPT_MS / 1_000
        ):
            self._forgot = now_s
            await self._calls.until_done(self._forget_changes)
        read_past = [
            row
            for row in self._asked_to_go_on.values()
            if self._loaded.get(row.partition, 0) >= row.limited_from
        ]
        if read_past:
            await self._calls.until_done(partial(self._end, read_past))
            for row in read_past:
                self._asked_to_go_on.pop(row.partition, None)
        if self._behind.anybody():
            _, rows = await self._calls.until_done(self._standing)
            await self._take_over(rows)

    def _run_ticks(self, now_s: float) -> None:
        """All of them in one visit of the thread: each visit wakes it, and then the event loop."""
        for tick in self._ticks:
            tick.run(self._store, self._clock_ms(), now_s)

    def _forget_changes(self) -> None:
        with self._store.begin() as transaction:
            transaction.forget_changes(time.time_ns() // 1_000_000 - CHANGES_KEPT_MS)

    def _end(self, rows: Collection[StoppedShop]) -> None:
        with self._store.begin() as transaction:
            for row in rows:
                stops.end(transaction, row)


def _newest_ms(entries: Sequence[Entry]) -> int:
    return max([entry.record.time_ms for entry in entries])


async def _give_up(task: "asyncio.Future[Any] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
