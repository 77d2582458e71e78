"""The dashboard in Chromium before 1,000 and before 1,000,000 customers: first paint, and the time
until every panel has its numbers. Run: python -m bench.serving.page [customers] [loads]

Bar: first paint below 300 ms, as fast with many customers as with few. The API is a process of its
own; loads of the two pages alternate, so that other work on the machine slows both.
"""

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

from playwright.async_api import Page

from bench.serving.rfm_query import memory_mb, simulate, started, write
from stream.store.sql.store import SqlStore
from tests.support.api.panels import shown
from tests.support.delivery.browser import browsing

FEW = 1_000
PATIENCE_MS = 600_000
"""The first load after a start waits until a million customers' cells are in memory."""
FIRST_PAINT = """() =>
  performance.getEntriesByName("first-contentful-paint")[0]?.startTime"""
NOW = "performance.now()"


class Load(NamedTuple):
    """Milliseconds since the page was asked for."""

    first_paint: float
    every_panel: float


class Shop(NamedTuple):
    """A store of so many customers, and the process that answers from it."""

    customers: int
    origin: str
    process: "subprocess.Popen[str]"


def opened(customers: int, folder: Path, stack: ExitStack) -> Shop:
    """Write the store and start the API; it ends with `stack`."""
    url = f"sqlite:///{folder / f'{customers}.db'}"
    store = SqlStore.open(url)
    write(store, simulate(customers))
    store.close()
    process = started("--serve", url, str(folder / f"log-{customers}.db"))
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout is not None
    return Shop(customers, f"http://127.0.0.1:{int(process.stdout.readline())}", process)


async def load(page: Page, origin: str) -> Load:
    """Load the page once."""
    await page.goto(origin)
    await shown(page)
    panels = float(await page.evaluate(NOW))
    painted = await page.wait_for_function(FIRST_PAINT)
    return Load(float(await painted.json_value()), panels)


async def measured(shops: list[Shop], loads: int) -> dict[int, list[Load]]:
    """Loads of each shop's page in turn. The first of each, when nothing is in memory, comes first
    in the list."""
    found: dict[int, list[Load]] = {shop.customers: [] for shop in shops}
    for _ in range(loads + 1):
        for shop in shops:
            async with browsing(shop.origin) as watched:
                watched.page.set_default_timeout(PATIENCE_MS)
                found[shop.customers].append(await load(watched.page, shop.origin))
    return found


def main(customers: int = 1_000_000, loads: int = 7) -> None:
    """Print both pages' times."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, load before {os.getloadavg()[0]:.1f}"
    print(f"page: {FEW:,} and {customers:,} simulated customers, seed fixed; {machine}", flush=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        shops = [opened(number, Path(folder), stack) for number in (FEW, customers)]
        found = asyncio.run(measured(shops, loads))
        for shop in shops:
            first, *others = found[shop.customers]
            print(f"  {shop.customers:,} customers, {memory_mb(shop.process.pid)[0]:.0f} MB:")
            for name, at in (("first paint", 0), ("every panel", 1)):
                times = [each[at] for each in others]
                print(
                    f"    {name}: best {min(times):.0f} ms, median {median(times):.0f} ms of "
                    f"{len(times)}; the first load after the start {first[at]:.0f} ms"
                )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
