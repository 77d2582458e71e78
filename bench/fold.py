"""How many events a second one core folds into the store, in batches of 500, RFM as the example: it has the most tables.

Two histories of one year, half of the orders from customers seen before, caught up with at the year's end (that is when batches are
full). `orders`: every event is an order never seen before, which is the most work that an event can be. `webhooks`: each order as Shopify
tells it, created, paid and updated, the last one in a later batch (it changes nothing that counts). Decoding is measured apart.
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from orderwire.serve.role import settle_garbage_collector
from processors.shopify.orders import Order
from simulator.servers.postgres import Postgres
from stream.store.sql.store import SqlStore
from tests.support.folding import rfm_orders
from tests.support.orders import DAY0, order

BATCH = 500
PER_DAY = 274
"""Orders a day: 100,000 in a year."""


def orders(count: int, *, version: int = 1, seed: int = 1) -> Iterator[Order]:
    """Orders of a shop with half as many customers as orders, in the order in which they come; `version` counts what is told of each."""
    rng = random.Random(seed)
    for i in range(count):
        yield order(
            f"{5_000_000_000_000 + i}",
            customer=f"{7_000_000_000_000 + rng.randrange(count // 2)}",
            day=DAY0 + i // PER_DAY,
            total=rng.randrange(500, 20_000),
            version=version,
        )


def webhooks(count: int) -> list[Order]:
    """Created and paid follow each other, the update comes a day of orders later."""
    told: list[Order] = []
    late: list[Order] = []
    for created, paid, updated in zip(
        *(orders(count // 3, version=version) for version in (1, 2, 3)), strict=True
    ):
        told += [created, paid]
        late.append(updated)
        if len(late) > PER_DAY:
            told.append(late.pop(0))
    return told + late


def measure(url: str, events: list[Order], batch: int = BATCH) -> tuple[float, float]:
    """(events per second of wall clock, events per second of this process's CPU) into an empty store."""
    store = SqlStore.open(url)
    processor = rfm_orders({}, exact_below=10_000)
    settle_garbage_collector()
    wall, cpu = time.perf_counter(), time.process_time()
    now_ms = (events[-1].day + 1) * 86_400_000
    for start in range(0, len(events), batch):
        with store.begin() as transaction:
            processor.apply(transaction, events[start : start + batch], now_ms)
        if start % (20 * batch) == 0:
            with store.begin() as transaction:
                processor.tick(transaction, now_ms)
    result = len(events) / (time.perf_counter() - wall), len(events) / (time.process_time() - cpu)
    store.close()
    return result


def main(count: int = 100_000) -> None:
    """Print both databases and both histories in one run."""
    histories = {"orders": list(orders(count)), "webhooks": webhooks(count)}
    with tempfile.TemporaryDirectory() as folder:
        for name, events in histories.items():
            wall, cpu = measure(f"sqlite:///{Path(folder) / name}.db", events)
            print(
                f"fold rfm, sqlite, {name} in batches of {BATCH}: {wall:,.0f} events/s ({cpu:,.0f} per second of CPU)"
            )
    with Postgres() as server:
        for name, events in histories.items():
            wall, cpu = measure(server.create_database(name), events)
            told = f"{wall:,.0f} events/s ({cpu:,.0f} per second of our CPU; the server has the other core)"
            print(f"fold rfm, postgresql, {name} in batches of {BATCH}: {told}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
