"""What an order costs in CPU with more partitions and more processors, on Kafka and PostgreSQL:
`python -m bench.folding.scaling [--orders N] [--rounds N]`.

Two cores cannot show more orders per second, but whether the cost of one stays flat. Each round
folds one topic into every aggregate from an empty database; rounds alternate between all layouts.
The bar: at most 15 % between the cheapest and the dearest.
"""

import argparse
import asyncio
import logging
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from bench.peers import environment
from bench.peers.events import Written, write
from simulator.servers.broker import KafkaBroker
from simulator.servers.postgres import PostgresServer

LAYOUTS: Final = ((1, 1), (4, 1), (8, 1), (8, 2), (8, 4))
"""(partitions, processors)."""
PATIENCE_S = 300.0


class Cost(NamedTuple):
    """CPU microseconds per order."""

    ours: float
    database: float
    batch: float
    """Orders in one."""

    @property
    def both(self) -> float:
        return self.ours + self.database


def database_cpu_s(server: PostgresServer) -> float:
    """CPU seconds of the server's processes, of those that have ended as well."""
    main = int((server.directory / "postmaster.pid").read_text().split("\n", 1)[0])
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(path.parent.name) == main:
            ticks += sum(map(int, fields[11:15]))
        elif int(fields[1]) == main:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def fold(
    broker: KafkaBroker, server: PostgresServer, written: Written, processors: int, name: str
) -> Cost:
    """Fold the topic with so many processes."""
    database = server.create_database(name)
    before_s = database_cpu_s(server)
    with tempfile.TemporaryDirectory(prefix="bench-scaling-") as folder, ExitStack() as stack:
        command = [sys.executable, "-m", "bench.peers.programs.count_orderwire"]
        command += ["--bootstrap", broker.bootstrap, "--topic", written.topic, "--group", name]
        command += ["--database", database, "--folder", folder, "--kind", "all"]
        command += ["--until", str(written.deliveries)]
        started = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    cwd=environment.ROOT,
                    env=environment.variables(),
                )
            )
            for _ in range(processors)
        ]
        for each in started:
            stack.callback(each.kill)  # Where this program is interrupted.
        answers = [
            orjson.loads(each.communicate(timeout=PATIENCE_S)[0].splitlines()[-1])
            for each in started
        ]
    counted = max(each["orders"] for each in answers)
    assert counted == written.orders, f"{counted} of {written.orders} counted"
    ours_us = sum(each["cpu_us"] * each["events"] for each in answers)
    theirs_us = 1e6 * (database_cpu_s(server) - before_s)
    batches = sum(each["batches"] for each in answers)
    events = sum(each["events"] for each in answers)
    return Cost(ours_us / written.orders, theirs_us / written.orders, events / batches)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the cost of each layout."""
    parser = argparse.ArgumentParser(description=__doc__)
    # With few orders the joining of members to their group, whose cost is fixed, weighs most.
    parser.add_argument("--orders", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args(argv)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # Topics just made have no leader yet.
    found: dict[tuple[int, int], list[Cost]] = {layout: [] for layout in LAYOUTS}
    with KafkaBroker() as broker, PostgresServer() as server:

        async def written() -> dict[int, Written]:
            return {
                partitions: await write(
                    broker.bootstrap, f"scaling-{partitions}", options.orders, partitions=partitions
                )
                for partitions in sorted({partitions for partitions, _ in LAYOUTS})
            }

        topics = asyncio.run(written())
        order = list(LAYOUTS)
        for number in range(options.rounds):
            for partitions, processors in order:
                name = f"scaling_{partitions}_{processors}_{number}"
                cost = fold(broker, server, topics[partitions], processors, name)
                found[partitions, processors].append(cost)
            order.reverse()
    print(
        f"{options.orders:,} new orders, every aggregate; {os.cpu_count()} cores, "
        f"{platform.machine()}, medians of {options.rounds} rounds\n"
        f"{'partitions':>10}{'processors':>12}{'our us':>9}"
        f"{'database us':>13}{'both':>7}{'ratio':>7}{'orders a batch':>16}"
    )
    medians = {
        layout: Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))
        for layout, costs in found.items()
    }
    least = min(cost.both for cost in medians.values())
    for (partitions, processors), cost in medians.items():
        print(
            f"{partitions:>10}{processors:>12}{cost.ours:>9.0f}{cost.database:>13.0f}"
            f"{cost.both:>7.0f}{cost.both / least:>7.2f}{cost.batch:>16.0f}"
        )


if __name__ == "__main__":
    main()
