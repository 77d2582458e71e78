"""Compares a receiver with a bare aiohttp handler that reads the body and answers 200.

Every server is a process pinned to one core, loaded from the other core over connections that stay
open. Rounds are short and alternate between all servers (A B C, C B A), so that disturbances hit
all of them. The figure is the median ratio to the bare handler within a round, with quartiles.
"""

import argparse
import asyncio
import gc
import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry

from bench.receiving._cores import LOAD_CORE, SERVER_CORE
from bench.receiving._webhooks import SECRET, SHOP, Answers, Load, order_body
from ingest.receiver.ack import Appends
from ingest.receiver.app import Receiver
from ingest.receiver.body import Limits
from stream.metrics import ReceiverMetrics

BARE = "bare"
WARM_UP_S, SETTLE_S = 0.5, 1.0
"""A round before the first, and the time after the last in which a server finishes what it put off.
"""
END_S = 10.0
"""How long a server may take to end."""

PROCESS_CLOCK = 2
"""CPUCLOCK_SCHED: the kind of clock, in the id that Linux makes of a process's number
(clock_getcpuclockid(3))."""


async def _read(request: web.Request) -> web.Response:
    await request.read()
    return web.Response()


def bare_handler() -> web.BaseRunner:
    """What all are compared with."""
    app = web.Application(handler_args={"access_log": None})
    app.router.add_post("/webhooks/shopify", _read)
    return web.AppRunner(app)


def receiver_on(log: Appends) -> web.BaseRunner:
    """The receiver as the role `receive` serves it."""
    receiver = Receiver(
        log=log,
        shops={SHOP: [SECRET]},
        meta=(),
        clock=lambda: time.time_ns() // 1_000_000,
        limits=Limits(),
        metrics=ReceiverMetrics(CollectorRegistry()),
    )
    return web.ServerRunner(receiver.server())


async def serve(runner: web.BaseRunner) -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    gc.collect()
    gc.freeze()  # as `orderwire.serve.role` does
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


class Measured(NamedTuple):
    """What one server did, round by round."""

    rounds: list[Answers]
    cpu_us: list[float]
    """Per request."""

    @property
    def per_s(self) -> list[float]:
        return [len(of.latencies_s) / of.took_s for of in self.rounds]


class _Server:
    """A server's process, and the load on it."""

    def __init__(self, process: asyncio.subprocess.Process, load: Load) -> None:
        self._clock = ~process.pid << 3 | PROCESS_CLOCK
        self._load = load
        self._rounds: list[Answers] = []
        self._cpu_s: list[float] = []

    def mark(self) -> None:
        """Here a round begins, and the one before it has ended."""
        self._cpu_s.append(time.clock_gettime(self._clock))

    async def round(self, seconds: float) -> None:
        self.mark()
        self._rounds.append(await self._load.run(seconds))

    def measured(self) -> Measured:
        """Without the first round, which warmed up."""
        spent_s = [after - before for before, after in itertools.pairwise(self._cpu_s)]
        requests = [len(of.latencies_s) + of.refused for of in self._rounds]
        return Measured(
            self._rounds[1:],
            [1e6 * cpu_s / count for cpu_s, count in zip(spent_s, requests, strict=True)][1:],
        )


@asynccontextmanager
async def _started(name: str, command: Sequence[str], connections: int) -> AsyncIterator[_Server]:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    load = Load(name)
    try:
        port = (await process.stdout.readline()).decode().strip()
        if not port:
            raise SystemExit(f"the {name} server did not start")
        await load.connect(int(port), connections)
        yield _Server(process, load)
    finally:
        load.close()
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def compare(
    commands: Mapping[str, Sequence[str]], *, seconds: float, rounds: int, connections: int
) -> dict[str, Measured]:
    """Start every server by its command line, load each in turn, then stop them."""
    async with AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(_started(name, command, connections))
            for name, command in commands.items()
        }
        order = list(servers.values())
        for number in range(rounds + 1):
            for server in order:
                await server.round(seconds if number else WARM_UP_S)
            order.reverse()
        await asyncio.sleep(SETTLE_S)
        for server in servers.values():
            server.mark()
        return {name: server.measured() for name, server in servers.items()}


def report(what: Mapping[str, str], results: Mapping[str, Measured]) -> None:
    """By requests: answers per second of wall clock, which a busy machine disturbs most. By CPU:
    seconds of CPU per request of the server process (user and system, all threads); a round's CPU
    ends where the server's next round begins, so that deferred work counts for the round that
    caused it."""
    bare = results[BARE]
    print(
        f"{'':<26}{'req/s':>7}  {'ratio (quartiles)':<20}{'cpu us':>7}  "
        f"{'by cpu (quartiles)':<20}{'p50 ms':>8}{'p99 ms':>8}{'refused':>9}"
    )
    for name, own in results.items():
        by_requests = [mine / theirs for mine, theirs in zip(own.per_s, bare.per_s, strict=True)]
        by_cpu = [theirs / mine for mine, theirs in zip(own.cpu_us, bare.cpu_us, strict=True)]
        latencies_s = sorted(latency for of in own.rounds for latency in of.latencies_s)
        p50_ms, p99_ms = (1e3 * latencies_s[int(len(latencies_s) * share)] for share in (0.5, 0.99))
        print(
            f"{what[name]:<26}{statistics.median(own.per_s):>7.0f}  {_quartiles(by_requests):<20}"
            f"{statistics.median(own.cpu_us):>7.1f}  {_quartiles(by_cpu):<20}"
            f"{p50_ms:>8.1f}{p99_ms:>8.1f}{sum(of.refused for of in own.rounds):>9}"
        )


def _quartiles(values: Sequence[float]) -> str:
    low, middle, high = (
        statistics.quantiles(values, n=4, method="inclusive")
        if len(values) > 1
        else [values[0]] * 3
    )
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def arguments(doc: str | None, kinds: Sequence[str]) -> argparse.ArgumentParser:
    """What every such benchmark can be told. `--serve` is for its own children."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--seconds", type=float, default=1.0, help="per round and server")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument(
        "--folder", type=Path, help="where logs are written; without it a temporary one"
    )
    parser.add_argument("--serve", choices=kinds)
    return parser


def heading(options: argparse.Namespace, folder: Path) -> str:
    """How it was measured."""
    return (
        f"{options.connections} connections, {len(order_body())} B body, {options.rounds} rounds "
        f"of {options.seconds:g} s; servers on core {SERVER_CORE}, load on core {LOAD_CORE} of "
        f"{os.cpu_count()}; load average {os.getloadavg()[0]:.1f}; files in {folder}"
    )
