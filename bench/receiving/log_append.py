"""Appends of 5 kB to the embedded log by 64 concurrent tasks, against bare `sqlite3.executemany` of
as many rows per transaction, in turn (A B A B). Run: python -m bench.receiving.log_append
[seconds per run]

The bare side is the minimum for durable rows: one thread, no event loop, one table row per record.
CPU per record is of the whole process.
"""

import asyncio
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from stream.log.sqlite.log import SqliteLog
from stream.record import Record

APPENDERS = 64
BODY = os.urandom(2_500).hex().encode()
HEADERS = {"source": "shopify", "topic": "orders/create", "shop": "example.myshopify.com"}


class Run(NamedTuple):
    records_per_s: float
    cpu_us: float
    """Of this process, per record."""
    p50_ms: float
    p99_ms: float
    """Of one append, or of one bare transaction."""


def summary(waits_s: list[float], records: int, wall_s: float, cpu_s: float) -> Run:
    ordered = sorted(waits_s)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
    return Run(records / wall_s, cpu_s / records * 1e6, p50, p99)


async def log_run(folder: Path, seconds: float) -> Run:
    """APPENDERS tasks, each with one append of one record in flight."""
    log = await SqliteLog.open(folder / "log.db")
    waits_s: list[float] = []
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()

    async def append(task: int) -> None:
        number = 0
        while (sent_s := time.perf_counter()) < begun_s + seconds:
            number += 1
            await log.append([Record("orders", f"{task}", f"{task}-{number}", 1, HEADERS, BODY)])
            waits_s.append(time.perf_counter() - sent_s)

    await asyncio.gather(*(append(task) for task in range(APPENDERS)))
    wall_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    held = (await log.spans("orders"))[0]
    await log.close()
    assert held.next - held.first == len(waits_s), "every acknowledged append is in the log"
    return summary(waits_s, len(waits_s), wall_s, cpu_s)


def bare_run(folder: Path, seconds: float) -> Run:
    """One transaction of APPENDERS rows after the other."""
    db = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for pragma in ("page_size=16384", "journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute(
        "CREATE TABLE log (id INTEGER PRIMARY KEY, key TEXT, delivery TEXT, time_ms INTEGER, "
        "headers TEXT, body BLOB)"
    )
    rows = [(f"{task}", f"{task}-1", 1, str(HEADERS), BODY) for task in range(APPENDERS)]
    waits_s: list[float] = []
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    while (sent_s := time.perf_counter()) < begun_s + seconds:
        db.execute("BEGIN IMMEDIATE")
        db.executemany(
            "INSERT INTO log (key, delivery, time_ms, headers, body) VALUES (?, ?, ?, ?, ?)", rows
        )
        db.execute("COMMIT")
        waits_s.append(time.perf_counter() - sent_s)
    wall_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    db.close()
    return summary(waits_s, len(waits_s) * APPENDERS, wall_s, cpu_s)


async def run(seconds: float = 3.0, rounds: int = 3) -> None:
    """Print both in one run, and their ratio."""
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, SQLite "
        f"{sqlite3.sqlite_version}, ",
        end="",
    )
    print(
        f"{type(asyncio.get_running_loop()).__module__.split('.')[0]}; {len(BODY)} B bodies, "
        f"{APPENDERS} at once, {seconds:g} s a run"
    )
    runs: dict[str, list[Run]] = {"bare executemany": [], "SqliteLog": []}
    sides: list[tuple[str, Callable[[Path], Awaitable[Run]]]] = [
        ("bare executemany", lambda folder: asyncio.to_thread(bare_run, folder, seconds)),
        ("SqliteLog", lambda folder: log_run(folder, seconds)),
    ]
    for _ in range(rounds):
        for name, side in sides:
            folder = Path(tempfile.mkdtemp())
            runs[name].append(await side(folder))
            shutil.rmtree(folder)
    for name, each in runs.items():
        middle = Run(*(median(values) for values in zip(*each, strict=True)))
        spread = ", ".join(f"{one.records_per_s:,.0f}" for one in each)
        print(
            f"{name:17} {middle.records_per_s:8,.0f} records/s ({spread})  {middle.cpu_us:5.1f} us "
            f"CPU/record  p50 {middle.p50_ms:.2f} ms  p99 {middle.p99_ms:.2f} ms"
        )
    ratio = median(one.records_per_s for one in runs["SqliteLog"]) / median(
        one.records_per_s for one in runs["bare executemany"]
    )
    print(f"SqliteLog / bare: {ratio:.2f}")


def main(seconds: float = 3.0) -> None:
    """On uvloop where it is installed, as the receiver."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(run(seconds))
    else:
        uvloop.run(run(seconds))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0)
