"""A backup that is taken under load, and what comes of it after everything else is gone."""

import asyncio
from itertools import islice
from pathlib import Path

import pytest

from orderwire.operation.backup import manifest
from simulator.proof.oracle import expected_orders
from tests.system.checks import (
    assert_aggregates_are_sums,
    assert_customers_are,
    assert_in_log,
    assert_is_a_fold_of,
    whole,
)
from tests.system.harness import System
from tests.system.load import Load, traffic
from tests.system.serve_process import needs_proc

pytestmark = needs_proc


def event_ids(system: System) -> set[str]:
    """Of every event that Meta has received."""
    rows = system.graph.account.summary(events=True)["events"]
    return {event_id for _, _, event_id, *_ in rows}


def lose_everything(folder: Path) -> None:
    for path in [*folder.glob("state.db*"), *folder.glob("log.db*")]:
        path.unlink()


@pytest.mark.timeout(900)
async def test_a_backup_under_load_counts_all_that_it_has_once_and_sends_it_under_the_same_ids(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    async with System(tmp_path / "system") as system:
        await system.start()
        before = await system.send(islice(traffic(system), 300), rate=200)
        load = Load(system, rate=50, seed=2)
        await asyncio.sleep(1)
        for _ in range(3):
            await asyncio.sleep(1)
            await system.command("backup", str(kept), "--keep", "2")
        folders = manifest.backups(kept)
        assert len(folders) == 2
        after = await load.end()
        assert not after.traffic.unexpected
        await system.settled()
        assert await system.stop() == 0
        known = event_ids(system)
        lose_everything(system.folder)
        await system.command("restore", str(folders[-1]))
        await system.start()
        await system.settled()
        assert await system.stop() == 0
        async with system.log() as log:
            entries = await whole(log)
        assert_in_log(entries, before.acknowledged)
        ids = {entry.record.id for entry in entries}
        there = [one for one in [*before.deliveries, *after.deliveries] if one.webhook_id in ids]
        with system.store() as store:
            await asyncio.to_thread(
                assert_is_a_fold_of, store, entries, system.settings, tmp_path / "again.db"
            )
            await asyncio.to_thread(assert_aggregates_are_sums, store)
            await asyncio.to_thread(assert_customers_are, store, expected_orders(there).values())
        assert not system.graph.account.summary()["conflicts"], "one payload under one id"
        assert event_ids(system) == known, "nothing under a new id"


@pytest.mark.timeout(900)
async def test_a_backup_of_what_had_settled_sends_nothing_again(tmp_path: Path) -> None:
    async with System(tmp_path / "system") as system:
        await system.start()
        await system.send(islice(traffic(system), 200), rate=200)
        await system.settled()
        await system.command("backup", str(tmp_path / "kept"))
        assert await system.stop() == 0
        before = system.graph.account.summary()
        lose_everything(system.folder)
        (folder,) = manifest.backups(tmp_path / "kept")
        printed = await system.command("restore", str(folder))
        assert "(0 of them)" in printed
        await system.start()
        await system.settled()
        assert await system.stop() == 0
        assert system.graph.account.summary() == before
