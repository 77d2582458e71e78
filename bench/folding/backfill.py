"""How long a year of orders takes by bulk operations, and how much memory.

The stand-in for the Admin API runs as a process of its own on the same cores, and makes the orders
as they are asked for. `python -m bench.folding.backfill --orders 100000`.
"""

import argparse
import asyncio
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.past.backfill import Backfill
from ingest.shopify.admin.tokens import StaticToken
from orderwire.serve.schedule.services import services
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore

SHOP = "demo.myshopify.com"


async def fill(folder: Path, url: str, days: int) -> tuple[int, float]:
    """Orders read, and seconds."""
    log, store = await SqliteLog.open(folder / "log.db"), SqlStore.open(f"sqlite:///{folder}/s.db")
    client = AdminClient(f"{url}/admin/api/2026-10/graphql.json", StaticToken("shpat_static"))
    append = services(store, log).append
    filling = Backfill(client, store, SHOP, append, threading.Event(), poll_s=1.0)

    def work() -> int:
        return filling.run(filling.plan(days, by_bulk=True)).orders

    started_s = time.monotonic()
    orders = await asyncio.to_thread(work)
    seconds = time.monotonic() - started_s
    client.close()
    store.close()
    await log.close()
    return orders, seconds


def main() -> None:
    """Run it once and print what came out."""
    parser = argparse.ArgumentParser(prog="python -m bench.folding.backfill")
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=365, help="of the year that has the orders")
    options = parser.parse_args()
    command = [sys.executable, "-m", "simulator.admin.program", "--shop", SHOP]
    with (
        tempfile.TemporaryDirectory(prefix="orderwire-bench-") as folder,
        subprocess.Popen(
            [*command, f"--many={options.orders}"], stdout=subprocess.PIPE, text=True
        ) as api,
    ):
        try:
            assert api.stdout is not None
            url = api.stdout.readline().strip()
            orders, seconds = asyncio.run(fill(Path(folder), url, options.days))
            log_mb = sum(one.stat().st_size for one in Path(folder).glob("log.db*")) / 1e6
        finally:
            api.terminate()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{orders:,} orders by bulk in {seconds:.1f} s, {orders / seconds:,.0f}/s;"
        f" peak resident memory {peak_mb:.0f} MB, log {log_mb:,.0f} MB"
    )


if __name__ == "__main__":
    main()
