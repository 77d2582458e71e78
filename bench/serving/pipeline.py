"""Orders through a whole `serve`, from the webhook to Meta's stand-in and into every aggregate, on
one machine with the load. Run: `python -m bench.serving.pipeline [sqlite] [kafka]`

Lag is the age of the oldest order that is not yet folded by every processor and settled by the
sender, sampled once a second. CPU is seconds of one core per second, by process; `bench` is this
one, and `rest` everything else on the machine.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orderwire.serve.start.connections import open_log, open_store
from orderwire.settings.program import Settings, child_environment
from simulator.servers.broker import KafkaBroker, free_port
from simulator.servers.missing import Missing
from simulator.servers.postgres import PostgresServer
from simulator.servers.serve import role_of
from stream.log.contract import Log
from stream.store.contract import Store

SHOP, SECRET = "bench.myshopify.com", "bench-secret"
READERS = ("capi", "orders")
"""The processors of orders that run here: no webhook account, and nobody asks for contacts."""
UNSETTLED = "outcome IN ('pending', 'sending', 'maybe_accepted')"
DRAIN_S = 120.0
WARM_UP = 300
MODULE = (sys.executable, "-m")
ORDERWIRE = str(Path(sys.executable).with_name("orderwire"))


@dataclass(slots=True)
class Phase:
    """What one stretch of load showed."""

    sender: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    """From the first request until everything had been folded and sent."""
    lag_s: list[float] = field(default_factory=list)
    """Once a second while the load went on."""
    wire_ms: list[int] = field(default_factory=list)
    """Per event of this phase, webhook received to request on the wire; ascending."""
    cpu: dict[str, float] = field(default_factory=dict)
    order_ms: dict[str, float] = field(default_factory=dict)
    """CPU per order, by process, from the first request until nothing was left to do."""


class Installation:
    """`serve` in a folder of its own, and what surrounds it. Used as a context; everything ends
    with it."""

    def __init__(self, folder: Path, variables: Mapping[str, str], processors: int) -> None:
        """`variables` go before those for SQLite in `folder`; `processors` is how many roles
        `process` there are."""
        self._folder, self._processors = folder, processors
        self._stack = contextlib.ExitStack()
        self._sessions: dict[str, int] = {}
        self.url = f"http://127.0.0.1:{free_port()}"
        self._variables = {
            "ORDERWIRE_LOG_URL": f"sqlite:///{folder}/log.db",
            "ORDERWIRE_STORE_URL": f"sqlite:///{folder}/state.db",
            "ORDERWIRE_RECEIVER": self.url.removeprefix("http://"),
            "ORDERWIRE_CONFIG": f"{folder}/orderwire.toml",
            "ORDERWIRE_SPOOL": f"{folder}/spool.db",
            **variables,
        }
        self._laps = 0

    def __enter__(self) -> "Installation":
        with contextlib.ExitStack() as stack:
            graph = stack.enter_context(
                self._child(
                    "graph", [*MODULE, "simulator.meta.graph", "--only-ids"], stdout=subprocess.PIPE
                )
            )
            assert graph.stdout is not None
            graph_url = graph.stdout.readline().decode().strip()
            lines = {
                "webhook_secret": SECRET,
                "pixel_id": "1234567890",
                "access_token": "token",
                "graph_url": graph_url,
            }
            (self._folder / "orderwire.toml").write_text(
                "\n".join(
                    [
                        f'[shops."{SHOP}"]',
                        *(f'{name} = "{value}"' for name, value in lines.items()),
                        "",
                    ]
                )
            )
            for number in range(self._processors):
                roles = "receive,process" if number == 0 else "process"
                stack.enter_context(
                    self._child(f"serve{number or ''}", [ORDERWIRE, "serve", "--roles", roles])
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def _child(
        self, name: str, command: Sequence[str], stdout: int | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        with (self._folder / f"{name}.log").open("ab") as output:
            environment = child_environment(self._variables)
            process = subprocess.Popen(
                command,
                cwd=self._folder,
                env=environment,
                stdout=stdout or output,
                stderr=output,
                start_new_session=True,
            )
        self._sessions[name] = process.pid
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @contextlib.asynccontextmanager
    async def opened(self) -> Any:
        """The log and the store, beside `serve`."""
        settings = Settings.load(self._variables)
        log, store = await open_log(settings), await asyncio.to_thread(open_store, settings)
        try:
            yield log, store
        finally:
            await log.close()
            store.close()

    async def run(self, log: Log, store: Store, count: int, rate: float | None) -> Phase:
        """Send `count` orders, `rate` a second or as fast as they are taken, and wait until nothing
        is left to do."""
        self._laps += 1
        phase, began_ms = Phase(), time.time_ns() // 1_000_000
        command = [
            *MODULE,
            "simulator.shop.traffic",
            "--url",
            f"{self.url}/webhooks/shopify",
            "--shop",
            SHOP,
            "--secret",
            SECRET,
            "--mix",
            "orders",
        ]
        command += [
            "--seed",
            str(self._laps),
            "--now",
            datetime.now(UTC).isoformat(),
            "--count",
            str(count),
            "--connections",
            "64",
        ]
        command += [] if rate is None else ["--rate", str(rate)]
        with self._child("load", command, stdout=subprocess.PIPE) as load:
            while await self._sent(store, began_ms) == 0:  # It makes its orders first.
                assert load.poll() in (None, 0), f"the load ended with {load.returncode}"
                await asyncio.sleep(0.02)
            before, ended, began_s = (
                self._cpu(),
                resource.getrusage(resource.RUSAGE_CHILDREN),
                time.monotonic(),
            )
            communicating = asyncio.create_task(asyncio.to_thread(load.communicate))
            while not communicating.done():
                await asyncio.wait([communicating], timeout=1.0)
                if not communicating.done():
                    phase.lag_s.append(await self._lag_s(log, store))
            after, own = (
                self._cpu(),
                resource.getrusage(resource.RUSAGE_CHILDREN),
            )  # the load is the only child that has ended
            after["load"] = own.ru_utime + own.ru_stime - ended.ru_utime - ended.ru_stime
            after["rest"] -= after["load"] - before.get("load", 0.0)
            phase.cpu = {
                name: (after[name] - before.get(name, 0.0)) / (time.monotonic() - began_s)
                for name in after
            }
            phase.sender = json.loads((await communicating)[0])
        deadline = time.monotonic() + DRAIN_S
        while await self._lag_s(log, store) > 0:
            assert time.monotonic() < deadline, f"still behind after {DRAIN_S} s"
            await asyncio.sleep(0.02)
        phase.seconds = time.monotonic() - began_s
        done = self._cpu()
        done["rest"] -= after["load"] - before.get("load", 0.0)
        phase.order_ms = {
            name: 1e3 * (used - before.get(name, 0.0)) / count for name, used in done.items()
        }
        with store.snapshot() as snapshot:
            sql = (
                "SELECT sent_ms - received_ms FROM outbox WHERE received_ms >= :since "
                "AND sent_ms > 0"
            )
            rows = snapshot.query(sql, since=began_ms)
        phase.wire_ms = sorted(row[0] for row in rows)
        return phase

    async def _sent(self, store: Store, since_ms: int) -> int:
        def read() -> int:
            with store.snapshot() as snapshot:
                sql = (
                    "SELECT count(*) FROM positions WHERE processor = 'capi' "
                    "AND event_time_ms >= :since"
                )
                return int(snapshot.query(sql, since=since_ms)[0][0])

        return await asyncio.to_thread(read)

    async def _lag_s(self, log: Log, store: Store) -> float:
        def read() -> tuple[dict[tuple[str, int], int], int | None]:
            with store.snapshot() as snapshot:
                waiting = snapshot.query(f"SELECT min(received_ms) FROM outbox WHERE {UNSETTLED}")[
                    0
                ][0]
                return {(p.processor, p.partition): p.next for p in snapshot.positions()}, waiting

        positions, oldest_ms = await asyncio.to_thread(read)
        times_ms = [] if oldest_ms is None else [oldest_ms]
        for partition, span in (await log.spans("orders")).items():
            at = min(positions.get((name, partition), span.first) for name in READERS)
            if at < span.next and (entries := await log.scan("orders", partition, at, 1)):
                times_ms.append(entries[0].record.time_ms)
        return max(0.0, time.time() - min(times_ms) / 1000) if times_ms else 0.0

    def _cpu(self) -> dict[str, float]:
        """CPU seconds used so far, by who it is: roles by their name, others by the session that
        they lead."""
        names = {session: name for name, session in self._sessions.items()}
        ticks, used = os.sysconf("SC_CLK_TCK"), dict[str, float]()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                stat = entry.joinpath("stat").read_text().rpartition(")")[2].split()
                role = role_of(entry)
            except OSError:
                continue
            name = names.get(int(stat[3]))
            if name is not None:
                name = role or name
                used[name] = used.get(name, 0.0) + (int(stat[11]) + int(stat[12])) / ticks
        used["bench"] = time.process_time()
        busy = [
            int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        ]
        used["rest"] = (sum(busy) - busy[3] - busy[4]) / ticks - sum(
            used.values()
        )  # without idle and iowait
        return used


def answer(title: str, phase: Phase, count: int) -> None:
    """Print a phase."""

    def at(values: Sequence[float], share: float) -> str:
        return f"{values[min(len(values) - 1, int(share * len(values)))]:.0f}" if values else "-"

    latency = phase.sender["latency_ms"]
    print(
        f"{title}: {phase.sender['per_s']:,.0f} acknowledged/s, {count / phase.seconds:,.0f} "
        "orders/s all the way"
    )
    print(
        f"  ack ms p50 {latency['p50']:.1f}, p99 {latency['p99']:.1f}, max {latency['max']:.0f}; "
        f"answers {phase.sender['statuses']}"
    )
    print(
        f"  webhook to wire ms p50 {at(phase.wire_ms, 0.5)}, p99 {at(phase.wire_ms, 0.99)} "
        f"({len(phase.wire_ms)} events)"
    )
    print(
        f"  lag s, once a second: {' '.join(f'{lag:.1f}' for lag in phase.lag_s) or '-'}; all done "
        f"{phase.seconds:.1f} s after the first"
    )
    print(
        "  cores used: "
        + ", ".join(
            f"{name} {used:.2f}" for name, used in sorted(phase.cpu.items()) if used >= 0.005
        )
    )
    print(
        "  CPU per order until all was done: "
        + ", ".join(
            f"{name} {used:.2f} ms" for name, used in sorted(phase.order_ms.items()) if used > 0
        ),
        flush=True,
    )


async def measure(
    installation: Installation, phases: Sequence[tuple[str, int, float | None]]
) -> None:
    """Run phases one after the other on one installation."""
    async with installation.opened() as (log, store):
        await installation.run(log, store, WARM_UP, 100)
        for title, count, rate in phases:
            answer(title, await installation.run(log, store, count, rate), count)


def on_sqlite(seconds: float) -> None:
    """The embedded default."""
    print("-- SQLite: receiver, processors with sender; load and Graph stand-in beside them")
    phases = [
        (f"{rate:,} orders/s offered", int(rate * seconds), float(rate))
        for rate in (200, 1_000, 1_500)
    ]
    with tempfile.TemporaryDirectory() as folder, Installation(Path(folder), {}, 1) as installation:
        asyncio.run(
            measure(installation, [*phases, ("as fast as taken", int(1_500 * seconds), None)])
        )


def on_kafka(seconds: float) -> None:
    """Kafka and PostgreSQL, with one, two and three processors."""
    with KafkaBroker() as broker, PostgresServer() as postgres:
        for processors in (1, 2, 3):
            print(
                f"-- Kafka and PostgreSQL, {processors} x process; broker, database, load and "
                "Graph stand-in beside them"
            )
            variables = {
                "ORDERWIRE_LOG_URL": f"kafka://{broker.bootstrap}",
                "ORDERWIRE_STORE_URL": postgres.create_database(f"bench_{processors}"),
                "ORDERWIRE_KAFKA_TOPIC_PREFIX": f"bench-{processors}-",
                "ORDERWIRE_KAFKA_PARTITIONS": "6",
            }
            phases: list[tuple[str, int, float | None]] = [
                ("as fast as taken", int(500 * seconds), None)
            ]
            if processors == 1:
                phases[:0] = [
                    (f"{rate} orders/s offered", int(rate * seconds), float(rate))
                    for rate in (200, 500)
                ]
            with (
                tempfile.TemporaryDirectory() as folder,
                Installation(Path(folder), variables, processors) as installation,
            ):
                asyncio.run(measure(installation, phases))


def main(argv: list[str] | None = None) -> int:
    """Measure what is named, or both."""
    parser = argparse.ArgumentParser(
        "python -m bench.serving.pipeline", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "on", nargs="*", choices=("sqlite", "kafka", []), help="both where left out"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=15.0,
        help="per phase at a rate; the others send as many as these would",
    )
    arguments = parser.parse_args(argv)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores shared by all, load before "
        f"{os.getloadavg()[0]:.1f}"
    )
    for name, run in {"sqlite": on_sqlite, "kafka": on_kafka}.items():
        if not arguments.on or name in arguments.on:
            try:
                run(arguments.seconds)
            except Missing as missing:
                print(f"not measured: {missing}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
