"""The spool keeps the log's contract, and no sender notices an outage of the log behind it."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
import structlog

from stream.log.contract import (
    Log,
    LogError,
    Owner,
    Reader,
    RecordsRefused,
    Span,
    Start,
    Unavailable,
)
from stream.log.spool import SpooledLog, SpoolState, read_set_aside, read_state
from stream.log.spool_file import SpoolFile
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry, Record
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
from tests.support.servers.turns import turns_until

BODY = b"x" * 5_000
BOUND_S, FOR_EVER_S = 0.2, 600.0


class Outage:
    """A log whose appends can be made to fail (`refusing`, or those of `closed_topics`), to give no
    answer though they land (`silent`), or to be refused for good where they are larger than
    `largest`."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.refusing = self.silent = False
        self.closed_topics: set[str] = set()
        self.largest: int | None = None
        self.asked = 0

    async def append(self, records: Sequence[Record]) -> None:
        self.asked += 1
        if self.refusing or any(record.topic in self.closed_topics for record in records):
            raise Unavailable("away for a while")
        largest = self.largest
        refused = [r for r in records if largest is not None and len(r.body) > largest]
        await self._log.append([record for record in records if record not in refused])
        if refused:
            raise RecordsRefused("too_large", "more than this topic takes", refused)
        if self.silent:
            await asyncio.Event().wait()

    async def reader(self, topic: str, group: str, start: Start) -> Reader:
        return await self._log.reader(topic, group, start)

    async def spans(self, topic: str) -> Mapping[int, Span]:
        return await self._log.spans(topic)

    async def identity(self, topic: str) -> str:
        return await self._log.identity(topic)

    async def owner(self) -> Owner | None:
        return await self._log.owner()

    async def own(self, name: str) -> None:
        await self._log.own(name)

    async def scan(self, topic: str, partition: int, offset: int, max_records: int) -> list[Entry]:
        return await self._log.scan(topic, partition, offset, max_records)

    async def retain(self, topic: str, older_than_ms: int, unread: Mapping[int, int]) -> int:
        return await self._log.retain(topic, older_than_ms, unread)

    async def close(self) -> None:
        await self._log.close()


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


@pytest.fixture
async def outage(tmp_path: Path) -> Outage:
    return Outage(await SqliteLog.open(tmp_path / "log.db"))


@pytest.fixture
async def log(outage: Outage, tmp_path: Path) -> AsyncIterator[SpooledLog]:
    """Waits for a log that takes its time, as any disk may for a second; so only one that says no
    is spooled."""
    spooled = await SpooledLog.open(
        outage, tmp_path / "spool.db", bound_s=FOR_EVER_S, probe_every_s=0.02
    )
    yield spooled
    await spooled.close()


@pytest.fixture
async def impatient(outage: Outage, tmp_path: Path) -> AsyncIterator[SpooledLog]:
    """Takes a log that gives no answer soon for one that is away."""
    spooled = await SpooledLog.open(
        outage, tmp_path / "spool.db", bound_s=BOUND_S, probe_every_s=0.02
    )
    yield spooled
    await spooled.close()


async def direct_again(log: SpooledLog) -> None:
    await log.drained()
    assert not log.spooling


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


async def test_a_full_spool_refuses_and_takes_records_again_once_there_is_room(
    outage: Outage, tmp_path: Path
) -> None:
    log = await SpooledLog.open(
        outage, tmp_path / "spool.db", max_bytes=2 << 20, bound_s=FOR_EVER_S, probe_every_s=0.02
    )
    outage.refusing = True
    acknowledged = []
    with pytest.raises(Unavailable):
        for n in range(2_000):
            await log.append([a_record("orders", n, body=BODY)])
            acknowledged.append(n)
    assert 100 < len(acknowledged) < 420
    assert log.spool_state().bytes <= 2 << 20
    outage.refusing = False
    await direct_again(log)
    outage.refusing = True
    await log.append([a_record("orders", 9_999, body=BODY)])
    outage.refusing = False
    await direct_again(log)
    assert set(numbers(await scan_all(log, "orders"))) >= {*acknowledged, 9_999}
    await log.close()


async def test_a_full_spool_hands_to_a_log_that_is_back(outage: Outage, tmp_path: Path) -> None:
    log = await SpooledLog.open(
        outage,
        tmp_path / "spool.db",
        max_bytes=2 << 20,
        bound_s=FOR_EVER_S,
        probe_every_s=FOR_EVER_S,
    )
    outage.refusing = True
    with pytest.raises(Unavailable):
        for n in range(2_000):
            await log.append([a_record("orders", n, body=BODY)])
    outage.refusing = False
    await log.append([a_record("orders", 5_000, body=BODY)])
    assert numbers(await scan_all(log, "orders")) == [5_000]
    await log.close()


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


async def test_why_it_spools_and_that_it_no_longer_does_is_reported_once_a_record_was_in_the_file(
    outage: Outage, log: SpooledLog
) -> None:
    with structlog.testing.capture_logs() as found:
        outage.refusing = True
        await log.append([a_record("orders", 1)])
        await log.append([a_record("orders", 2)])
        await turns_until(lambda: outage.asked > 3)
        outage.refusing = False
        await direct_again(log)
    assert [(line["event"], line.get("reason")) for line in found] == [
        ("spooling", "away for a while"),
        ("spool_waits", "away for a while"),
        ("spool_drained", None),
    ]


