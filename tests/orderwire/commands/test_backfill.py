"""`orderwire backfill`: killed anywhere it goes on, and no destination is notified."""

import asyncio
import os
import random
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from typer.testing import CliRunner

from orderwire.cli import app
from orderwire.settings.program import Settings
from simulator.admin import from_classic
from simulator.admin.books import Books, shop
from simulator.admin.stand_in import AdminStandIn
from simulator.shop.shop import ShopSimulator
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.servers.forks import Forked
from tests.support.servers.migrated_store import write_migrated
from tests.support.shops.shop_world import NOW, SECRET, SHOP, everything, filled, fold_all

runner = CliRunner()
LOTS: dict[str, Any] = {"maximum": 100_000.0, "restore": 100_000.0}
PROGRAM = """
import sys
import time

how, shop, now = sys.argv[1], sys.argv[2], float(sys.argv[3])
time.time = lambda: now
from ingest.shopify.admin.past import backfill, paged
from orderwire.commands import backfill as command
from orderwire.settings.program import Settings

backfill.BATCH = paged.PAGE = 7
backfill.POLL_S = 0.01
settings = Settings.load()
print("open", flush=True)
command._from_api(settings, settings.shops[shop], 365, how == "bulk", False)
"""


def past(customers: int, seed: int = 3) -> Books:
    """A shop's year as the Admin API shows it."""
    held = Books(shop(SHOP))
    simulator = ShopSimulator(seed, SHOP, SECRET, NOW, customers)
    for delivery in simulator.history(365):
        if delivery.topic.startswith("orders/"):
            held.orders.keep(from_classic.order(orjson.loads(delivery.body)))
    return held


async def program(how: str, folder: Path) -> Forked:
    """The command at work, with a file of its own for what it says."""
    arguments = [how, SHOP, str(NOW.timestamp())]
    output = folder / f"{uuid4().hex}.log"
    child = await asyncio.to_thread(Forked, arguments, os.environ, folder, output, PROGRAM)
    await asyncio.to_thread(child.until_printed, "open")
    return child


async def state(settings: Settings, store: SqlStore, log: SqliteLog) -> dict[str, Any]:
    await fold_all(settings, log, store)
    found = everything(store, aggregates=True)
    del found["backfill_window"]
    return found


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(("how", "kills"), [("paged", 4), ("bulk", 10)])
async def test_killed_at_random_moments_it_ends_in_the_state_of_an_uninterrupted_run(
    shop_settings: Settings,
    store: SqlStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    kills: int,
) -> None:
    rng = random.Random(11)
    held = past(150)
    monkeypatch.setenv("SHOPIFY_ADMIN_TOKEN", "shpat_static")
    async with AdminStandIn(held, clock=NOW.timestamp, **LOTS) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        for _ in range(kills):
            child = await program(how, tmp_path)
            await asyncio.sleep(rng.uniform(0.05, 0.8))
            await asyncio.to_thread(child.kill)
        child = await program(how, tmp_path)
        assert await asyncio.to_thread(child.wait) == 0, child.said()
        log = await SqliteLog.open(tmp_path / "log.db")
        resumed = await state(shop_settings, store, log)
        await log.close()

        whole_log, whole_store = tmp_path / "whole-log.db", tmp_path / "whole.db"
        write_migrated(whole_store)
        monkeypatch.setenv("ORDERWIRE_LOG_URL", f"sqlite:///{whole_log}")
        monkeypatch.setenv("ORDERWIRE_STORE_URL", f"sqlite:///{whole_store}")
        child = await program(how, tmp_path)
        assert await asyncio.to_thread(child.wait) == 0, child.said()
    log, other = await SqliteLog.open(whole_log), SqlStore.open(f"sqlite:///{whole_store}")
    whole = await state(Settings.load(), other, log)
    await log.close()
    other.close()
    assert len(whole["shop_order"]) == len(held.orders)
    assert resumed == whole


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_history_counts_and_no_destination_is_notified_of_it(
    shop_settings: Settings, store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = ShopSimulator(5, SHOP, SECRET, NOW, 30)
    held = past(60)
    monkeypatch.setenv("SHOPIFY_ADMIN_TOKEN", "shpat_static")
    async with AdminStandIn(held, clock=NOW.timestamp, **LOTS) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        done = await asyncio.to_thread(runner.invoke, app, ["backfill", "--days", "3650"])
    assert done.exit_code == 0, done.output
    assert f"{len(held.orders)} orders and " in done.output
    log = await SqliteLog.open(tmp_path / "log.db")
    await fold_all(shop_settings, log, store)
    with store.snapshot() as snapshot:
        counted = snapshot.query("SELECT count(*) FROM shop_order")[0][0]
        assert snapshot.query("SELECT count(*) FROM outbox")[0][0] == 0
    assert counted == len(held.orders)
    # The same orders by webhook are sent as if there had been no backfill.
    live = [one for one in simulator.visit(NOW) if one.topic.startswith("orders/")]
    await filled(shop_settings, store, log, live)
    await log.close()
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT count(*) FROM outbox")[0][0] > 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_file_counts_the_same_orders_and_nothing_is_sent(
    shop_settings: Settings, store: SqlStore, tmp_path: Path
) -> None:
    file, held = tmp_path / "orders.jsonl", past(40)
    file.write_bytes(b"\n".join(map(orjson.dumps, held.orders)) + b"\n{\n")
    refused = await asyncio.to_thread(runner.invoke, app, ["backfill", "--file", str(file)])
    assert refused.exit_code == 1
    assert f"line {len(held.orders) + 1}: it is no JSON" in refused.output
    done = await asyncio.to_thread(
        runner.invoke, app, ["backfill", "--file", str(file), "--partial"]
    )
    assert done.exit_code == 0, done.output
    log = await SqliteLog.open(tmp_path / "log.db")
    await fold_all(shop_settings, log, store)
    await log.close()
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT count(*) FROM shop_order")[0][0] == len(held.orders)
        assert snapshot.query("SELECT count(*) FROM outbox")[0][0] == 0


async def test_without_a_token_it_says_what_to_set(shop_settings: Settings) -> None:
    done = await asyncio.to_thread(runner.invoke, app, ["backfill"])
    assert done.exit_code == 1
    assert "SHOPIFY_ADMIN_TOKEN" in done.output
