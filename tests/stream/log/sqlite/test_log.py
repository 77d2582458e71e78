"""The embedded log keeps the contract; opening it, retention, batches. (Kills, full disks, other
processes: `test_trouble.py`.)"""

import asyncio
import os
import sqlite3
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from stream.log.contract import Log, LogError, PositionLost, Span, Unavailable
from stream.log.sqlite.file import BATCH_RECORDS, LogFile, batches, encode
from stream.log.sqlite.log import SqliteLog
from tests.contracts.log import LogContract
from tests.contracts.log_kit import (
    LONG_AGO_MS,
    Forget,
    OpenLog,
    a_record,
    from_the_first,
    numbers,
    read_until,
    scan_all,
)

BODY = b"x" * 5_000

FAR_AHEAD_MS = 4_102_444_800_000

FOR_EVER_S = 600.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of conftest's `log`."""
    return tmp_path / "log.db"


class TestSqliteLog(LogContract):
    @pytest.fixture
    def open_log(self, tmp_path: Path) -> OpenLog:
        path = tmp_path / "data" / "log.db"

        async def open_log() -> Log:
            return await SqliteLog.open(path)

        return open_log

    @pytest.fixture
    def forget(self) -> Forget:
        async def forget(log: Log, topic: str, before: Mapping[int, int]) -> None:
            await log.retain(topic, FAR_AHEAD_MS, before)

        return forget


# --- what is refused


async def test_more_bytes_than_may_queue_are_refused_immediately_and_room_comes_back(
    path: Path,
) -> None:
    log = await SqliteLog.open(path, max_queued_bytes=40_000)
    appends = [
        asyncio.create_task(log.append([a_record("orders", n, body=BODY)])) for n in range(20)
    ]
    results = await asyncio.gather(*appends, return_exceptions=True)
    refused = [n for n, result in enumerate(results) if isinstance(result, Unavailable)]
    assert refused == list(range(7, 20))
    await log.append([a_record("orders", 20, body=BODY * 20)])  # larger than the queue, alone in it
    assert numbers(await scan_all(log, "orders")) == [*range(7), 20]
    await log.close()


async def test_a_record_that_cannot_be_written_fails_its_own_append_only(log: SqliteLog) -> None:
    good = asyncio.create_task(log.append([a_record("orders", 1)]))
    bad = asyncio.create_task(
        log.append([a_record("orders", 2), a_record("orders", 3, key="\ud800")])
    )
    await asyncio.wait([good, bad])
    assert isinstance(bad.exception(), ValueError)
    await good
    assert numbers(await scan_all(log, "orders")) == [1]


# --- opening


