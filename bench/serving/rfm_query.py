"""`GET /v1/rfm` at 1,000,000 customers while 500 events/s arrive, over HTTP, against the same
scores by batch: a loop over orders, pandas `qcut`, and NTILE in SQLite. Run: python -m
bench.serving.rfm_query [customers] [seconds]

Bars: p99 <= 50 ms (docs/architecture.md, "Numbers to hold"). Three processes, as in `serve`: one
folds, one answers, this one asks 50 times a second.
"""

import asyncio
import gc
import os
import platform
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp
import numpy as np
from aiohttp import web
from prometheus_client import CollectorRegistry

from aggregates.arrays import Ints
from aggregates.rfm.fold import customer as rfm_customer
from aggregates.rfm.fold.customer import CUSTOMERS, DAYS, CustomerRow, DayRow
from aggregates.rfm.fold.projection import NAME, VERSION
from aggregates.rfm.fold.shop import SHOPS, RfmShopRow
from bench.models.refit import SPEND, TRUE
from processors.engine.processor import Deltas
from processors.engine.projection import PROJECTIONS, new_row
from query.api_settings import ApiSettings, ShopAnswerSettings
from query.app import make_app
from stream.log.sqlite.log import SqliteLog
from stream.store.contract import Move
from stream.store.sql.store import SqlStore
from tests.support.shops.folding import rfm_orders

SHOP, DAY0 = "example.myshopify.com", 20_000
SPAN_DAYS = 730
TODAY = DAY0 + SPAN_DAYS
NOW_MS = TODAY * 86_400_000 + 12 * 3_600_000
EVENTS_PER_S, ASKED_PER_S, BATCHES_PER_S = 500, 50, 50
CHUNK = 100_000


class Orders(NamedTuple):
    """One entry per purchase day, ascending by customer and day."""

    customer: Ints
    day: Ints
    cents: Ints


def simulate(customers: int, seed: int = 20261122) -> Orders:
    """Purchases of customers who joined evenly over the span, each with a rate, a chance to leave
    and a level of spending of their own."""
    rng = np.random.default_rng(seed)
    moment = rng.uniform(0, SPAN_DAYS, customers)
    rate = rng.gamma(TRUE.r, 1 / TRUE.alpha, customers) / 7
    leaves = np.clip(rng.beta(TRUE.a, TRUE.b, customers), 1e-9, 1)
    level = SPEND.p / rng.gamma(SPEND.q, 1 / SPEND.v, customers)
    active, found = np.arange(customers), []
    while len(active):
        spent = level[active] * rng.gamma(SPEND.p, 1 / SPEND.p, len(active))
        found.append(
            (active, moment[active].astype(np.int64), np.rint(100 * spent).astype(np.int64))
        )
        moment[active] += 1 + rng.exponential(1.0, len(active)) / np.maximum(rate[active], 1e-12)
        active = active[(moment[active] < SPAN_DAYS) & (rng.random(len(active)) > leaves[active])]
    customer, day, cents = (np.concatenate(column) for column in zip(*found, strict=True))
    order_ = np.lexsort((day, customer))
    return Orders(customer[order_], DAY0 + 1 + day[order_], cents[order_])


def customer_id(number: int) -> str:
    return f"{7_000_000_000_000 + number}"


def write(store: SqlStore, orders: Orders, today: int = TODAY) -> None:
    """The shop's customers, days and cells as of `today`, the last day of `orders`, in bins as a
    shop of this size has them."""
    deltas, cutoff = Deltas(), today - 365
    with store.begin() as transaction:
        transaction.save(SHOPS, [RfmShopRow(SHOP, "USD", today, 0)])
        transaction.save(PROJECTIONS, [new_row(SHOP, NAME, VERSION)])
    starts = np.append(
        np.flatnonzero(np.diff(orders.customer, prepend=-1)), len(orders.customer)
    ).tolist()
    numbers, days, cents = (column.tolist() for column in orders)
    for first in range(0, len(starts) - 1, CHUNK):
        rows: list[CustomerRow] = []
        day_rows: list[DayRow] = []
        for start, end in zip(
            starts[first : first + CHUNK], starts[first + 1 : first + CHUNK + 1], strict=False
        ):
            own = [
                DayRow(SHOP, customer_id(numbers[start]), days[i], 1, cents[i])
                for i in range(start, end)
            ]
            row = rfm_customer.from_days(SHOP, own[0].customer, own, cutoff)
            assert row is not None
            day_rows += own if row.days > 1 else []
            rows.append(row)
            deltas.add(rfm_customer.cells(row, exact=False))
        with store.begin() as transaction:
            transaction.save(CUSTOMERS, rows)
            transaction.save(DAYS, day_rows)
    with store.begin() as transaction:
        deltas.save(transaction)


