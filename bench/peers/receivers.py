"""Receiving webhooks onto Kafka, 200 after the broker's acknowledgement: each against a bare
aiohttp handler, as in `bench.receiving.receiver_kafka`."""

import asyncio
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.peers.table import table
from bench.receiving._against_bare import BARE, Measured, compare
from bench.receiving._cores import LOAD_CORE, loop_factory, pin
from simulator.servers.broker import KafkaBroker
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings

PROGRAMS = {
    "aiohttp": ("aiohttp + aiokafka", "receive_aiohttp"),
    "aiohttp-1MiB": ("the same, 1 MiB batches", "receive_aiohttp", "--batch-bytes", "1048576"),
    "fastapi": ("FastAPI + aiokafka", "receive_fastapi"),
    "fastapi-1MiB": ("the same, 1 MiB batches", "receive_fastapi", "--batch-bytes", "1048576"),
    "starlette": ("Starlette + rdkafka", "receive_starlette"),
    "granian": ("granian RSGI + rdkafka", "receive_granian"),
}
OURS = {BARE: "bare aiohttp, 200", "kafka": "orderwire, Kafka", "sqlite": "orderwire, SQLite"}
CONNECTIONS = 64
TOPIC = "peers-received"


def run(peers: str, rounds: int, seconds: float) -> str:
    """Requests per second and CPU of each, beside the bare handler's."""
    pin(LOAD_CORE)  # the broker inherits it
    with KafkaBroker() as broker, TemporaryDirectory(prefix="bench-peers-") as folder:
        commands = {name: _ours(name, broker.bootstrap, Path(folder)) for name in OURS}
        for name, (_, module, *options) in PROGRAMS.items():
            program = [peers, "-m", f"bench.peers.programs.{module}"]
            commands[name] = [*program, "--bootstrap", broker.bootstrap, "--topic", TOPIC, *options]
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(create_topic(broker.bootstrap, TOPIC))
            results = runner.run(
                compare(commands, seconds=seconds, rounds=rounds, connections=CONNECTIONS)
            )
    return _table(OURS | {name: title for name, (title, *_) in PROGRAMS.items()}, results)


def _table(titles: Mapping[str, str], results: Mapping[str, Measured]) -> str:
    """Medians; a ratio is taken within a round."""
    bare, rows = results[BARE], []
    for name, own in results.items():
        by_rate = [mine / theirs for mine, theirs in zip(own.per_s, bare.per_s, strict=True)]
        by_cpu = [theirs / mine for mine, theirs in zip(own.cpu_us, bare.cpu_us, strict=True)]
        latencies_s = sorted(latency for of in own.rounds for latency in of.latencies_s)
        rows.append(
            (
                titles[name],
                f"{statistics.median(by_rate):.2f}",
                f"{statistics.median(by_cpu):.2f}",
                f"{statistics.median(own.cpu_us):.0f} µs",
                f"{1e3 * latencies_s[int(len(latencies_s) * 0.99)]:.0f} ms",
            )
        )
    return table(
        (
            "receiver on one core, 200 once durable",
            "of bare aiohttp, by rate",
            "by CPU",
            "CPU per request",
            "p99",
        ),
        rows,
    )


def _ours(name: str, bootstrap: str, folder: Path) -> list[str]:
    module = "bench.receiving.receiver" if name == "sqlite" else "bench.receiving.receiver_kafka"
    own = [] if name == "sqlite" else ["--bootstrap", bootstrap]
    command = [sys.executable, "-m", module, "--serve", name, "--folder", str(folder)]
    return [*command, *own]


async def create_topic(bootstrap: str, name: str) -> None:
    """A topic that peers write to."""
    prefix, _, topic = name.rpartition("-")
    log = await KafkaLog.open(bootstrap, KafkaSettings(topic_prefix=f"{prefix}-"), [topic])
    await log.close()
