"""The spool keeps the log's contract, and no sender notices an outage of the log behind it."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from stream.log.contract import (
    Log,
    Unavailable,
)
from stream.log.spool import SpooledLog, SpoolState, read_state
from stream.log.spool_file import SpoolFile
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from tests.contracts.log import LogContract
from tests.contracts.log_kit import (
    LONG_AGO_MS,
    Forget,
    OpenLog,
    a_record,
    by_key,
    numbers,
    scan_all,
)
from tests.support.servers.outage import BODY, BOUND_S, FOR_EVER_S, Outage, direct_again
from tests.support.servers.turns import turns_until


class TestSpooledLog(LogContract):
    @pytest.fixture
    def open_log(self, tmp_path: Path) -> OpenLog:
        async def open_log() -> Log:
            return await SpooledLog.open(
                await SqliteLog.open(tmp_path / "log.db"), tmp_path / "spool.db"
            )

        return open_log

    @pytest.fixture
    def forget(self) -> Forget:
        async def forget(log: Log, topic: str, before: Mapping[int, int]) -> None:
            await log.retain(topic, LONG_AGO_MS + 1, before)

        return forget


async def test_a_log_that_takes_records_is_all_there_is(log: SpooledLog, outage: Outage) -> None:
    await log.append([a_record("orders", 1)])
    assert (log.spooling, outage.asked, log.spool_state()) == (False, 1, SpoolState(0, 0, None))


async def test_a_silent_log_is_waited_for_as_long_as_allowed_and_then_the_file_answers(
    impatient: SpooledLog, outage: Outage
) -> None:
    outage.silent = True
    begun_s = time.monotonic()
    append = asyncio.create_task(impatient.append([a_record("orders", 1)]))
    assert await turns_until(lambda: impatient.spooling) < 3 * BOUND_S
    assert time.monotonic() - begun_s > 0.9 * BOUND_S
    await append


async def test_while_spooling_nobody_waits_for_the_log(log: SpooledLog, outage: Outage) -> None:
    outage.refusing = True
    await log.append([a_record("orders", 0)])
    outage.refusing, outage.silent = False, True
    for n in range(1, 11):  # FOR_EVER_S each, if one did
        await log.append([a_record("orders", n)])
    assert log.spooling


async def test_state_shows_records_bytes_and_age_also_to_another_process(
    log: SpooledLog, outage: Outage, tmp_path: Path
) -> None:
    outage.refusing = True
    now_ms = time.time_ns() // 1_000_000
    await log.append([a_record("orders", n, body=BODY, time_ms=now_ms - 60_000) for n in range(10)])
    state = log.spool_state()
    assert state.records == 10
    assert 50_000 <= state.bytes < 1_000_000
    assert state.oldest_s is not None
    assert 60 <= state.oldest_s < 70
    program = (
        "import sys; from pathlib import Path; from stream.log.spool import read_state; "
        "print(*read_state(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "spool.db")]
    found = (await asyncio.to_thread(lambda: subprocess.check_output(command, text=True))).split()
    assert found[:2] == ["10", str(state.bytes)]


def test_a_spool_that_was_never_made_is_empty(tmp_path: Path) -> None:
    assert read_state(tmp_path / "none.db") == SpoolState(0, 0, None)


async def test_records_of_an_outage_reach_the_log_in_order_while_new_traffic_flows(
    log: SpooledLog, outage: Outage
) -> None:
    outage.refusing = True
    count = 3_000
    for n in range(0, 1_500, 5):
        await log.append([a_record("orders", m, key=f"k{m % 7}") for m in range(n, n + 5)])
    outage.refusing = False
    for n in range(1_500, count, 5):
        await log.append([a_record("orders", m, key=f"k{m % 7}") for m in range(n, n + 5)])
    await direct_again(log)
    held = by_key(await scan_all(log, "orders"))
    assert held == {f"k{k}": list(range(k, count, 7)) for k in range(7)}
    assert log.spool_state() == SpoolState(0, 0, None)


class Failing(Outage):
    """A log whose appends wait until it fails, all at once. From then on it refuses."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def append(self, records: Sequence[Record]) -> None:
        if not self.failed.done():
            await asyncio.shield(self.failed)
        await super().append(records)

    def fail(self) -> None:
        self.refusing = True
        self.failed.set_exception(Unavailable("no answer"))


async def test_records_that_come_as_the_log_fails_line_up_behind_those_that_waited_for_it(
    tmp_path: Path,
) -> None:
    outage = Failing(await SqliteLog.open(tmp_path / "log.db"))
    spooled = await SpooledLog.open(
        outage, tmp_path / "spool.db", bound_s=FOR_EVER_S, probe_every_s=0.02
    )
    appends = [
        asyncio.create_task(spooled.append([a_record("orders", n, key="k")])) for n in range(3)
    ]
    await asyncio.sleep(0.01)
    appends += [
        asyncio.create_task(spooled.append([a_record("orders", n, key="k")])) for n in (3, 4)
    ]
    await asyncio.sleep(0)  # They are about to ask the log, before the others hear of the failure.
    outage.fail()
    await asyncio.gather(*appends)
    outage.refusing = False
    await direct_again(spooled)
    assert by_key(await scan_all(spooled, "orders")) == {"k": [0, 1, 2, 3, 4]}
    await spooled.close()


