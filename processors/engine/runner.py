"""read -> decode -> fence -> load, fold, save: the one place where a processor meets the log and
the store.

A batch is one transaction. Its first statement moves the position by compare-and-set, so an owner
that has lost the partition is Fenced, rolls back and loads again (docs/architecture.md, "Exactly
once"). A record that cannot be understood is on the topic `parked` before the position passes it; a
batch that fails for another reason than the database is halved until the bad record is found.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Generic, TypeVar

import structlog

from processors.engine.parking import ParkLimit, parked
from processors.engine.processor import Processor
from processors.shopify.tolerance import Rejected
from stream.log.contract import Log, Reader, Unavailable
from stream.metrics import ProcessorMetrics
from stream.record import Entry
from stream.store.contract import Conflict, Fenced, Move, Store, StoreError, StoreUnavailable

Event = TypeVar("Event")
BATCH = 500
"""Records per transaction. Larger ones gain little and wait longer (docs/facts/streaming.md,
"Batches")."""
TICK_S = 1.0
CHANGES_KEPT_MS = 60_000
"""How long readers may look away and still get differences only."""
RETRY_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Waits after a StoreUnavailable; the last one repeats."""

log = structlog.get_logger()


class Runner(Generic[Event]):
    """One processor at work. `run` until stopped; whatever it raises ends the role, and the supervisor starts it again."""

    def __init__(
        self,
        processor: Processor[Event],
        source: Log,
        store: Store,
        *,
        metrics: ProcessorMetrics,
        limit: ParkLimit | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        committed: Callable[[Sequence[Event]], None] = lambda _: None,
        pace_s: float = 0.0,
    ) -> None:
        """`committed` is called on the event loop after each batch, with the events that were
        folded.

        `pace_s`: minimum seconds between starts of partial batches. A transaction costs
        milliseconds whatever it carries, so without it a few records a second, each in a batch of
        its own, keep a core busy.
        """
        self._processor, self._log, self._store, self._metrics = processor, source, store, metrics
        self._limit, self._clock_ms, self._committed, self._pace_s = (
            limit or ParkLimit(),
            clock_ms,
            committed,
            pace_s,
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=processor.name)
        self._loaded: dict[int, int] = {}
        self._ticked = 0.0
        self._stop = asyncio.Event()
        self._log_away = self._store_away = False

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until `stop` is set; the batch begun is finished. Raises TooMuchParked, PositionLost, Stuck."""
        reader: Reader | None = None
        self._stop = stop
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                try:
                    if reader is None:
                        reader = await self._log.reader(
                            self._processor.topic, self._processor.name, self._start
                        )
                    reading = asyncio.ensure_future(reader.read(BATCH, TICK_S))
                    await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    if not reading.done():
                        reading.cancel()
                        await asyncio.gather(
                            reading, return_exceptions=True
                        )  # below, the reader is closed with nobody inside it
                        break
                    started = time.monotonic()
                    entries = reading.result()
                    if self._log_away:
                        self._log_away = False
                        log.info("log available again", processor=self._processor.name)
                    count = len(entries)
                    if entries:
                        await self._fold(reader, entries)
                    del (
                        reading,
                        entries,
                    )  # 4 MB of bodies at most: not to be held until the next ones are there
                    await self._tick()
                    if 0 < count < BATCH:
                        await asyncio.wait(
                            {stopping}, timeout=max(0.0, started + self._pace_s - time.monotonic())
                        )
                except Unavailable as error:
                    if (
                        not self._log_away
                    ):  # Once: it is tried every second, and an outage may last for hours.
                        self._log_away = True
                        log.warning(
                            "log unavailable", processor=self._processor.name, error=str(error)
                        )
                    await asyncio.wait({stopping}, timeout=TICK_S)
                    if reader is not None:
                        await reader.close()
                        reader = None
        except StoreUnavailable:
            if not stop.is_set():
                raise
        finally:
            stopping.cancel()
            if reader is not None:
                await reader.close()
            self._thread.shutdown(wait=True)

    async def _start(self, partitions: Collection[int]) -> Mapping[int, int]:
        positions = await self._retried(self._positions)
        for partition in partitions:
            self._loaded.pop(partition, None)
        self._loaded.update(
            {partition: positions[partition] for partition in partitions if partition in positions}
        )
        return {
            partition: positions[partition] for partition in partitions if partition in positions
        }

    def _positions(self) -> dict[int, int]:
        with self._store.snapshot() as snapshot:
            return {
                p.partition: p.next
                for p in snapshot.positions(self._processor.name)
                if p.topic == self._processor.topic
            }

    async def _fold(self, reader: Reader, entries: Sequence[Entry]) -> None:
        decoded = await self._in_thread(self._decode, entries)
        if any(isinstance(outcome, Rejected) for _, outcome in decoded):
            trial = (
                self._limit.copy()
            )  # Too many are not parked at all: the position stays before them.
            for _, outcome in decoded:
                trial.note(rejected=isinstance(outcome, Rejected))
        try:
            await self._settle(decoded)
        except Fenced:
            self._metrics.fenced.inc()
            log.info("fenced", processor=self._processor.name)
            await reader.reload()
            return
        self._committed(
            [
                outcome
                for _, outcome in decoded
                if outcome is not None and not isinstance(outcome, Rejected)
            ]
        )
        await reader.report({entry.partition: self._loaded[entry.partition] for entry in entries})

    def _decode(self, entries: Sequence[Entry]) -> list[tuple[Entry, Event | Rejected | None]]:
        decoded: list[tuple[Entry, Event | Rejected | None]] = []
        for entry in entries:
            try:
                decoded.append((entry, self._processor.decode(entry)))
            except Rejected as rejected:
                decoded.append((entry, rejected))
            except Exception as error:
                decoded.append((entry, Rejected(f"decode_failed_{type(error).__name__}")))
        return decoded

    async def _settle(self, decoded: Sequence[tuple[Entry, Event | Rejected | None]]) -> None:
        """Park what is rejected, fold the rest. Raises Fenced."""
        rejected = [
            parked(entry, outcome) for entry, outcome in decoded if isinstance(outcome, Rejected)
        ]
        if rejected:
            await self._log.append(rejected)
            self._metrics.parked.inc(len(rejected))
        events = [
            outcome
            for _, outcome in decoded
            if outcome is not None and not isinstance(outcome, Rejected)
        ]
        try:
            await self._retried(self._save, [entry for entry, _ in decoded], events)
        except StoreError:
            raise
        except Exception as error:
            if not events:
                raise
            if len(decoded) > 1:
                middle = len(decoded) // 2
                await self._settle(decoded[:middle])
                await self._settle(decoded[middle:])
                return
            entry = decoded[0][0]
            log.error(
                "record could not be folded",
                processor=self._processor.name,
                place=entry.place,
                error=type(error).__name__,
            )
            await self._settle(
                [
                    (
                        entry,
                        error
                        if isinstance(error, Rejected)
                        else Rejected(f"fold_failed_{type(error).__name__}"),
                    )
                ]
            )
            return
        for _, outcome in decoded:
            self._limit.note(rejected=isinstance(outcome, Rejected))

    def _save(self, entries: Sequence[Entry], events: Sequence[Event]) -> None:
        started = time.perf_counter()
        moves: dict[int, Move] = {}
        for entry in entries:
            move = moves.get(entry.partition)
            records = 1 if move is None else move.records + 1
            moves[entry.partition] = Move(
                self._loaded.get(entry.partition), entry.offset + 1, records
            )
        newest = max(entry.record.time_ms for entry in entries)
        with self._store.begin() as transaction:
            transaction.advance(self._processor.name, self._processor.topic, moves, newest)
            if events:
                self._processor.apply(transaction, events, self._clock_ms())
        self._loaded.update({partition: move.next for partition, move in moves.items()})
        self._metrics.records.inc(len(entries))
        self._metrics.batch_s.observe(time.perf_counter() - started)
        self._metrics.event_time_s.set(newest / 1000)

    async def _tick(self) -> None:
        now = time.monotonic()
        if now - self._ticked >= TICK_S:
            self._ticked = now
            await self._retried(self._tick_once)

    def _tick_once(self) -> None:
        with self._store.begin() as transaction:
            self._processor.tick(transaction, self._clock_ms())
            transaction.forget_changes(time.time_ns() // 1_000_000 - CHANGES_KEPT_MS)

    async def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def _retried(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """The database is away, busy or made us a deadlock's victim: nothing happened, so do it again until it works, or until `stop`."""
        attempt = 0
        while True:
            try:
                result = await self._in_thread(call, *arguments)
            except Conflict:
                self._metrics.retries.inc()
            except StoreUnavailable as error:
                self._metrics.retries.inc()
                if self._stop.is_set():
                    raise
                if not self._store_away:
                    self._store_away = True
                    log.warning(
                        "store unavailable", processor=self._processor.name, error=str(error)
                    )
                with suppress(TimeoutError):
                    await asyncio.wait_for(
                        self._stop.wait(), RETRY_S[min(attempt, len(RETRY_S) - 1)]
                    )
                attempt += 1
            else:
                if self._store_away:
                    self._store_away = False
                    log.info("store available again", processor=self._processor.name)
                return result
