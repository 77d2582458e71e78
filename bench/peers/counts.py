"""Counting orders per customer from Kafka into something that can be asked: how fast, with how much
CPU and memory, and what is counted after repeats and after kill -9.

Rounds alternate between all programs (A B C, C B A); the figures are medians.
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.peers import environment
from bench.peers.events import Written

KILLS = 2
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


class Counting:
    """Starts programs on topics; each run has a group, a database and a folder of its own."""

    def __init__(self, bootstrap: str, create_database: Callable[[str], str], peers: str) -> None:
        self._bootstrap, self._create_database, self._peers = bootstrap, create_database, peers
        self._numbers = itertools.count()

    def run(self, program: Program, written: Written, *, kills: int = 0) -> dict[str, Any]:
        """What the program says in the end; `kills` times it is killed on the way and started
        again."""
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
                raise SystemExit(f"{program.title} ended without an answer")
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
    raise SystemExit(f"{command[2]} ended with {process.returncode}: {tail}")


def compare(counting: Counting, written: Written, rounds: int) -> None:
    """Print rate, CPU and memory of each."""
    found: dict[str, list[dict[str, Any]]] = {program.title: [] for program in PROGRAMS}
    order = list(PROGRAMS)
    for _ in range(rounds):
        for program in order:
            found[program.title].append(counting.run(program, written))
        order.reverse()

    def median(title: str, name: str) -> float:
        return float(statistics.median(each[name] for each in found[title]))

    first = PROGRAMS[0].title
    print(
        f"\n{written.orders:,} new orders of one shop, counted per customer\n"
        f"{'':<40}{'events/s':>9}{'CPU us/event':>14}{'ratio of CPU':>14}{'peak MB':>9}"
    )
    for program in PROGRAMS:
        title, cpu_us = program.title, median(program.title, "cpu_us")
        print(
            f"{title:<40}{median(title, 'per_s'):>9,.0f}{cpu_us:>14,.0f}"
            f"{cpu_us / median(first, 'cpu_us'):>14.2f}{median(title, 'rss_mb'):>9,.0f}"
        )


def judge(counting: Counting, twice: Written, killed: Written) -> None:
    """Print what each counts when every delivery comes twice, and when it is killed on the way."""
    print(
        f"\n{'':<40}{'each delivered twice':>24}{f'killed -9 {KILLS} times':>24}\n"
        f"{'orders there are':<40}{twice.orders:>24,}{killed.orders:>24,}"
    )
    for program in PROGRAMS:
        doubled = counting.run(program, twice)
        restarted = counting.run(program, killed, kills=KILLS)
        print(f"{program.title:<40}{_said(doubled, twice):>24}{_said(restarted, killed):>24}")


def _said(answer: dict[str, Any], written: Written) -> str:
    right = (answer["orders"], answer["revenue"]) == (written.orders, written.revenue)
    return f"{answer['orders']:,} {'right' if right else 'wrong'}"