async def test_records_whose_deletion_failed_once_are_deleted_without_being_sent_again(
    log: SpooledLog, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full for a moment."""
    delete, failures = SpoolFile.forget, iter(range(3))

    async def forget(file: SpoolFile, topic: str | None, before: int) -> None:
        if next(failures, None) is not None:
            raise Unavailable("the disk is full")
        await delete(file, topic, before)

    monkeypatch.setattr(SpoolFile, "forget", forget)
    outage.refusing = True
    await log.append([a_record("orders", 0)])
    outage.refusing = False
    await direct_again(log)
    assert log.spool_state() == SpoolState(0, 0, None)
    assert numbers(await scan_all(log, "orders")) == [0]


async def test_topics_keys_headers_and_bodies_come_out_of_the_spool_as_they_went_in(
    log: SpooledLog, outage: Outage
) -> None:
    outage.refusing = True
    records = [
        Record(topic, "k", f"id-{n}", n, {"source": "meta", "": "x"}, bytes([n]))
        for n, topic in enumerate(("orders", "ads"))
    ]
    await log.append(records)
    outage.refusing = False
    await direct_again(log)
    assert [
        entry.record for topic in ("orders", "ads") for entry in await scan_all(log, topic)
    ] == records


async def test_what_a_silent_log_kept_reaches_it_twice_and_nothing_is_missing(
    impatient: SpooledLog, outage: Outage
) -> None:
    outage.silent = True
    await impatient.append([a_record("orders", 1)])
    outage.silent = False
    await direct_again(impatient)
    assert len(held := numbers(await scan_all(impatient, "orders"))) >= 2
    assert set(held) == {1}


async def test_what_a_process_left_in_the_spool_the_next_one_drains(
    outage: Outage, tmp_path: Path
) -> None:
    outage.refusing = True
    first = await SpooledLog.open(
        Outage(outage), tmp_path / "spool.db", bound_s=FOR_EVER_S, probe_every_s=0.02
    )
    await first.append([a_record("orders", n) for n in range(20)])
    await first.close()
    again = Outage(await SqliteLog.open(tmp_path / "log.db"))
    second = await SpooledLog.open(
        again, tmp_path / "spool.db", bound_s=FOR_EVER_S, probe_every_s=0.02
    )
    await second.append([a_record("orders", 20)])
    await direct_again(second)
    assert numbers(await scan_all(second, "orders")) == list(range(21))
    await second.close()


async def test_two_receivers_with_one_spool_bring_every_record_to_the_log(tmp_path: Path) -> None:
    outages = [Outage(await SqliteLog.open(tmp_path / "log.db")) for _ in range(2)]
    logs = [
        await SpooledLog.open(log, tmp_path / "spool.db", bound_s=FOR_EVER_S, probe_every_s=0.02)
        for log in outages
    ]
    for outage in outages:
        outage.refusing = True

    async def receive(log: SpooledLog, start: int) -> None:
        for n in range(start, start + 300):
            await log.append([a_record("orders", n, key=str(start))])

    receiving = [asyncio.create_task(receive(log, 1_000 * i)) for i, log in enumerate(logs)]
    await receiving[0]
    for outage in outages:
        outage.refusing = False
    await receiving[1]
    for log in logs:
        await direct_again(log)
    assert set(numbers(await scan_all(logs[0], "orders"))) == {*range(300), *range(1_000, 1_300)}
    for log in logs:
        await log.close()


async def test_no_acknowledged_record_is_missing_after_outages_that_come_and_go(
    impatient: SpooledLog, outage: Outage
) -> None:
    acknowledged: list[int] = []
    ended = asyncio.Event()

    async def receive(start: int) -> None:
        n = start
        while not ended.is_set():
            await impatient.append([a_record("orders", n, key=str(start))])
            acknowledged.append(n)
            n += 1
            await asyncio.sleep(0.001)

    receiving = [asyncio.create_task(receive(100_000 * i)) for i in range(4)]
    for turn in range(8):
        outage.refusing, outage.silent = turn % 2 == 0, turn % 4 == 3
        await asyncio.sleep(0.15)
    outage.refusing = outage.silent = False
    ended.set()
    await asyncio.gather(*receiving)
    await direct_again(impatient)
    entries = await scan_all(impatient, "orders")
    assert set(numbers(entries)) >= set(acknowledged)


async def test_close_leaves_records_in_the_spool_rather_than_wait_for_the_log(
    outage: Outage, tmp_path: Path
) -> None:
    log = await SpooledLog.open(outage, tmp_path / "spool.db", bound_s=0.2, probe_every_s=0.02)
    outage.refusing = True
    await log.append([a_record("orders", 1)])
    await log.close()
    assert read_state(tmp_path / "spool.db").records == 1


async def test_a_spool_of_an_earlier_version_is_drained(outage: Outage, tmp_path: Path) -> None:
    before = await SqliteLog.open(tmp_path / "spool.db")
    for n in range(20):
        record = a_record("orders" if n % 2 else "ads", n)
        headers = {**record.headers, "spool_topic": record.topic}
        await before.append([msgspec.structs.replace(record, topic="spool", headers=headers)])
    await before.close()
    log = await SpooledLog.open(outage, tmp_path / "spool.db", probe_every_s=0.02)
    await direct_again(log)
    assert numbers(await scan_all(log, "orders")) == list(range(1, 20, 2))
    assert numbers(await scan_all(log, "ads")) == list(range(0, 20, 2))
    assert log.spool_state() == SpoolState(0, 0, None)
    await log.close()
