"""Counting orders per customer from Kafka into something that can be asked: how fast, with how much
CPU and memory, and what is counted after repeats and after kill -9.

Rounds alternate between all programs (A B C, C B A); the figures are medians. Whether a count is
right does not depend on what runs beside it, so those runs go several at a time.
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from bench.peers import environment
from bench.peers.events import Written
from bench.peers.table import table

KILLS = 2
SIDE_BY_SIDE = 3
"""Of the peers' runs that are judged by their count only: they wait most of the time. Ours go one
after another, for they are one consumer group per topic."""
PATIENCE_S = 300


class Program(NamedTuple):
    """One way to count."""

    title: str
    module: str
    kind: str = ""
    ours: bool = False
    store: str = "postgresql"


PROGRAMS = (
    Program("orderwire, RFM, PostgreSQL", "count_orderwire", "rfm", ours=True),
    Program("orderwire, RFM, SQLite", "count_orderwire", "rfm", ours=True, store="sqlite"),
    Program("orderwire, every aggregate, PostgreSQL", "count_orderwire", "all", ours=True),
    Program("aiokafka + psycopg by hand, batched", "count_psycopg"),
    Program("quixstreams", "count_quix"),
    Program("quixstreams, exactly-once", "count_quix", "exactly-once"),
    Program("faust-streaming", "count_faust"),
    Program("FastStream + asyncpg per event", "count_faststream"),
)


class Ended(Exception):
    """A program ended without an answer; the text is the end of what it wrote."""


class Counting:
    """Starts programs on topics; each run has a group, a database and a folder of its own."""

    def __init__(self, bootstrap: str, create_database: Callable[[str], str], peers: str) -> None:
        self._bootstrap, self._create_database, self._peers = bootstrap, create_database, peers
        self._numbers = itertools.count()

    def run(self, program: Program, written: Written, *, kills: int = 0) -> dict[str, Any]:
        """What the program says in the end; `kills` times it is killed on the way and started
        again. Raises Ended."""
        number = next(self._numbers)
        with tempfile.TemporaryDirectory(prefix="bench-peers-") as folder:
            database = (
                f"sqlite:///{folder}/state.db"
                if program.store == "sqlite"
                else self._create_database(f"peers_{number}")
            )
            if not program.ours:
                database = database.replace("postgresql+psycopg://", "postgresql://")
            command = [
                sys.executable if program.ours else self._peers,
                "-m",
                f"bench.peers.programs.{program.module}",
                *("--bootstrap", self._bootstrap, "--topic", written.topic),
                *("--group", f"peers-{number}", "--database", database),
                *("--folder", folder, "--kind", program.kind),
                # After a kill only ours knows how much is counted: its positions say so.
                *("--until", str(0 if kills and not program.ours else written.deliveries)),
            ]
            for _ in range(kills):
                _ended(command, folder, kill_after=written.orders // (KILLS + 1))
            answer = _ended(command, folder)
            if answer is None:
                raise Ended(f"{program.title} was not there to answer")
            return answer


def _ended(command: Sequence[str], folder: str, kill_after: int = 0) -> dict[str, Any] | None:
    """The answer of a program; None where it was killed after so many events."""
    with (
        Path(folder, "errors").open("ab") as errors,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=environment.ROOT,
            env=environment.variables(),
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    process.wait(PATIENCE_S)
                    return dict(json.loads(line))
                if kill_after and line.strip().isdigit() and int(line) >= kill_after:
                    return None
        finally:
            process.kill()
    tail = Path(folder, "errors").read_text(errors="replace")[-2_000:]
    raise Ended(f"{command[2]} ended with {process.returncode}: {tail}")


def compare(counting: Counting, written: Written, rounds: int) -> str:
    """Rate, CPU and memory of each."""
    found: dict[str, list[dict[str, Any]]] = {program.title: [] for program in PROGRAMS}
    order = list(PROGRAMS)
    for _ in range(rounds):
        for program in list(order):
            try:
                found[program.title].append(counting.run(program, written))
            except Ended as error:  # The others are compared all the same.
                print(error, file=sys.stderr, flush=True)
                order.remove(program)
        order.reverse()
    for title in (program.title for program in PROGRAMS if not found[program.title]):
        print(f"{title} did not run")

    def median(title: str, name: str) -> float:
        return float(statistics.median(each[name] for each in found[title]))

    ours_us = median(PROGRAMS[0].title, "cpu_us")
    return table(
        (
            f"{written.orders:,} new orders of one shop, counted per customer",
            "events/s",
            "CPU per event",
            "of orderwire's",
            "peak memory",
        ),
        [
            (
                title,
                f"{median(title, 'per_s'):,.0f}",
                f"{median(title, 'cpu_us'):,.0f} µs",
                f"{median(title, 'cpu_us') / ours_us:.2f}",
                f"{median(title, 'rss_mb'):,.0f} MB",
            )
            for title, answers in found.items()
            if answers
        ],
    )


def judge(counting: Counting, twice: Written, killed: Written) -> str:
    """What each counts when every delivery comes twice, and when it is killed on the way."""
    with ThreadPoolExecutor(1) as ours, ThreadPoolExecutor(SIDE_BY_SIDE) as others:
        restarted, doubled = (
            [
                (ours if program.ours else others).submit(
                    counting.run, program, written, kills=kills
                )
                for program in PROGRAMS
            ]
            for written, kills in ((killed, KILLS), (twice, 0))
        )
    return table(
        (
            "what is counted",
            f"{twice.orders:,} orders, each delivered twice",
            f"{killed.orders:,} orders, kill -9 {KILLS} times",
        ),
        [
            (program.title, _said(one, twice), _said(other, killed))
            for program, one, other in zip(PROGRAMS, doubled, restarted, strict=True)
        ],
    )


def _said(running: "Future[dict[str, Any]]", written: Written) -> str:
    try:
        answer = running.result()
    except Ended as error:
        print(error, file=sys.stderr, flush=True)
        return "ended with an error"
    right = (answer["orders"], answer["revenue"]) == (written.orders, written.revenue)
    return "right" if right else f"{answer['orders']:,}"
