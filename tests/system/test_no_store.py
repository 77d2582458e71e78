"""Receiving needs no store: whatever happens to it, deliveries are answered 200, and are all
counted once it is mended."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import islice
from pathlib import Path

import pytest

from simulator.servers.small_disk import SmallDisk
from tests.support.servers.migrated_store import write_migrated
from tests.system.checks import assert_all
from tests.system.harness import System
from tests.system.load import traffic
from tests.system.serve_process import PATIENCE_S, needs_proc

pytestmark = needs_proc
Trouble = Callable[[System, Path, SmallDisk], AbstractAsyncContextManager[None]]
WRITE_VERSION = 18
"""Byte of a SQLite file's header; a version that SQLite does not know makes it read-only
(sqlite.org/fileformat2.html, 1.3.3)."""


def put(path: Path, offset: int, data: bytes) -> bytes:
    """Write over a file's bytes; returns what was there."""
    with path.open("r+b") as file:
        file.seek(offset)
        before = file.read(len(data))
        file.seek(offset)
        file.write(data)
        return before


@asynccontextmanager
async def damaged(system: System, path: Path, _: SmallDisk) -> AsyncIterator[None]:
    await system.kill()  # With nobody at work, what was there can be put back.
    before = put(path, 0, b"not a database! " * 4)
    system.launch()
    await system.until_healthy(system.receiver_url)
    yield
    await system.kill()
    put(path, 0, before)
    await system.start()


@asynccontextmanager
async def read_only(system: System, path: Path, _: SmallDisk) -> AsyncIterator[None]:
    await system.kill()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    before = put(path, WRITE_VERSION, b"\x03")
    system.launch()
    await system.until_healthy(system.receiver_url)
    yield
    await system.kill()
    put(path, WRITE_VERSION, before)
    await system.start()


@asynccontextmanager
async def locked(system: System, path: Path, _: SmallDisk) -> AsyncIterator[None]:
    db = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_S, check_same_thread=False)
    await asyncio.to_thread(db.execute, "BEGIN IMMEDIATE")
    yield
    db.execute("ROLLBACK")
    db.close()


@asynccontextmanager
async def full(system: System, path: Path, disk: SmallDisk) -> AsyncIterator[None]:
    assert system.serve is not None
    disk.fill([await system.serve.pid_when_running("process")])
    yield
    disk.empty()


@asynccontextmanager
async def removed(system: System, path: Path, _: SmallDisk) -> AsyncIterator[None]:
    await system.kill()
    aside = path.with_name("aside.db")
    path.rename(aside)  # noqa: ASYNC240 - a moment, in a test
    path.mkdir()  # noqa: ASYNC240
    system.launch()
    await system.until_healthy(system.receiver_url)
    yield
    await system.kill()
    path.rmdir()  # noqa: ASYNC240
    aside.rename(path)
    await system.start()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("trouble", [damaged, read_only, locked, full, removed])
async def test_receiving_goes_on_without_the_store(tmp_path: Path, trouble: Trouble) -> None:
    path = tmp_path / "disk" / "state.db"
    with SmallDisk(path.parent, 64) as disk:
        write_migrated(path)
        await without_store(System(tmp_path, store_url=f"sqlite:///{path}"), path, trouble, disk)


async def without_store(system: System, path: Path, trouble: Trouble, disk: SmallDisk) -> None:
    async with system:
        await system.start()
        deliveries = traffic(system)
        sent = await system.send(islice(deliveries, 60))
        await system.settled()
        async with trouble(system, path, disk):
            for _ in range(3):
                more = await system.send(islice(deliveries, 40))
                assert not more.traffic.unexpected
                assert not more.traffic.statuses.keys() & {0, 500, 503}
                sent.deliveries += more.deliveries
                sent.traffic.acknowledged += more.traffic.acknowledged
                await asyncio.sleep(1)
        await system.settled()
        assert await system.stop() == 0
        assert "Traceback" not in system.output()
        await assert_all(system, sent)
