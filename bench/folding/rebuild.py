"""How long a rebuild of RFM from stored orders takes, and how long live orders wait meanwhile.

    python -m bench.folding.rebuild [ORDERS] [scattered]

A year's orders lie in a SQLite store, half as many customers as orders, counted nowhere; buyers
come back after 45 days in the mean. `scattered`, the worst case: a customer's orders lie anywhere
in ten years. One thread rebuilds as `serve` does; another folds 200 new orders a second.
"""

import asyncio
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from aggregates.rfm.fold.projection import RfmFold
from bench.folding.fold import PER_DAY, orders
from orderwire.serve.role import settle_garbage_collector
from orderwire.serve.upkeep.rebuilding import rebuild
from processors.engine.rebuild import pending
from processors.orders.currency import CURRENCY
from processors.orders.processor import OrdersProcessor
from processors.orders.row import ORDERS
from processors.orders.state import fold
from processors.shopify.orders import Order
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, order

PAGE = 5_000
BACK_DAYS = 45
"""After so many in the mean a customer orders again."""
LIVE_PER_S = 200
EVERY_S = 0.05
"""Seconds between live batches."""


def of_a_year(count: int) -> Iterator[Order]:
    """Orders in the order in which they come, every other one of a new customer."""
    rng, customers, mean = random.Random(1), 0, BACK_DAYS / 365 * count / 2
    for number, each in enumerate(orders(count)):
        if number % 2:
            buyer = max(0, customers - int(rng.expovariate(1 / mean)))
        else:
            buyer = customers = customers + 1
        yield order(
            each.order_id,
            customer=f"{7_000_000_000_000 + buyer}",
            day=DAY0 + 365 * number // count,
            total=rng.randrange(500, 20_000),
        )


def fill(store: SqlStore, coming: Iterator[Order]) -> None:
    """Save orders that no aggregate counts."""
    while page := [fold(None, each) for each in islice(coming, PAGE)]:
        with store.begin() as transaction:
            transaction.save(ORDERS, page)


class Live(threading.Thread):
    """Folds new orders at a steady rate until `stop` is set; `lags_s` are from due to committed."""

    def __init__(self, store: SqlStore, processor: OrdersProcessor, day: int) -> None:
        super().__init__(name="live")
        self._store, self._processor, self._day = store, processor, day
        self.stop = threading.Event()
        self.lags_s: list[float] = []

    def run(self) -> None:
        began_s, number, each_time = time.monotonic(), 0, round(LIVE_PER_S * EVERY_S)
        while not self.stop.is_set():
            due_s = began_s + len(self.lags_s) * EVERY_S
            time.sleep(max(0.0, due_s - time.monotonic()))
            numbers = range(number, number + each_time)
            number += each_time
            events = [
                order(
                    f"{9_000_000_000_000 + n}", customer=f"{7_000_000_000_000 + n}", day=self._day
                )
                for n in numbers
            ]
            with self._store.begin() as transaction:
                self._processor.apply(transaction, events, (self._day + 1) * 86_400_000)
            self.lags_s.append(time.monotonic() - due_s)


async def rebuilt(store: SqlStore, rfm: RfmFold) -> float:
    """Rebuild until nothing is left to do; seconds."""
    projections = {each.name: each for each in (CURRENCY, rfm.projection())}
    now_ms = (DAY0 + 5_000) * 86_400_000

    def left() -> bool:
        with store.snapshot() as snapshot:
            return bool(pending(snapshot, projections.values()))

    began_s = time.monotonic()
    running = asyncio.create_task(rebuild(store, projections, lambda: now_ms))
    await asyncio.sleep(0.5)  # until what is missing is registered
    while await asyncio.to_thread(left):  # noqa: ASYNC110 - of a store nothing to await
        await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return time.monotonic() - began_s


def main(count: int = 1_000_000, *, scattered: bool = False) -> None:
    """Print the time of the rebuild, and how long live orders waited."""
    history, days = (orders, count // PER_DAY) if scattered else (of_a_year, 365)
    with tempfile.TemporaryDirectory(prefix="bench-rebuild-") as folder:
        store = SqlStore.open(f"sqlite:///{Path(folder) / 'state.db'}")
        fill(store, history(count))
        print(f"{count:,} orders stored of {days:,} days", flush=True)
        settle_garbage_collector()
        rfm = RfmFold()
        live = Live(store, OrdersProcessor({}, (CURRENCY, rfm.projection())), DAY0 + days)
        live.start()
        cpu_s = time.process_time()
        try:
            took_s = asyncio.run(rebuilt(store, rfm))
        finally:
            live.stop.set()
            live.join()
        cpu_s = time.process_time() - cpu_s
        lags = sorted(live.lags_s)
        print(
            f"rebuilt in {took_s:.0f} s ({count / took_s:,.0f} orders/s, {cpu_s / took_s:.0%} of a"
            f" core with the live orders); {LIVE_PER_S} live orders a second committed"
            f" p50 {lags[len(lags) // 2] * 1e3:.0f} ms, p99 {lags[len(lags) * 99 // 100] * 1e3:.0f}"
            f" ms, at most {lags[-1] * 1e3:.0f} ms after they were due"
        )
        with store.snapshot() as snapshot:
            [(counted,)] = snapshot.query("SELECT sum(customers) FROM rfm_last_day_cell")
            print(f"{counted:,} customers counted")
        store.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), scattered="scattered" in sys.argv)