async def test_a_full_file_is_reported_as_refusing_and_neither_as_spooling_nor_as_drained(
    outage: Outage, tmp_path: Path
) -> None:
    log = await SpooledLog.open(
        outage, tmp_path / "spool.db", max_bytes=1, bound_s=FOR_EVER_S, probe_every_s=0.02
    )
    outage.refusing = True
    with structlog.testing.capture_logs() as found:
        with pytest.raises(
            Unavailable,
            match=r"spool.db takes nothing .*full.*, nor does the log \(away for a while\)",
        ):
            await log.append([Record("orders", "k", "1", LONG_AGO_MS, {}, b"x" * (2 << 20))])
        await direct_again(log)
    assert not {line["event"] for line in found} & {"spooling", "spool_drained"}
    await log.close()


async def test_a_file_that_is_no_spool_is_reported_with_the_setting_that_names_it(
    outage: Outage, tmp_path: Path
) -> None:
    (tmp_path / "spool.db").write_bytes(b"no database at all" * 1_000)
    with pytest.raises(LogError, match=r"spool\.db: not a SQLite database .*see ORDERWIRE_SPOOL"):
        await SpooledLog.open(outage, tmp_path / "spool.db")
    await outage.close()


LARGE = b"x" * 20_000


async def test_what_the_log_refuses_for_good_is_set_aside_and_the_rest_of_the_append_is_there(
    log: SpooledLog, outage: Outage, tmp_path: Path
) -> None:
    outage.largest = 10_000
    with structlog.testing.capture_logs() as lines:
        for n in range(0, 30, 3):
            await log.append(
                [a_record("orders", n), a_record("orders", n + 1, body=LARGE), a_record("ads", n)]
            )
    assert not log.spooling
    assert numbers(await scan_all(log, "orders")) == list(range(0, 30, 3))
    assert numbers(await scan_all(log, "ads")) == list(range(0, 30, 3))
    assert log.spool_state() == SpoolState(0, 0, None, set_aside=10)
    assert read_set_aside(tmp_path / "spool.db") == {("orders", "too_large"): 10}
    (line,) = [line for line in lines if line["event"] == "records_set_aside"]
    assert (line["topic"], line["shops"]) == ("orders", ["example.myshopify.com"])
    assert "orderwire replay --set-aside" in line["go_on"]


async def test_a_refused_record_in_the_spool_lets_the_others_pass_and_nothing_is_twice(
    log: SpooledLog, outage: Outage
) -> None:
    outage.refusing, outage.largest = True, 10_000
    large = {7, 8, 300}
    for n in range(400):
        await log.append([a_record("orders", n, body=LARGE if n in large else None)])
    outage.refusing = False
    await direct_again(log)
    kept = [n for n in range(400) if n not in large]
    assert numbers(await scan_all(log, "orders")) == kept
    assert log.spool_state().set_aside == len(large)


async def test_a_topic_that_takes_nothing_holds_up_no_other_topic(
    log: SpooledLog, outage: Outage
) -> None:
    outage.refusing = True
    for n in range(50):
        await log.append([a_record("ads", n), a_record("orders", n)])
    outage.closed_topics, outage.refusing = {"ads"}, False
    await turns_until(lambda: log.spool_state().records == 50)
    assert numbers(await scan_all(log, "orders")) == list(range(50))
    await log.append([a_record("orders", 50), a_record("ads", 50)])
    outage.closed_topics = set()
    await direct_again(log)
    assert numbers(await scan_all(log, "ads")) == list(range(51))
    assert numbers(await scan_all(log, "orders")) == list(range(51))


async def test_a_log_that_keeps_what_it_does_not_acknowledge_gets_one_copy_at_a_time(
    impatient: SpooledLog, outage: Outage
) -> None:
    outage.refusing = True
    await impatient.append([a_record("orders", n) for n in range(500)])
    outage.refusing, outage.silent = False, True
    before = outage.asked
    await turns_until(lambda: outage.asked >= before + 4)
    outage.silent = False
    await direct_again(impatient)
    held = numbers(await scan_all(impatient, "orders"))
    assert set(held) == set(range(500))
    assert len(held) <= 500 + 2 * (outage.asked - before)


async def test_what_cannot_be_forwarded_takes_a_quarter_of_the_file_at_most(
    outage: Outage, tmp_path: Path
) -> None:
    log = await SpooledLog.open(outage, tmp_path / "spool.db", max_bytes=4 << 20)
    outage.largest = 10_000
    with pytest.raises(RecordsRefused) as caught:
        for n in range(1_000):
            await log.append([a_record("orders", n, body=LARGE), a_record("orders", n)])
    assert 40 < log.spool_state().set_aside < 60
    (record,) = caught.value.records
    assert record.body == LARGE
    assert numbers(await scan_all(log, "orders"))[-1] == int(record.id.partition("-")[2])
    await log.close()


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
