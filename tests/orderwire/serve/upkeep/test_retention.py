"""Old records go once everybody has read them, and not before."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from orderwire.serve.feeds import feeds
from orderwire.serve.upkeep.retention import DAY_MS, retain
from orderwire.settings.program import Settings
from stream.clock import WallClock
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.contract import Move
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated

NOW_MS = 1_795_300_000_000
SHOP = "example.myshopify.com"
SETTINGS = Settings.load(
    {"SHOPIFY_SHOP": SHOP, "SHOPIFY_WEBHOOK_SECRET": "secret", "ORDERWIRE_RETENTION_DAYS": "7"}
)
READERS = sorted(name for name, topic in feeds(SETTINGS).items() if topic == "orders")
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


async def appended(log: SqliteLog, *days_old: int) -> None:
    """A record of each age, every one in a transaction of its own."""
    for number, days in enumerate(days_old):
        at_ms = NOW_MS - days * DAY_MS
        await log.append([Record("orders", "k", f"{days}/{number}", at_ms, {"shop": SHOP}, b"{}")])


def has_read(store: SqlStore, name: str, upto: int) -> None:
    with store.begin() as transaction:
        transaction.advance(name, "orders", {0: Move(None, upto, upto)}, NOW_MS)


async def one_look(log: SqliteLog, store: SqlStore) -> int:
    """The first offset that is left."""
    looked = asyncio.Event()

    async def sleep(_: float) -> None:
        looked.set()
        await asyncio.Event().wait()

    clock = WallClock(lambda: NOW_MS, lambda: 0)
    task = asyncio.create_task(retain(log, store, SETTINGS, clock, sleep))
    await asyncio.wait_for(looked.wait(), 30)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    return (await log.spans("orders"))[0].first


async def test_what_is_old_and_read_by_everybody_is_deleted(
    log: SqliteLog, store: SqlStore
) -> None:
    await appended(log, 9, 8, 6)
    for name in READERS:
        has_read(store, name, 3)
    assert await one_look(log, store) == 2


async def test_what_one_reader_has_yet_to_read_is_kept_however_old(
    log: SqliteLog, store: SqlStore
) -> None:
    await appended(log, 9, 8, 6)
    for name in READERS[1:]:
        has_read(store, name, 3)
    assert await one_look(log, store) == 0
    has_read(store, READERS[0], 1)
    assert await one_look(log, store) == 1


async def test_while_the_store_is_away_nothing_is_deleted(
    log: SqliteLog, store: SqlStore, tmp_path: Path
) -> None:
    await appended(log, 9)
    for name in READERS:
        has_read(store, name, 1)
    away = SqlStore.open(write_migrated(tmp_path / "away.db"))
    away.close()
    (tmp_path / "away.db").write_bytes(b"no database at all" * 1_000)
    with structlog.testing.capture_logs() as lines:
        assert await one_look(log, away) == 0
    assert [line["event"] for line in lines] == ["retention put off"]
    assert await one_look(log, store) == 1
