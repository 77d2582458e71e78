"""How many orders a second one core folds, in batches of 500, into every aggregate. Decoding is not
included.

Histories of one year, half of the orders from known customers: `orders` (every event is a new
order, the most work), `webhooks` (each order created, paid and updated) and `shops` (new orders of
100 shops by turns). `rfm` is the orders processor with RFM's projection only.
"""

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from orderwire.serve.role import settle_garbage_collector
from processors.orders.processor import OrdersProcessor
from processors.shopify.orders import Order
from simulator.servers.postgres import PostgresServer
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, order
from tests.support.shops.folding import all_orders, rfm_orders

BATCH = 500
PER_DAY = 274
"""Orders a day: 100,000 in a year."""
SHOPS = 100


def orders(count: int, *, version: int = 1, seed: int = 1) -> Iterator[Order]:
    """Orders of a shop with half as many customers as orders, in the order in which they come;
    `version` counts what is told of each."""
    rng = random.Random(seed)
    for i in range(count):
        yield order(
            f"{5_000_000_000_000 + i}",
            customer=f"{7_000_000_000_000 + rng.randrange(count // 2)}",
            day=DAY0 + i // PER_DAY,
            total=rng.randrange(500, 20_000),
            version=version,
            landing_site=f"/?utm_source=fb&utm_id={1_200_000 + i % 12}&fbclid=IwAR{i}",
            checkout_token=f"c{i}",
            email=f"buyer{i % 7_919}@example.com",
        )


def webhooks(count: int) -> list[Order]:
    """Created and paid follow each other, the update comes a day of orders later."""
    answer: list[Order] = []
    late: list[Order] = []
    for created, paid, updated in zip(
        *(orders(count // 3, version=version) for version in (1, 2, 3)), strict=True
    ):
        answer += [created, paid]
        late.append(updated)
        if len(late) > PER_DAY:
            answer.append(late.pop(0))
    return answer + late


def shops(count: int) -> list[Order]:
    """New orders of 100 shops by turns."""
    return [
        msgspec.structs.replace(each, shop=f"shop-{number % SHOPS}.myshopify.com")
        for number, each in enumerate(orders(count))
    ]


def measure(
    url: str, events: list[Order], processor: OrdersProcessor, batch: int = BATCH
) -> tuple[float, float]:
    """(events per second of wall clock, events per second of this process's CPU) into an empty
    store."""
    store = SqlStore.open(url)
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


PROCESSORS: dict[str, Callable[[], OrdersProcessor]] = {
    "all": all_orders,
    "rfm": lambda: rfm_orders({}, exact_below=10_000),
}


def main(count: int = 100_000) -> None:
    """Print both databases, both histories and both processors in one run."""
    histories = {
        "orders": list(orders(count)),
        "webhooks": webhooks(count),
        "shops": shops(count),
    }
    with tempfile.TemporaryDirectory(prefix="bench-fold-") as folder, PostgresServer() as server:
        for history, events in histories.items():
            for name, make in PROCESSORS.items():
                title = f"{history}_{name}"
                urls = {
                    "sqlite": f"sqlite:///{Path(folder) / title}.db",
                    "postgresql": server.create_database(title),
                }
                for database, url in urls.items():
                    wall, cpu = measure(url, events, make())
                    print(
                        f"fold {name}, {database}, {history} in batches of {BATCH}:"
                        f" {wall:,.0f} events/s ({cpu:,.0f} per second of our CPU)",
                        flush=True,
                    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
