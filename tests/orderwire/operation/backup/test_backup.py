"""`orderwire backup` and `orderwire restore`: whole or not at all, private, and the same rows."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import pytest
from typer.testing import CliRunner

from orderwire.cli import app
from orderwire.operation.backup import manifest
from orderwire.operation.backup.making import make
from orderwire.operation.backup.restoring import restore
from orderwire.operation.refused import Refused
from orderwire.serve.start.opening import check
from orderwire.settings.program import ConfigurationError, Settings
from simulator.servers.postgres import PostgresServer
from simulator.shop.delivery import Delivery
from stream.log.sqlite.log import SqliteLog
from stream.log.sqlite.place import mark_of
from stream.record import TOPICS
from stream.store.sql.store import SqlStore
from tests.support.servers.forks import Forked
from tests.support.shops.shop_world import deliveries, everything, filled, records

runner = CliRunner()
MADE = datetime(2026, 11, 28, 3, 0, tzinfo=UTC)


@pytest.fixture
def settings(
    tmp_path: Path,
    migrated_sqlite: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """One shop on two SQLite files, closed, with everything folded."""
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(migrated_sqlite, data / "state.db")
    monkeypatch.setenv("ORDERWIRE_LOG_URL", f"sqlite:///{data / 'log.db'}")
    monkeypatch.setenv("ORDERWIRE_STORE_URL", f"sqlite:///{data / 'state.db'}")
    monkeypatch.chdir(tmp_path)
    for name, value in {"SHOPIFY_SHOP": "demo", "SHOPIFY_WEBHOOK_SECRET": "s"}.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


@pytest.fixture
async def before(
    settings: Settings, shop_deliveries: list[Delivery]
) -> dict[str, list[tuple[object, ...]]]:
    """The rows of the filled store."""
    store, log = opened(settings), await SqliteLog.open(settings_log(settings))
    await filled(settings, store, log, shop_deliveries)
    rows = everything(store)
    await log.close()
    store.close()
    return rows


@pytest.fixture
def shop_deliveries() -> list[Delivery]:
    return deliveries(40)


def settings_log(settings: Settings) -> Path:
    assert settings.log_file is not None
    return settings.log_file


def opened(settings: Settings) -> SqlStore:
    return SqlStore.open(settings.store_url.get_secret_value())


def rows_of(settings: Settings) -> dict[str, list[tuple[object, ...]]]:
    store = opened(settings)
    try:
        return everything(store)
    finally:
        store.close()


async def log_ends(path: Path) -> dict[str, int]:
    log = await SqliteLog.open(path)
    try:
        return {topic: (await log.spans(topic))[0].next for topic in TOPICS}
    finally:
        await log.close()


async def test_a_backup_restores_every_row_and_record_and_keeps_what_was_there(
    settings: Settings, before: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    ends = await log_ends(settings_log(settings))
    done = await asyncio.to_thread(runner.invoke, app, ["backup", "kept"])
    assert done.exit_code == 0, done.output
    (folder,) = manifest.backups(tmp_path / "kept")
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "state.db").write_bytes(b"damaged")
    done = await asyncio.to_thread(runner.invoke, app, ["restore", str(folder)])
    assert done.exit_code == 0, done.output
    assert "what was there before is in" in done.output
    assert rows_of(settings) == before
    assert await log_ends(settings_log(settings)) == ends
    (aside,) = (tmp_path / "data").glob("before-restore-*")
    assert [path.name for path in aside.iterdir()] == ["state.db"]


async def test_everything_in_a_backup_is_its_owners_only(
    settings: Settings, before: object, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(partial(os.umask, os.umask(0o022)))
    folder = make(settings, tmp_path / "kept", MADE).folder
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"state.db": 0o600, "log.db": 0o600, "backup.json": 0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    restore(settings, folder, MADE)
    for path in (tmp_path / "data").glob("*.db"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


async def test_only_the_newest_are_kept_where_that_is_asked_for(
    settings: Settings, before: object, tmp_path: Path
) -> None:
    for hour in range(4):
        made = make(settings, tmp_path / "kept", MADE + timedelta(hours=hour), keep=2)
    assert [path.name[-7:] for path in manifest.backups(tmp_path / "kept")] == [
        "050000Z",
        "060000Z",
    ]
    assert [path.name[-7:] for path in made.deleted] == ["040000Z"]


async def test_a_changed_file_is_not_restored(
    settings: Settings, before: object, tmp_path: Path
) -> None:
    folder = make(settings, tmp_path / "kept", MADE).folder
    with (folder / "log.db").open("r+b") as file:
        file.seek(5_000)
        file.write(b"x")
    with pytest.raises(Refused, match=r"log\.db is not as it was written"):
        restore(settings, folder, MADE)


async def test_a_newer_programs_backup_names_the_program_to_install(
    settings: Settings, before: object, tmp_path: Path
) -> None:
    folder = make(settings, tmp_path / "kept", MADE).folder
    kept = msgspec.structs.replace(manifest.read(folder), revision="9999", version="7.1.0")
    manifest.write(folder, kept)
    with pytest.raises(Refused, match=r"install orderwire 7\.1\.0 or newer"):
        restore(settings, folder, MADE)


HOLDING = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1])
db.execute("SELECT * FROM topics").fetchall()
print("open", flush=True)
time.sleep(600)
"""


