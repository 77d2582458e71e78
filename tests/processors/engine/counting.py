"""A processor that counts what it reads, and what its runner did of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from processors.engine.limits import ParkLimit
from processors.engine.parking import (
    PARKED_CELLS,
)
from processors.engine.processor import Processor
from processors.engine.runner import Runner
from processors.engine.stops import StoppedShop, stopped_shops
from processors.shopify.tolerance import Rejected
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Entry, Record
from stream.store.contract import (
    Cells,
    Transaction,
)
from stream.store.sql.store import SqlStore

COUNTED = Cells(
    "rfm_cell",
    ("shop", "last_day", "orders", "newcomer", "monetary"),
    ("customers", "order_count", "revenue"),
)


class Counting:
    """Counts records by their body; rejects `bad`, cannot fold `poison`, and has a hook that a test
    may set."""

    name = "counting"
    topic = "orders"

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.before_apply: Callable[[], None] = lambda: None

    def decode(self, entry: Entry) -> str | None:
        body = entry.record.body.decode()
        if body == "bad":
            raise Rejected("bad_body")
        if body == "broken":
            raise KeyError("a decoder's own bug")
        return None if body == "ignored" else body

    def apply(self, transaction: Transaction, events: Sequence[str], now_ms: int) -> None:
        self.before_apply()
        if "poison" in events:
            raise ZeroDivisionError
        self.batches.append(len(events))
        transaction.add(COUNTED, {("s", 0, 0, 0, int(event)): (1, 0, 0) for event in events})

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None: ...


SINCE_MS = time.time_ns() // 1_000_000
"""When the first record came. A row of a parked record does not outlive the log's retention."""


def records(*bodies: str, shop: str = "s") -> list[Record]:
    return [
        Record(
            "orders",
            "k",
            body,
            SINCE_MS + number,
            {"shop": shop, "topic": "orders/create"},
            body.encode(),
        )
        for number, body in enumerate(bodies)
    ]


def counted(store: SqlStore) -> dict[int, int]:
    with store.snapshot() as snapshot:
        return {row[4]: row[5] for row in snapshot.changes(COUNTED, None).rows if row[5]}


def parked(store: SqlStore) -> dict[str, int]:
    with store.snapshot() as snapshot:
        return {row[1]: row[2] for row in snapshot.changes(PARKED_CELLS, None).rows if row[2]}


def stopped(store: SqlStore) -> list[StoppedShop]:
    with store.snapshot() as snapshot:
        return stopped_shops(snapshot)


async def parked_records(log: SqliteLog) -> list[Entry]:
    return await log.scan("parked", 0, 0, 1_000)


async def met(condition: Callable[[], bool]) -> None:
    """Wait until it is. Raises TimeoutError."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - nothing to await
            await asyncio.sleep(0.01)


@asynccontextmanager
async def at_work(runner: Runner[str]) -> AsyncIterator[None]:
    """Run while the block does. Raises what the runner raises."""
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def until(
    reached: Callable[[], bool],
    processor: Processor[str],
    log: SqliteLog,
    store: SqlStore,
    limit: ParkLimit | None = None,
) -> None:
    """Run until `reached`. Raises what the runner raises, and TimeoutError."""
    metrics = ProcessorMetrics(CollectorRegistry(), processor.name)
    async with at_work(Runner(processor, log, store, metrics=metrics, limit=limit)):
        await met(reached)


async def run_to_end(
    processor: Processor[str], log: SqliteLog, store: SqlStore, limit: ParkLimit | None = None
) -> None:
    """Run until the processor's position is the log's end. Raises what the runner raises."""
    stop = asyncio.Event()
    metrics = ProcessorMetrics(CollectorRegistry(), processor.name)
    task = asyncio.create_task(
        Runner(processor, log, store, metrics=metrics, limit=limit).run(stop)
    )

    async def at_end() -> None:
        while True:
            end = (await log.spans(processor.topic))[0].next
            with store.snapshot() as snapshot:
                if end == 0 or any(p.next == end for p in snapshot.positions(processor.name)):
                    return
            await asyncio.sleep(0.01)

    waiting = asyncio.create_task(at_end())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    waiting.cancel()
    await task


class Mended(Counting):
    """A later version of the program."""

    def decode(self, entry: Entry) -> str | None:
        return str(100 + entry.offset)
