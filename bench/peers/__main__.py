"""Runs every comparison, or those named: `python -m bench.peers [receivers] [counts] [signals]`.

It prints what README.md quotes, and with `--into README.md` writes it there. Ratios within one run
count: all that is compared takes turns on the same cores.
"""

import argparse
import asyncio
import logging
import os
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.peers import counts, environment, receivers, signals
from bench.peers.events import Written, write
from bench.peers.table import quote
from simulator.servers.broker import KafkaBroker
from simulator.servers.postgres import PostgresServer

ROUNDS_OF_RECEIVERS = 2
"""Short ones: so many for one of the others."""


def _counts(options: argparse.Namespace, peers: str) -> Iterator[str]:
    with KafkaBroker() as broker, PostgresServer() as server:

        async def written() -> list[Written]:
            return [
                await write(broker.bootstrap, "peers-rate", options.events),
                await write(broker.bootstrap, "peers-twice", options.few, times=2, seed=2),
                await write(broker.bootstrap, "peers-killed", options.events, seed=3),
            ]

        rate, twice, killed = asyncio.run(written())
        counting = counts.Counting(broker.bootstrap, server.create_database, peers)
        yield counts.compare(counting, rate, options.rounds)
        yield counts.judge(counting, twice, killed)


def _receivers(options: argparse.Namespace, peers: str) -> Iterator[str]:
    yield receivers.run(peers, options.rounds * ROUNDS_OF_RECEIVERS, seconds=1.0)


def _signals(options: argparse.Namespace, peers: str) -> Iterator[str]:
    yield signals.run(peers, options.signals, options.rounds)


COMPARISONS = {"receivers": _receivers, "counts": _counts, "signals": _signals}


def main() -> None:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("comparisons", nargs="*", choices=[*COMPARISONS, []])
    parser.add_argument("--events", type=int, default=5_000)
    parser.add_argument("--few", type=int, default=2_000)
    parser.add_argument("--signals", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--into", type=Path, help="a file with the comments of bench/peers/table.py"
    )
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # Topics just made have no leader yet.
    peers, began_s = environment.python(), time.monotonic()
    today = datetime.now(UTC)
    heading = (
        f"{today:{today.day} %B %Y}, {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, load before {os.getloadavg()[0]:.1f}; medians of "
        f"{options.rounds} rounds, of {options.rounds * ROUNDS_OF_RECEIVERS} for receivers."
    )
    parts = [heading]
    print(heading)
    for name in options.comparisons or COMPARISONS:
        for part in COMPARISONS[name](options, peers):
            print(f"\n{part}", flush=True)
            parts.append(part)
    if options.into:
        quote(options.into, parts)
    print(f"\nin {time.monotonic() - began_s:.0f} s")


if __name__ == "__main__":
    main()
