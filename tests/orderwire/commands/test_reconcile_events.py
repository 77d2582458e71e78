"""`orderwire reconcile --events` prints what one family brought and the other did not."""

import asyncio
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orderwire.cli import app
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry, Record
from tests.support.shopify.twin_orders import SHOP, classic_entry, event_entry, sale

NOW_MS = time.time_ns() // 1_000_000


def recent(entry: Entry, number: int) -> Record:
    record = entry.record
    return Record(
        "orders", record.key, f"w{number}", NOW_MS - 1_200_000, record.headers, record.body
    )


async def test_an_order_of_one_family_is_named_with_its_topic(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOPIFY_SHOP", SHOP)
    monkeypatch.setenv("SHOPIFY_WEBHOOK_SECRET", "secret")
    monkeypatch.setenv("ORDERWIRE_LOG_URL", f"sqlite:///{tmp_path}/log.db")
    both, alone = sale(1), sale(2)
    entries = [classic_entry(both), event_entry(both), classic_entry(alone)]
    log = await SqliteLog.open(tmp_path / "log.db")
    await log.append([recent(entry, number) for number, entry in enumerate(entries)])
    await log.close()
    done = await asyncio.to_thread(CliRunner().invoke, app, ["reconcile", "--events"])
    assert done.exit_code == 0, done.output
    lines = [line.split() for line in done.stdout.splitlines() if "orders/updated" in line]
    assert lines == [["classic", "webhooks", "orders/updated", "2", "1", "0", str(alone.order_id)]]
    assert str(both.order_id) not in done.stdout
    assert SHOP in done.stdout
