"""`orderwire status`: the numbers of log and store, while nothing runs."""

import asyncio
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orderwire.cli import app
from orderwire.serve.feeds import running
from orderwire.settings.program import Settings
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.sql.store import SqlStore
from tests.support.shops.shop_world import (
    NOW_MS,
    PIXEL,
    SHOP,
    deliveries,
    fold_all,
    fold_some,
    records,
)

runner = CliRunner()


async def test_it_shows_lag_records_parked_and_outcomes_from_log_and_store(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    orders = [record for record in records(deliveries(40)) if record.topic == "orders"]
    headers = {"source": "shopify", "shop": SHOP, "topic": "orders/paid"}
    await log.append([*orders, Record("orders", f"{SHOP}:1", "w", NOW_MS, headers, b'{"id": 1}')])
    await fold_all(shop_settings, log, store, only={"capi", "parked"})
    await fold_some(shop_settings, log, store, "orders", at_most=3)
    done = await asyncio.to_thread(runner.invoke, app, ["status", "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.output)
    processors = {one["name"]: one for one in answer["processors"]}
    assert processors.keys() == set(running(shop_settings))
    assert (processors["capi"]["lag_records"], processors["capi"]["records"]) == (
        0,
        len(orders) + 1,
    )
    assert (processors["orders"]["lag_records"], processors["orders"]["records"]) == (
        len(orders) - 2,
        3,
    )
    assert processors["orders"]["oldest_s"] != 0
    assert processors["capi"]["oldest_s"] == 0
    assert answer["parked"] == {
        "records": 1,
        "by_reason": {
            "missing_fields:created_at,currency,total_price,financial_status,line_items": 1
        },
    }
    assert answer["capi"][SHOP]["pixel_id"] == PIXEL
    shown_of = {
        json.loads(order.body)["id"]
        for order in orders
        if order.headers["topic"] in ("orders/create", "orders/paid")
    }
    assert sum(answer["capi"][SHOP]["outcomes"].values()) == len(shown_of)
    assert (answer["log"], answer["store"], answer["roles"]) == ("sqlite", store.dialect, [])
    assert answer["spool"] == {"records": 0, "bytes": 0, "oldest_s": None, "set_aside": 0}


async def test_people_read_it_as_lines(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    now_ms = time.time_ns() // 1_000_000
    with store.begin() as transaction:
        for instance, beat_ms in (("here:1", now_ms), ("there:2", now_ms - 60_000)):
            transaction.execute(
                "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details, "
                "metrics) VALUES ('process', :instance, 1, 1, 4, :beat_ms, :details, '')",
                instance=instance,
                beat_ms=beat_ms,
                details='{"stopped": {"orders": "too much was parked"}}',
            )
    done = await asyncio.to_thread(runner.invoke, app, ["status"])
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert any(line.startswith("process alive here:1 4") for line in lines)
    assert any(line.startswith("process silent there:2 4") for line in lines)
    assert "orders orders 0 0.0 0 too much was parked" in lines
    assert "Parked: none" in lines


def test_before_the_first_start_it_says_so_and_makes_nothing(
    shop_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERWIRE_STORE_URL", f"sqlite:///{tmp_path / 'none.db'}")
    done = runner.invoke(app, ["status"])
    assert done.exit_code == 1
    assert "`orderwire serve` makes it" in done.output
    assert not (tmp_path / "none.db").exists()


def test_a_schema_of_an_older_version_is_left_as_it_is(
    shop_settings: Settings, store: SqlStore
) -> None:
    with store.begin() as transaction:
        transaction.execute("UPDATE alembic_version SET version_num = '0001'")
    done = runner.invoke(app, ["status"])
    assert done.exit_code == 1
    assert "schema is at 0001" in done.output
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT version_num FROM alembic_version")[0][0] == "0001"