def fold(url: str, customers: int) -> None:
    """500 orders a second, half of them of customers known, until killed."""
    from tests.support.shopify.orders import (
        order,  # brings hypothesis, which the process that answers must not be charged with
    )

    store, processor, rng = SqlStore.open(url), rfm_orders({}), random.Random(7)
    number, position, due = 0, None, time.perf_counter()
    size = EVENTS_PER_S // BATCHES_PER_S
    while True:
        batch = []
        for _ in range(size):
            number += 1
            who = rng.randrange(customers) if number % 2 else customers + number
            batch.append(
                order(
                    f"{number}",
                    customer=customer_id(who),
                    day=TODAY,
                    total=rng.randrange(500, 20_000),
                )
            )
        with store.begin() as transaction:
            transaction.advance("orders", "orders", {0: Move(position, number, size)}, NOW_MS)
            processor.apply(transaction, batch, NOW_MS)
            transaction.forget_changes(time.time_ns() // 1_000_000 - 60_000)
        position = number
        due += 1 / BATCHES_PER_S
        time.sleep(max(0.0, due - time.perf_counter()))


async def serve(url: str, log_path: str) -> None:
    """The API in a process of its own; prints its port."""
    from orderwire.serve.roles.query import SWITCH_S  # what it imports is not `main`'s to hold

    store, log = SqlStore.open(url), await SqliteLog.open(log_path)
    settings = ApiSettings(shops={SHOP: ShopAnswerSettings()})
    gc.collect()
    gc.freeze()  # as `orderwire.serve.role` does
    sys.setswitchinterval(SWITCH_S)  # as `orderwire.serve.roles.query` does
    app = make_app(
        store=store, log=log, settings=settings, clock=lambda: NOW_MS, registry=CollectorRegistry()
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    print(site._server.sockets[0].getsockname()[1], flush=True)  # type: ignore[attr-defined]
    await asyncio.Event().wait()


async def ask(port: int, seconds: float) -> list[float]:
    """Milliseconds per answer; the first few warm up and are left out."""
    taken: list[float] = []
    async with aiohttp.ClientSession() as session:
        for _ in range(5):
            async with session.get(f"http://127.0.0.1:{port}/v1/rfm") as response:
                assert response.status == 200, await response.text()
                await response.read()
        due = time.perf_counter()
        while len(taken) < seconds * ASKED_PER_S:
            began = time.perf_counter()
            async with session.get(f"http://127.0.0.1:{port}/v1/rfm") as response:
                await response.read()
                assert response.status == 200
            taken.append(1000 * (time.perf_counter() - began))
            due += 1 / ASKED_PER_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
    return taken


def memory_mb(pid: int) -> tuple[float, float]:
    """(resident now, resident at most) of a process, MB."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))  # type: ignore[return-value]


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def loop_over_orders(orders: Orders) -> object:
    """The specification's: every order of a year into a dictionary, then quintiles by sorted
    position."""
    last: dict[int, int] = {}
    count: defaultdict[int, int] = defaultdict(int)
    spent: defaultdict[int, int] = defaultdict(int)
    for customer, day, cents in zip(*(column.tolist() for column in orders), strict=True):
        last[customer] = max(last.get(customer, 0), day)
        count[customer] += 1
        spent[customer] += cents
    scores = []
    for values in (last, count, spent):
        ordered = sorted(values, key=values.__getitem__)
        scores.append(
            {
                customer: 1 + 5 * position // len(ordered)
                for position, customer in enumerate(ordered)
            }
        )
    segments: defaultdict[tuple[int, int], int] = defaultdict(int)
    for customer in last:
        segments[scores[0][customer], (scores[1][customer] + scores[2][customer] + 1) // 2] += 1
    return segments


def with_pandas(orders: Orders) -> object:
    """The common recipe: group, rank, qcut, group again."""
    import pandas as pd  # here, so that the process that answers is not charged with it

    frame = (
        pd.DataFrame(orders._asdict())
        .groupby("customer")
        .agg(last=("day", "max"), count=("day", "size"), spent=("cents", "sum"))
    )
    scores = [
        pd.qcut(frame[name].rank(method="first"), 5, labels=False) + 1
        for name in ("last", "count", "spent")
    ]
    return frame.groupby([scores[0], (scores[1] + scores[2] + 1) // 2])["spent"].agg(
        ["size", "sum"]
    )


def with_ntile(path: Path) -> object:
    """NTILE over the table of customers: what the fold keeps, without its cells."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(
            "SELECT r, (f + m + 1) / 2, count(*), sum(revenue) "
            "FROM (SELECT revenue, NTILE(5) OVER (ORDER BY last_day) AS r, NTILE(5) OVER (ORDER BY "
            "orders) AS f, NTILE(5) OVER (ORDER BY revenue) AS m FROM rfm_customer "
            "WHERE orders > 0) GROUP BY 1, 2"
        ).fetchall()
    finally:
        connection.close()


def started(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "bench.serving.rfm_query", *arguments],
        text=True,
        stdout=subprocess.PIPE,
    )


