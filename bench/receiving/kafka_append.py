"""Appends of 5 kB to a real Kafka broker by 64 concurrent tasks: our batches against aiokafka's
`send`, in turn (A B A B). Run: python -m bench.receiving.kafka_append [seconds per run]

Both producers are idempotent with `acks=all`, linger 0 and batches of 1 MiB, on one topic of 8
partitions. This process has core 0, the broker core 1. CPU per record is this process's own.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from bench.receiving._cores import LOAD_CORE, SERVER_CORE, loop_factory, pin
from simulator.servers.broker import KafkaBroker
from stream.log.kafka.client import BATCH_BYTES
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.records import encode
from stream.log.kafka.settings import KafkaSettings
from stream.record import Record

APPENDERS, ROUNDS = 64, 4
BODY = os.urandom(2_500).hex().encode()
HEADERS = {
    "source": "shopify",
    "topic": "orders/create",
    "shop": "example.myshopify.com",
    "api_version": "2026-10",
}


class Run(NamedTuple):
    """One way of appending, loaded for a while."""

    per_s: float
    cpu_us: float
    p50_ms: float
    p99_ms: float


async def load(append: Callable[[Record], Awaitable[object]], seconds: float) -> Run:
    """Keep `APPENDERS` appends under way for `seconds`."""
    waits_s: list[float] = []
    began_s, cpu_s = time.perf_counter(), time.process_time()

    async def appender(number: int) -> None:
        n = number
        while (now_s := time.perf_counter()) - began_s < seconds:
            await append(
                Record(
                    "orders",
                    f"example.myshopify.com {n}",
                    f"id-{n}",
                    1_790_000_000_000,
                    HEADERS,
                    BODY,
                )
            )
            waits_s.append(time.perf_counter() - now_s)
            n += APPENDERS

    await asyncio.gather(*(appender(number) for number in range(APPENDERS)))
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    waits_s.sort()
    p50, p99 = (1e3 * waits_s[int(len(waits_s) * share)] for share in (0.5, 0.99))
    return Run(len(waits_s) / wall_s, 1e6 * cpu_s / len(waits_s), p50, p99)


async def main(bootstrap: str, seconds: float) -> None:
    """Compare, and print medians over the rounds."""
    log = await KafkaLog.open(bootstrap, KafkaSettings(), topics=["orders"])
    client: Any = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=True,
        linger_ms=0,
        max_batch_size=BATCH_BYTES,
    )
    await client.start()

    async def ours(record: Record) -> None:
        await log.append([record])

    async def send(record: Record) -> None:
        message = encode(record, "")
        await client.send_and_wait("orders", message.value, message.key, headers=message.headers)

    ways = {"lanes of batches": ours, "aiokafka send": send}
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for number in range(-1, ROUNDS):  # round -1 warms up
        for name, append in ways.items():
            run = await load(append, seconds if number >= 0 else 1)
            if number >= 0:
                runs[name].append(run)
    machine = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    print(f"{APPENDERS} appenders, {len(BODY)} B, {ROUNDS} rounds of {seconds:g} s, {machine}")
    print(f"{'':<20}{'records/s':>10}{'cpu us':>9}{'p50 ms':>9}{'p99 ms':>9}")
    for name, of in runs.items():
        per_s, cpu_us, p50, p99 = (median(column) for column in zip(*of, strict=True))
        print(f"{name:<20}{per_s:>10.0f}{cpu_us:>9.1f}{p50:>9.1f}{p99:>9.1f}")
    ratio = median(a.cpu_us / b.cpu_us for a, b in zip(*runs.values(), strict=True))
    print(f"cpu per record, lanes to send: {ratio:.2f}")
    await client.stop()
    await log.close()


if __name__ == "__main__":
    pin(LOAD_CORE)
    with KafkaBroker() as broker, asyncio.Runner(loop_factory=loop_factory()) as runner:
        pin(SERVER_CORE)
        runner.run(main(broker.bootstrap, float(sys.argv[1]) if len(sys.argv) > 1 else 4.0))
