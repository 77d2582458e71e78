"""How fast a backlog in an embedded log is folded, and with how much of a core, against the runner
of before (a pause after every partial batch).

    python -m bench.folding.catching_up [RECORDS] [BODY_BYTES]
"""

import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from orderwire.serve.role import settle_garbage_collector
from processors.engine.decoding import Decoded
from processors.engine.runner import Pace, Runner
from simulator.shop.shop import ShopSimulator
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Record
from stream.store.sql.store import SqlStore
from tests.support.shops.folding import all_orders

SHOP = "bench.myshopify.com"
PACE = Pace(0.25)
STEP = 200
TOPICS = ("orders/create", "orders/paid", "orders/updated")


class Paced(Runner[Any]):
    """As it went before: no batch is known to be of a backlog, and none is read ahead."""

    def _is_backlog(self, batch: Sequence[Decoded[Any]]) -> bool:
        return False


def bodies(count: int, size: int) -> Iterator[bytes]:
    """Orders of a simulated shop, each made longer by a note."""
    now = datetime.now(UTC) - timedelta(days=2)
    shop = ShopSimulator(1, SHOP, "secret", now, count // 4)
    orders = (each.body for each in shop.stream(now, 50) if each.topic in TOPICS)
    for body in islice(orders, count):
        note = b'"bench_note": "' + b"x" * max(0, size - len(body) - 20) + b'", '
        yield b"{" + note + body[1:]


async def fill(path: Path, count: int, size: int) -> None:
    """Write the backlog: received an hour ago."""
    log = await SqliteLog.open(path)
    received_ms = time.time_ns() // 1_000_000 - 3_600_000
    headers = {"source": "shopify", "shop": SHOP, "topic": "orders/updated"}
    step: list[Record] = []
    for number, body in enumerate(bodies(count, size)):
        step.append(Record("orders", f"k{number}", f"w{number}", received_ms, headers, body))
        if len(step) == STEP or number == count - 1:
            await log.append(step)
            step = []
    await log.close()


def wanted() -> float:
    """Seconds that the threads of this process had a core, or waited for one that others had."""
    tasks = Path("/proc/self/task").glob("*/schedstat")
    return sum(sum(map(int, task.read_text().split()[:2])) for task in tasks) / 1e9


async def catch_up(kind: type[Runner[Any]], path: Path, store: SqlStore, count: int) -> float:
    """Run until the position is the log's end; what all threads have `wanted` by then."""
    log, stop = await SqliteLog.open(path), asyncio.Event()
    metrics = ProcessorMetrics(CollectorRegistry(), "orders")
    runner = kind(all_orders(), log, store, metrics=metrics, pace=PACE)
    running = asyncio.create_task(runner.run(stop))

    def reached() -> int:
        with store.snapshot() as snapshot:
            return max((position.next for position in snapshot.positions()), default=0)

    while await asyncio.to_thread(reached) < count:  # noqa: ASYNC110 - of a store nothing to await
        await asyncio.sleep(0.1)
    wanted_s = wanted()
    stop.set()
    await running
    await log.close()
    return wanted_s


def main(count: int = 100_000, size: int = 12_000) -> None:
    """Print both runs and their ratio."""
    with tempfile.TemporaryDirectory(prefix="bench-catching-up-") as folder:
        path = Path(folder) / "log.db"
        asyncio.run(fill(path, count, size))
        print(f"backlog: {count:,} orders of {size:,} bytes; load {os.getloadavg()[0]:.1f}")
        rates = {}
        for name, kind in {"as it is": Runner, "paced, as before": Paced}.items():
            store = SqlStore.open(f"sqlite:///{folder}/{kind.__name__}.db")
            settle_garbage_collector()
            wall, cpu, before_s = time.perf_counter(), time.process_time(), wanted()
            wanted_s = asyncio.run(catch_up(kind, path, store, count)) - before_s
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            store.close()
            rates[name] = count / wall
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            print(
                f"{name}: {count / wall:,.0f} records/s, {cpu / wall:.0%} of a core"
                f" ({wanted_s / wall:.0%} with waiting for one that others had),"
                f" {cpu / count * 1e6:.0f} us of CPU a record, peak {peak_mb} MB",
                flush=True,
            )
        print(f"ratio: {rates['as it is'] / rates['paced, as before']:.1f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