def main(customers: int = 1_000_000, seconds: float = 30.0) -> None:
    """Print answers' latency and memory beside the batch alternatives."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, load before {os.getloadavg()[0]:.1f}"
    print(f"rfm query: {customers:,} simulated customers, seed fixed; {machine}")
    orders = simulate(customers)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "state.db"
        url = f"sqlite:///{path}"
        store = SqlStore.open(url)
        wrote = seconds_of(lambda: write(store, orders))
        store.close()
        print(
            f"  {len(orders.day):,} purchases written as customers, days and cells in {wrote:.0f} "
            f"s; {path.stat().st_size / 1e6:,.0f} MB"
        )
        children = [started("--serve", url, str(Path(folder) / "log.db"))]
        try:
            assert children[0].stdout is not None
            port = int(children[0].stdout.readline())
            still = asyncio.run(ask(port, seconds / 3))
            children.append(started("--fold", url, str(customers)))
            taken = asyncio.run(ask(port, seconds))
            now, most = memory_mb(children[0].pid)
            report("nobody writing", still)
            report(f"while {EVENTS_PER_S} events/s are folded", taken)
            print(f"  the process that answers: {now:.0f} MB resident, {most:.0f} MB at most")
        finally:
            for child in children:
                child.kill()
                child.wait()
        year = Orders(*(column[orders.day > TODAY - 365] for column in orders))
        p50 = float(np.median(taken)) / 1000
        print(
            f"  the same scores by batch, {len(year.day):,} orders of a year, each from nothing, "
            "nothing else running:"
        )
        for name, work in (
            ("loop over orders (Python)", lambda: loop_over_orders(year)),
            ("pandas qcut", lambda: with_pandas(year)),
            ("NTILE in SQLite, customers already summed", lambda: with_ntile(path)),
        ):
            cost = seconds_of(work)
            print(
                f"    {name}: {cost:.2f} s, {cost / p50:,.0f} times the median answer, and as old "
                "as its last run"
            )


def report(when: str, taken: Sequence[float]) -> None:
    p50, p99, most = np.percentile(taken, [50, 99, 100])
    print(
        f"  GET /v1/rfm, {when}: p50 {p50:.1f} ms, p99 {p99:.1f} ms (bar: 50), slowest {most:.1f} "
        f"ms of {len(taken):,}"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(*sys.argv[2:4]))
    elif sys.argv[1:2] == ["--fold"]:
        fold(sys.argv[2], int(sys.argv[3]))
    else:
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000,
            float(sys.argv[2]) if len(sys.argv) > 2 else 30.0,
        )