async def test_a_file_that_is_not_a_database_is_refused_by_name_and_left_unchanged(
    tmp_path: Path,
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text(
        "these are not the records you are looking for, however long the text may be\n" * 20
    )
    before = path.read_bytes()
    with pytest.raises(LogError, match=r"notes\.txt: not a SQLite database"):
        await SqliteLog.open(path)
    assert path.read_bytes() == before


async def test_a_database_of_somebody_else_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE positions (name TEXT)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(LogError, match="not an orderwire log"):
        await SqliteLog.open(path)
    assert path.read_bytes() == before


async def test_a_log_of_a_newer_format_is_refused(log: SqliteLog, path: Path) -> None:
    await log.append([a_record("orders", 1)])
    await log.close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=2")
    db.close()
    with pytest.raises(LogError, match=r"format 2.*upgrade"):
        await SqliteLog.open(path)


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="folder cannot be made"):
        await SqliteLog.open(tmp_path / "file" / "log.db")
    with pytest.raises(LogError, match="cannot be opened"):
        await SqliteLog.open(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_file_that_may_not_be_written_is_named(log: SqliteLog, path: Path) -> None:
    await log.close()
    await asyncio.to_thread(path.chmod, 0o400)
    with pytest.raises(LogError, match="cannot be written"):
        await SqliteLog.open(path)


# --- retention


async def test_retention_drops_what_is_old_and_read_and_answers_how_many(log: SqliteLog) -> None:
    for n in range(10):
        await log.append([a_record("orders", n, time_ms=LONG_AGO_MS + n)])
    assert await log.retain("orders", LONG_AGO_MS + 7, {0: 5}) == 5
    assert await log.spans("orders") == {0: Span(5, 10)}
    assert await log.retain("orders", LONG_AGO_MS + 7, {0: 10}) == 2
    assert numbers(await scan_all(log, "orders")) == [7, 8, 9]
    assert await log.retain("orders", LONG_AGO_MS + 7, {0: 10}) == 0


async def test_a_record_of_the_future_does_not_keep_older_ones_alive(log: SqliteLog) -> None:
    for n in range(10):
        await log.append([a_record("orders", n, time_ms=FAR_AHEAD_MS if n == 2 else LONG_AGO_MS)])
    assert await log.retain("orders", LONG_AGO_MS + 1, {0: 10}) == 9
    assert numbers(await scan_all(log, "orders")) == [2]
    assert await log.spans("orders") == {0: Span(2, 10)}


async def test_appends_pass_between_the_steps_of_a_long_retention(log: SqliteLog) -> None:
    for start in range(0, 6_000, 500):
        await log.append([a_record("orders", start + n, body=BODY) for n in range(500)])
    retention = asyncio.create_task(log.retain("orders", FAR_AHEAD_MS, {0: 6_000}))
    gone = waited_for = passed = 0
    while not retention.done():
        await log.append([a_record("checkouts", passed, body=BODY)])
        before, gone = gone, (await log.spans("orders"))[0].first
        waited_for, passed = max(waited_for, gone - before), passed + 1
    assert await retention == 6_000
    assert passed >= 3
    assert waited_for < 3_000, (
        "an append waits for the step under way; of the 900 records of a step, two more may be "
        "gone by the look"
    )


async def test_a_reader_in_the_middle_that_retention_passes_gets_an_error(log: SqliteLog) -> None:
    for n in range(6):
        await log.append([a_record("orders", n)])
    reader = await log.reader("orders", "g", from_the_first)
    assert numbers(await reader.read(2, 0)) == [0, 1]
    await log.retain("orders", FAR_AHEAD_MS, {0: 4})
    with pytest.raises(PositionLost):
        await reader.read(2, 0)


async def test_position_0_of_a_topic_that_never_had_a_record_is_fine(log: SqliteLog) -> None:
    async def start(_: Collection[int]) -> Mapping[int, int]:
        return {0: 0}

    reader = await log.reader("orders", "g", start)
    assert await reader.read(10, 0) == []
    await log.append([a_record("orders", 1)])
    assert numbers(await reader.read(10, 1)) == [1]


# --- batches


def test_a_batch_ends_at_its_limits_and_no_record_is_left_out() -> None:
    records = [encode(a_record("orders", n)) for n in range(2 * BATCH_RECORDS + 1)]
    assert [count for count, _, _ in batches(records)] == [BATCH_RECORDS, BATCH_RECORDS, 1]
    large = [encode(a_record("orders", n, body=b"x" * 400_000, time_ms=n)) for n in range(3)]
    assert [(count, newest_ms) for count, newest_ms, _ in batches(large)] == [
        (1, 0),
        (1, 1),
        (1, 2),
    ]


async def test_many_tasks_share_a_commit(log: SqliteLog) -> None:
    await asyncio.gather(*(log.append([a_record("orders", n)]) for n in range(64)))
    reader = await log.reader("orders", "g", from_the_first)
    assert numbers(await read_until(reader, 64)) == list(range(64))


async def test_a_look_at_several_topics_finds_what_a_look_at_each_finds(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    reading = LogFile(tmp_path / "log.db", busy_timeout_s=1, wal_limit_bytes=1 << 26)
    wanted = [(topic, offset) for topic in ("orders", "spend", "ads") for offset in (0, 1, 2)]
    try:
        for topic in ("orders", "spend", "orders", "ads"):
            assert reading.with_records(wanted) == [reading.holds(*each) for each in wanted]
            await log.append([a_record(topic, 1)])
        assert reading.with_records(wanted) == [reading.holds(*each) for each in wanted]
        assert reading.with_records(wanted) == [
            True,
            True,
            False,
            True,
            False,
            False,
            True,
            False,
            False,
        ]
    finally:
        reading.close()
        await log.close()
