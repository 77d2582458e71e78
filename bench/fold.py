"""How many events a second one core folds into the store, in batches of 500, RFM as the example: it has the most tables.

Half of the orders come from customers seen before, spread over a year, as in a shop. Decoding is measured apart.
"""

import random
import sys
import tempfile
import time
from pathlib import Path

from orderwire.demo.postgres import Postgres
from processors.events import Order
from processors.rfm import RfmProcessor
from stream.sql_store import SqlStore
from tests.orders import DAY0, order

BATCH = 500


def orders(count: int, seed: int = 1) -> list[Order]:
    """Orders of a shop with half as many customers as orders, each seen for the first time."""
    rng = random.Random(seed)
    return [
        order(
            f"{5_000_000_000_000 + i}",
            customer=f"{7_000_000_000_000 + rng.randrange(count // 2)}",
            day=DAY0 + rng.randrange(365),
            total=rng.randrange(500, 20_000),
        )
        for i in range(count)
    ]


def measure(url: str, count: int, batch: int = BATCH) -> tuple[float, float]:
    """(events per second of wall clock, events per second of this process's CPU) into an empty store."""
    store = SqlStore.open(url)
    events = orders(count)
    processor = RfmProcessor({}, exact_below=10_000)
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, count, batch):
        with store.begin() as transaction:
            processor.apply(transaction, events[start : start + batch], (DAY0 + 365) * 86_400_000)
        if start % (20 * batch) == 0:
            with store.begin() as transaction:
                processor.tick(transaction, (DAY0 + 365) * 86_400_000)
    result = count / (time.perf_counter() - wall), count / (time.process_time() - cpu)
    store.close()
    return result


def main(count: int = 100_000) -> None:
    """Print both databases in one run."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = measure(f"sqlite:///{Path(folder) / 'state.db'}", count)
        print(f"fold rfm, sqlite, batches of {BATCH}: {wall:,.0f} events/s ({cpu:,.0f} per second of CPU)")
    with Postgres() as server:
        wall, cpu = measure(server.create_database("fold"), count)
        cores = "the server has the other core"
        print(f"fold rfm, postgresql, batches of {BATCH}: {wall:,.0f} events/s ({cpu:,.0f} per second of our CPU; {cores})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
