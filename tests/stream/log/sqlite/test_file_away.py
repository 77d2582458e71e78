"""A log whose file is removed or replaced refuses everything, and nobody begins a new one."""

import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from stream.log.contract import Unavailable
from stream.log.sqlite.log import SqliteLog
from stream.log.sqlite.place import mark_of
from tests.contracts.log_kit import a_record, from_the_first, numbers, scan_all


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


async def test_nothing_is_acknowledged_into_a_file_that_was_removed(path: Path) -> None:
    log = await SqliteLog.open(path)
    try:
        await log.append([a_record("orders", 0)])
        aside = path.with_name("moved.db")
        os.rename(path, aside)
        with pytest.raises(Unavailable, match="the file is gone"):
            await log.append([a_record("orders", 1)])
        assert path.name not in os.listdir(path.parent), "no new file is begun"
        os.rename(aside, path)
        await log.append([a_record("orders", 2)])
        assert numbers(await scan_all(log, "orders")) == [0, 2]
    finally:
        await log.close()


async def test_a_reader_of_a_replaced_file_does_not_call_its_position_lost(path: Path) -> None:
    log = await SqliteLog.open(path)
    try:
        aside = path.with_name("moved.db")
        os.rename(path, aside)
        shutil.copy(aside, path)

        async def beyond_the_end(_: Collection[int]) -> Mapping[int, int]:
            return {0: 5}

        reader = await log.reader("orders", "g", beyond_the_end)
        with pytest.raises(Unavailable, match="replaced while it was open"):
            await reader.read(10, 0)
    finally:
        await log.close()


async def test_a_reader_says_that_its_file_was_replaced(path: Path) -> None:
    log = await SqliteLog.open(path)
    try:
        await log.append([a_record("orders", 0)])
        reader = await log.reader("orders", "g", from_the_first)
        assert numbers(await reader.read(10, 0)) == [0]
        copy = path.with_name("copy.db")
        shutil.copy(path, copy)
        os.replace(copy, path)
        with pytest.raises(Unavailable, match="replaced while it was open"):
            await reader.read(10, 0)
        with pytest.raises(Unavailable, match="replaced while it was open"):
            await log.append([a_record("orders", 1)])
    finally:
        await log.close()


async def test_a_log_whose_file_is_gone_is_not_begun_anew_and_goes_on_once_it_is_back(
    path: Path,
) -> None:
    log = await SqliteLog.open(path)
    await log.append([a_record("orders", 0)])
    await log.close()
    aside = path.with_name("moved.db")
    os.rename(path, aside)
    for empty in (False, True):
        if empty:
            open(path, "w").close()  # noqa: ASYNC230 - as a crash before the first commit, or a mount, would leave it
        with pytest.raises(Unavailable, match=r"there was one: put it back, or .*: rm .*made"):
            await SqliteLog.open(path)
        assert (path.name in os.listdir(path.parent)) == empty
    os.rename(aside, path)
    log = await SqliteLog.open(path)
    assert numbers(await scan_all(log, "orders")) == [0]
    await log.close()
    os.unlink(path)
    mark_of(path).unlink()  # as the message says
    log = await SqliteLog.open(path)
    assert numbers(await scan_all(log, "orders")) == []
    await log.close()


async def test_whoever_asks_a_log_whose_file_is_gone_is_told_so(path: Path) -> None:
    log = await SqliteLog.open(path)
    try:
        os.unlink(path)
        with pytest.raises(Unavailable, match="the file is gone"):
            await log.spans("orders")
    finally:
        await log.close()