async def test_files_in_use_are_not_replaced(
    settings: Settings, before: object, tmp_path: Path
) -> None:
    folder = make(settings, tmp_path / "kept", MADE).folder
    holding = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDING, str(settings_log(settings)), stdout=subprocess.PIPE
    )
    try:
        assert holding.stdout is not None
        await holding.stdout.readline()
        with pytest.raises(Refused, match=r"log\.db is in use: stop `orderwire serve` first"):
            restore(settings, folder, MADE)
    finally:
        holding.kill()
        await holding.communicate()
    assert restore(settings, folder, MADE).aside


KILLED_AT = """
import os, signal, sys
from functools import partial
from datetime import UTC, datetime
from pathlib import Path
from orderwire.operation.backup.restoring import restore
from orderwire.settings.program import Settings
left, replace = int(sys.argv[2]), Path.replace
def counted(self, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return replace(self, target)
Path.replace = counted
restore(Settings.load(), Path(sys.argv[1]), datetime.now(UTC))
"""


async def test_a_restore_killed_between_any_two_moves_is_finished_by_the_next_and_not_served(
    settings: Settings, before: dict[str, list[tuple[object, ...]]], tmp_path: Path
) -> None:
    ends = await log_ends(settings_log(settings))
    folder = make(settings, tmp_path / "kept", MADE).folder
    killed = 0
    while True:
        given = [str(folder), str(killed)]
        output = tmp_path / f"restore-{killed}.log"
        process = await asyncio.to_thread(
            Forked, given, os.environ, tmp_path, output, script=KILLED_AT
        )
        code = await asyncio.to_thread(process.wait)
        if code == 0:
            break
        assert code == -signal.SIGKILL, process.said()
        killed += 1
        with pytest.raises(ConfigurationError, match="a restore was killed in the middle"):
            check(settings, ["receive"])
        with pytest.raises(Refused, match="a restore was killed in the middle"):
            make(settings, tmp_path / "kept", MADE + timedelta(hours=1))
        restore(settings, folder, MADE + timedelta(hours=killed))
        check(settings, ["receive"])
        assert rows_of(settings) == before
        assert await log_ends(settings_log(settings)) == ends
        assert not list((tmp_path / "data").glob("*.restor*"))
    assert killed >= 4, "two files went aside, and two came"


async def test_a_backup_killed_at_any_moment_leaves_whole_ones_only(
    settings: Settings, before: object, tmp_path: Path
) -> None:
    random = Random(5)
    kept = tmp_path / "kept"
    command = ["backup", str(kept)]
    for _ in range(6):
        process = await asyncio.to_thread(
            Forked, command, os.environ, tmp_path, tmp_path / "backup.log"
        )
        deadline = time.monotonic() + 30
        while not (kept / ".partial").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)
        await asyncio.sleep(random.uniform(0, 0.05))
        await asyncio.to_thread(process.kill)
        for folder in kept.glob("orderwire-*"):
            manifest.read(folder)
    made = make(settings, kept, MADE)
    assert made.folder in manifest.backups(kept)
    assert not (kept / ".partial").exists()


async def test_a_store_that_has_read_further_than_the_log_goes_is_no_backup(
    settings: Settings, before: object, tmp_path: Path
) -> None:
    settings_log(settings).unlink()
    mark_of(settings_log(settings)).unlink()
    await (await SqliteLog.open(settings_log(settings))).close()
    with pytest.raises(Refused, match="do not belong together"):
        make(settings, tmp_path / "kept", MADE)
    assert manifest.backups(tmp_path / "kept") == []
    assert not (tmp_path / "kept" / ".partial").exists()


async def test_postgresql_is_dumped_and_restored_into_an_empty_database_only(
    settings: Settings,
    shop_deliveries: list[Delivery],
    postgres_server: PostgresServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    programs = postgres_server.programs
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    names = [f"backup_{os.getpid()}_{part}" for part in ("from", "to")]
    here, there = (postgres_server.create_database(name) for name in names)
    try:
        monkeypatch.setenv("ORDERWIRE_STORE_URL", here)
        filling = Settings.load()
        store, log = SqlStore.open(here), await SqliteLog.open(settings_log(settings))
        await log.append(records(shop_deliveries))
        await filled(filling, store, log, [])
        rows = everything(store)
        await log.close()
        folder = make(filling, tmp_path / "kept", MADE).folder
        assert {path.name for path in folder.iterdir()} == {"state.dump", "log.db", "backup.json"}
        assert stat.S_IMODE((folder / "state.dump").stat().st_mode) == 0o600
        with pytest.raises(Refused, match="has a store already"):
            restore(filling, folder, MADE)
        store.close()
        monkeypatch.setenv("ORDERWIRE_STORE_URL", there)
        emptied = Settings.load()
        restore(emptied, folder, MADE)
        assert rows_of(emptied) == rows
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(Refused, match="pg_dump is not on the PATH"):
            make(emptied, tmp_path / "kept", MADE + timedelta(hours=1))
    finally:
        for name in names:
            postgres_server.drop_database(name)
