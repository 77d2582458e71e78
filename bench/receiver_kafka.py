"""The receiver on Kafka against a bare aiohttp handler, in one run: `python -m bench.receiver_kafka`.

As `bench.receiver`, whose load and report it uses, with a real broker (one node, `acks=all`) that shares the other core with the load.
The bar (DESIGN, 'Numbers to hold'): at least 0.40 of the bare handler, p99 at most 25 ms at 64 connections. The spooled log is the one
that `serve` uses; its spool stays empty here.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from bench import receiver
from bench.kafka_append import loop_factory, pin
from ingest.app import make_app
from ingest.body import Limits
from orderwire.demo.broker import KafkaBroker
from stream.kafka_log import KafkaLog
from stream.metrics import ReceiverMetrics
from stream.spool import SpooledLog

KINDS = {"bare": "read body, 200", "kafka": "+ Kafka, acks=all", "spooled": "+ a spool in front"}


async def serve(kind: str, bootstrap: str, folder: Path) -> None:
    """Serve one of `KINDS` on a free port, which is printed, until standard input ends."""
    log: KafkaLog | SpooledLog | None = None
    if kind == "bare":
        app = web.Application(handler_args={"access_log": None})
        app.router.add_post("/webhooks/shopify", receiver._bare)
    else:
        log = await KafkaLog.open(bootstrap)
        if kind == "spooled":
            log = await SpooledLog.open(log, folder / "spool.db")
        app = make_app(
            log=log,
            shops={receiver.SHOP: [receiver.SECRET]},
            clock=lambda: time.time_ns() // 1_000_000,
            limits=Limits(),
            metrics=ReceiverMetrics(CollectorRegistry()),
        )
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    if log is not None:
        await log.close()


async def child(module: str, *arguments: str) -> asyncio.subprocess.Process:
    """A Python process of ours, spoken to through pipes."""
    return await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


async def compare(bootstrap: str, folder: Path, seconds: float, rounds: int, connections: int) -> dict[str, list[receiver.Round]]:
    """Load every server `rounds` times for `seconds` each, in turn. Rounds by name of the server."""
    servers = {
        kind: await child("bench.receiver_kafka", "--serve", kind, "--bootstrap", bootstrap, "--folder", str(folder)) for kind in KINDS
    }
    results: dict[str, list[receiver.Round]] = {kind: [] for kind in KINDS}
    try:
        ports = {}
        for kind, server in servers.items():
            assert server.stdout is not None
            ports[kind] = (await server.stdout.readline()).decode().strip()
            if not ports[kind]:
                raise SystemExit(f"the {kind} server did not start")
        for number in range(-1, rounds):  # round -1 warms up
            for kind, server in servers.items():
                before_s = receiver._cpu_s(server.pid)
                load = await child(
                    "bench.receiver", "--load", ports[kind], "--seconds", str(seconds if number >= 0 else 0.5),
                    "--connections", str(connections), "--name", f"{kind}-{number}",
                )  # fmt: skip
                told = json.loads((await load.communicate())[0])
                cpu_us = 1e6 * (receiver._cpu_s(server.pid) - before_s) / (told["requests"] + told["refused"])
                if number >= 0:
                    results[kind].append(receiver.Round(told["per_s"], told["p50_ms"], told["p99_ms"], cpu_us, told["refused"]))
    finally:
        for server in servers.values():
            assert server.stdin is not None
            server.stdin.close()
            await server.wait()
    return results


def main() -> None:
    """The comparison; `--serve` is its own child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--bootstrap", help="host:port of a broker; without it one is started")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--serve", choices=KINDS)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        if options.serve:
            pin(receiver.SERVER_CORE)
            runner.run(serve(options.serve, options.bootstrap, options.folder))
            return
        pin(receiver.LOAD_CORE)  # the broker inherits it
        with KafkaBroker(options.bootstrap) as broker, tempfile.TemporaryDirectory() as temporary:
            print(
                f"{options.connections} connections, {len(receiver.order_body())} B body, "
                f"{options.rounds} rounds of {options.seconds:g} s; "
                f"servers on core {receiver.SERVER_CORE}, load and broker on core {receiver.LOAD_CORE} of {os.cpu_count()}; "
                f"load average {os.getloadavg()[0]:.1f}"
            )
            folder = options.folder or Path(temporary)
            receiver.WHAT.update(KINDS)
            receiver.report(runner.run(compare(broker.bootstrap, folder, options.seconds, options.rounds, options.connections)))


if __name__ == "__main__":
    main()
