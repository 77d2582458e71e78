"""Receiving webhooks onto Kafka, 200 after the broker's acknowledgement: each against a bare
aiohttp handler, as in `bench.receiver_kafka`."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bench._against_bare import BARE, compare, report
from bench._cores import LOAD_CORE, loop_factory, pin
from bench.peers.programs._receiving import TOPIC
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


def run(peers: str, rounds: int, seconds: float) -> None:
    """Print requests per second and CPU of each, beside the bare handler's."""
    pin(LOAD_CORE)  # the broker inherits it
    with KafkaBroker() as broker, TemporaryDirectory(prefix="bench-peers-") as folder:
        commands = {name: _ours(name, broker.bootstrap, Path(folder)) for name in OURS}
        for name, (_, module, *options) in PROGRAMS.items():
            program = [peers, "-m", f"bench.peers.programs.{module}"]
            commands[name] = [*program, "--bootstrap", broker.bootstrap, *options]
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(create_topic(broker.bootstrap))
            results = runner.run(
                compare(commands, seconds=seconds, rounds=rounds, connections=CONNECTIONS)
            )
    report(OURS | {name: title for name, (title, *_) in PROGRAMS.items()}, results)


def _ours(name: str, bootstrap: str, folder: Path) -> list[str]:
    module = "bench.receiver" if name == "sqlite" else "bench.receiver_kafka"
    own = [] if name == "sqlite" else ["--bootstrap", bootstrap]
    command = [sys.executable, "-m", module, "--serve", name, "--folder", str(folder)]
    return [*command, *own]


async def create_topic(bootstrap: str) -> None:
    """The topic that the peers' receivers write to."""
    prefix, _, topic = TOPIC.partition("-")
    log = await KafkaLog.open(bootstrap, KafkaSettings(topic_prefix=f"{prefix}-"), [topic])
    await log.close()
