"""Processors that share one reading of a topic each get every record once, whatever the others
do."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.log.contract import Log, PositionLost, Reader, Span, Start, Stuck
from stream.log.shared_reader import SharedReaders
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry, Record
from tests.contracts.log import ReaderContract
from tests.contracts.log_kit import Forget, OpenLog, a_record, numbers

FAR_AHEAD_MS = 4_102_444_800_000


class SharingLog(SqliteLog):
    """Its groups share one reader, which has the topic's name."""

    opened = reads = 0

    @cached_property
    def shared(self) -> SharedReaders:
        return SharedReaders(self)

    async def reader(self, topic: str, group: str, start: Start) -> Any:
        if group != topic:
            return await self.shared.reader(topic, group, start)
        self.opened += 1
        reader: Any = await super().reader(topic, group, start)
        read: Callable[[int, float], Awaitable[list[Entry]]] = reader.read

        async def counted(max_records: int, wait_s: float) -> list[Entry]:
            self.reads += 1
            return await read(max_records, wait_s)

        reader.read = counted
        return reader


class TestSharedReaders(ReaderContract):
    @pytest.fixture
    def open_log(self, tmp_path: Path) -> OpenLog:
        async def open_log() -> Log:
            return await SharingLog.open(tmp_path / "data" / "log.db")

        return open_log

    @pytest.fixture
    def forget(self) -> Forget:
        async def forget(log: Log, topic: str, before: Mapping[int, int]) -> None:
            await log.retain(topic, FAR_AHEAD_MS, before)

        return forget


async def test_a_wait_without_news_looks_at_the_log_once(tmp_path: Path) -> None:
    log = await SharingLog.open(tmp_path / "log.db")

    async def begin(partitions: Collection[int]) -> Mapping[int, int]:
        return {}

    reader = await log.reader("orders", "p", begin)
    for _ in range(3):
        assert await reader.read(10, 0.05) == []
    assert log.reads == 4  # The first read of all also learns of its partitions.
    await reader.close()
    await log.close()


# --- in memory, with partitions that come and go


class MemoryLog:
    """A log of one topic, and who owns its partitions."""

    def __init__(self, partitions: int) -> None:
        self.held: list[list[Entry]] = [[] for _ in range(partitions)]
        self.owned = frozenset(range(partitions))
        self.generation = 0
        self.read = self.scanned = 0
        """Entries given by readers, and by `scan`."""
        self.reported: Mapping[int, int] = {}
        self.readers: list[MemoryReader] = []
        self.failure: Exception | None = None
        """What the next read of a reader raises."""

    def put(self, partition: int, count: int, body: bytes = b"body") -> None:
        held = self.held[partition]
        for _ in range(count):
            record = Record("orders", "k", str(len(held)), 0, {}, body)
            held.append(Entry(record, partition, len(held)))

    async def reader(self, topic: str, group: str, start: Start) -> Reader:
        self.readers.append(MemoryReader(self, start))
        return self.readers[-1]

    async def scan(self, topic: str, partition: int, offset: int, max_records: int) -> list[Entry]:
        await asyncio.sleep(0)
        found = self.held[partition][offset : offset + max_records]
        self.scanned += len(found)
        return found

    async def spans(self, topic: str) -> Mapping[int, Span]:
        return {number: Span(0, len(held)) for number, held in enumerate(self.held)}


class MemoryReader:
    """As `KafkaReader`: it places itself anew when it owns other partitions."""

    def __init__(self, log: MemoryLog, start: Start) -> None:
        self._log, self._start = log, start
        self._placed_in: int | None = None
        self._next: dict[int, int] = {}
        self.open = True

    async def read(self, max_records: int, wait_s: float) -> list[Entry]:
        log = self._log
        await asyncio.sleep(0)
        if log.failure is not None:
            failure, log.failure = log.failure, None
            raise failure
        while self._placed_in != log.generation:
            owned, generation = log.owned, log.generation
            asked = await self._start(owned)
            if log.generation == generation:
                self._placed_in = generation
                self._next = {each: asked.get(each, 0) for each in owned}
        taken: list[Entry] = []
        for partition, position in self._next.items():
            taken += log.held[partition][position : position + max_records - len(taken)]
        for entry in taken:
            self._next[entry.partition] = entry.offset + 1
        log.read += len(taken)
        await asyncio.sleep(0 if taken else min(wait_s, 0.01))
        return taken

    async def reload(self) -> None:
        self._placed_in = None

    async def report(self, positions: Mapping[int, int]) -> None:
        self._log.reported = positions

    async def close(self) -> None:
        self.open = False


class Folding:
    """A processor as its runner treats it: it may read the next batch while one is folded."""

    def __init__(self, readers: SharedReaders, name: str) -> None:
        self._readers, self._name = readers, name
        self._reader: Reader | None = None
        self.stored: dict[int, int] = {}
        self.folded: list[tuple[int, int]] = []
        self._loaded: dict[int, int] = {}
        self._under_way: tuple[list[Entry], dict[int, int]] | None = None
        self._ahead: list[Entry] = []

    async def start(self, partitions: Collection[int]) -> Mapping[int, int]:
        await asyncio.sleep(0)
        self._loaded.update({each: self.stored.get(each, 0) for each in partitions})
        under_way = self._under_way[0] if self._under_way is not None else []
        in_hand = {each.partition: each.offset + 1 for each in (*under_way, *self._ahead)}
        known = self.stored.keys() | in_hand.keys()
        return {
            each: max(self.stored.get(each, 0), in_hand.get(each, 0))
            for each in known.intersection(partitions)
        }

    async def read(self, max_records: int) -> None:
        if self._reader is None:
            self._reader = await self._readers.reader("orders", self._name, self.start)
        if not self._ahead:
            self._ahead = await self._reader.read(max_records, 0.0)
        if self._under_way is None and self._ahead:
            self._under_way, self._ahead = (self._ahead, dict(self._loaded)), []

    async def commit(self) -> None:
        if self._under_way is None:
            return
        (entries, expected), self._under_way = self._under_way, None
        if any(self.stored.get(each.partition, 0) != expected[each.partition] for each in entries):
            await self.give_up()
            return
        self._fold(entries)
        self._loaded |= {each.partition: each.offset + 1 for each in entries}
        if self._reader is not None:
            await self._reader.report(self._loaded)
        self._under_way = (self._ahead, dict(self._loaded)) if self._ahead else None
        self._ahead = []

    def _fold(self, entries: Collection[Entry]) -> None:
        self.folded += [(each.partition, each.offset) for each in entries]
        self.stored |= {each.partition: each.offset + 1 for each in entries}

    def heir(self, log: MemoryLog, partition: int) -> None:
        """Another process, which takes itself for the owner, folds some records."""
        at = self.stored.get(partition, 0)
        self._fold(log.held[partition][at : at + 3])

    async def give_up(self) -> None:
        self._under_way, self._ahead = None, []
        if self._reader is not None:
            await self._reader.reload()

    async def leave(self) -> None:
        reader, self._reader = self._reader, None
        self._under_way, self._ahead = None, []
        if reader is not None:
            await reader.close()


NAMES = ("capi", "orders", "contacts")
PARTITIONS = 2
steps = st.one_of(
    st.tuples(st.just("put"), st.integers(0, PARTITIONS - 1), st.integers(1, 9)),
    st.tuples(st.just("read"), st.sampled_from(NAMES), st.integers(1, 6)),
    st.tuples(st.just("read"), st.sampled_from(NAMES), st.integers(1, 6)),
    st.tuples(st.just("commit"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("commit"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("both"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("heir"), st.sampled_from(NAMES), st.integers(0, PARTITIONS - 1)),
    st.tuples(st.just("give up"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("back"), st.sampled_from(NAMES), st.integers(0, PARTITIONS - 1)),
    st.tuples(st.just("leave"), st.sampled_from(NAMES), st.just(0)),
    st.tuples(st.just("fail"), st.just(""), st.just(0)),
    st.tuples(st.just("own"), st.just(""), st.integers(0, 2**PARTITIONS - 1)),
)


async def carry_out(taken: list[tuple[str, Any, int]], most_bytes: int) -> None:
    log = MemoryLog(PARTITIONS)
    readers = SharedReaders(log, most_bytes)  # type: ignore[arg-type]  # what it uses of one
    processors = {name: Folding(readers, name) for name in NAMES}

    async def read(name: str, count: int) -> None:
        try:
            await processors[name].read(count)
        except Stuck:
            await processors[name].leave()

    for step, on, number in taken:
        match step:
            case "put":
                log.put(on, number)
            case "read":
                await read(on, number)
            case "both":
                await asyncio.gather(*(read(name, 4) for name in NAMES))
            case "commit":
                await processors[on].commit()
            case "heir":
                processors[on].heir(log, number)
            case "give up":
                await processors[on].give_up()
            case "back":  # `orderwire replay`
                one = processors[on]
                one.folded = [each for each in one.folded if each[0] != number]
                one.stored[number] = 0
            case "leave":
                await processors[on].leave()
            case "fail":
                log.failure = Stuck()
            case "own":
                log.owned = frozenset(n for n in range(PARTITIONS) if number >> n & 1)
                log.generation += 1
    log.owned, log.failure = frozenset(range(PARTITIONS)), None
    log.generation += 1
    for partition in range(PARTITIONS):
        log.put(partition, 1)  # Whose position was moved learns of it with the next record.
    everything = [(n, each.offset) for n, held in enumerate(log.held) for each in held]
    for _ in range(200):
        for name, one in processors.items():
            await read(name, 50)
            await one.commit()
        if all(len(one.folded) == len(everything) for one in processors.values()):
            break
    for name, one in processors.items():
        assert sorted(one.folded) == everything, name
        for partition in range(PARTITIONS):
            offsets = [offset for number, offset in one.folded if number == partition]
            assert offsets == sorted(offsets)


@settings(deadline=None)
@given(taken=st.lists(steps, max_size=40), most_bytes=st.sampled_from([0, 20, 1 << 20]))
def test_every_processor_folds_every_record_once_whatever_the_others_do(
    taken: list[tuple[str, Any, int]], most_bytes: int
) -> None:
    asyncio.run(carry_out(taken, most_bytes))


async def none_stored(_: Collection[int]) -> Mapping[int, int]:
    return {}


def stored_at(positions: Mapping[int, int]) -> Start:
    async def start(partitions: Collection[int]) -> Mapping[int, int]:
        return {each: positions[each] for each in partitions if each in positions}

    return start


async def drained(reader: Reader) -> list[tuple[int, int]]:
    """What it gives until there is no more."""
    found: list[tuple[int, int]] = []
    while entries := await reader.read(100, 0.0):
        found += [(each.partition, each.offset) for each in entries]
    return found


def sharing(log: MemoryLog, most_bytes: int = 1 << 20) -> SharedReaders:
    return SharedReaders(log, most_bytes)  # type: ignore[arg-type]  # what it uses of one


async def test_the_log_is_read_once_by_one_reader() -> None:
    log = MemoryLog(3)
    readers = sharing(log)
    both = [await readers.reader("orders", name, none_stored) for name in ("capi", "orders")]
    for reader in both:
        await reader.read(10, 0.0)
    for partition in range(3):
        log.put(partition, 200)
    everything = [(partition, n) for partition in range(3) for n in range(200)]
    for reader in both:
        assert sorted(await drained(reader)) == everything
    assert (log.read, log.scanned, len(log.readers)) == (600, 0, 1)


async def test_one_that_is_far_behind_reads_by_itself_and_then_with_the_other() -> None:
    log = MemoryLog(1)
    log.put(0, 5_000)
    readers = sharing(log)
    # It is the first to read, and has no position: the other does not begin where it does.
    stored = dict[int, int]()
    late = await readers.reader("orders", "contacts", stored_at(stored))
    assert [each.offset for each in await late.read(10, 0.0)] == list(range(10))
    stored[0] = 10
    up_to_date = await readers.reader("orders", "orders", stored_at({0: 4_990}))
    before = log.read
    assert await drained(up_to_date) == [(0, n) for n in range(4_990, 5_000)]
    assert log.read - before == 10
    assert await drained(late) == [(0, n) for n in range(10, 5_000)]
    log.put(0, 50)
    before, scanned = log.read, log.scanned
    for reader in (up_to_date, late):
        assert await drained(reader) == [(0, n) for n in range(5_000, 5_050)]
    assert (log.read, log.scanned) == (before + 50, scanned)


async def test_what_is_kept_for_a_slower_one_is_bounded_in_bytes() -> None:
    log = MemoryLog(1)
    readers = sharing(log, most_bytes=1_000)
    fast = await readers.reader("orders", "capi", none_stored)
    slow = await readers.reader("orders", "orders", none_stored)
    for reader in (fast, slow):
        assert await drained(reader) == []
    log.put(0, 300, body=b"x" * 100)
    assert len(await drained(fast)) == 300
    assert len(readers._topics["orders"].since(0)) <= 10
    assert await drained(slow) == [(0, n) for n in range(300)]
    assert log.scanned >= 290


async def test_the_reader_is_closed_with_the_last_and_one_that_failed_is_opened_anew() -> None:
    log = MemoryLog(1)
    readers = sharing(log)
    both = [await readers.reader("orders", name, none_stored) for name in ("capi", "orders")]
    for reader in both:
        await reader.read(10, 0.0)
    log.failure = Stuck()
    with pytest.raises(Stuck):
        await both[0].read(10, 0.0)
    await both[0].close()
    log.put(0, 5)
    assert len(await drained(both[1])) == 5
    assert [each.open for each in log.readers] == [False, True]
    await both[1].close()
    assert [each.open for each in log.readers] == [False, False]


async def test_the_position_of_the_slowest_is_reported() -> None:
    log = MemoryLog(2)
    readers = sharing(log)
    capi = await readers.reader("orders", "capi", none_stored)
    orders = await readers.reader("orders", "orders", none_stored)
    for reader in (capi, orders):
        await reader.read(10, 0.0)
    await capi.report({0: 7})
    await orders.report({0: 3, 1: 2})
    assert log.reported == {0: 3}
    await capi.report({1: 9})
    assert log.reported == {0: 3, 1: 2}


async def test_one_waits_no_longer_than_it_may_while_another_reads() -> None:
    log = MemoryLog(1)
    readers = sharing(log)
    both = [await readers.reader("orders", name, none_stored) for name in ("capi", "orders")]
    for reader in both:
        await reader.read(10, 0.0)
    waiting = asyncio.create_task(both[0].read(10, 600.0))
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        assert await both[1].read(10, 0.0) == []
        also = asyncio.create_task(both[1].read(10, 600.0))
        await asyncio.sleep(0)
        log.put(0, 1)
        assert len(await waiting) == len(await also) == 1


async def test_a_position_that_retention_has_passed_is_lost_for_its_processor_only(
    tmp_path: Path,
) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    for n in range(4):
        await log.append([a_record("orders", n)])
    (first, *_, last) = await log.scan("orders", 0, 0, 10)
    await log.retain("orders", FAR_AHEAD_MS, {0: last.offset})
    readers = SharedReaders(log)
    well = await readers.reader("orders", "orders", stored_at({0: last.offset}))
    lost = await readers.reader("orders", "capi", stored_at({0: first.offset}))
    assert numbers(await well.read(10, 0.0)) == [3]
    for _ in range(2):
        with pytest.raises(PositionLost):
            await lost.read(10, 0.0)
    await log.append([a_record("orders", 4)])
    assert numbers(await well.read(10, 1.0)) == [4]
    await log.close()


@pytest.mark.parametrize("first", ["the lost one", "the other"])
async def test_a_position_after_the_end_is_lost_for_its_processor_only(
    tmp_path: Path, first: str
) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    await log.append([a_record("orders", 0)])
    readers = SharedReaders(log)
    stored = dict[int, int]()
    well = await readers.reader("orders", "orders", stored_at(stored))
    lost = await readers.reader("orders", "capi", stored_at({0: 1_000}))
    if first == "the other":
        assert numbers(await well.read(10, 0.0)) == [0]
    for _ in range(2):
        with pytest.raises(PositionLost):
            await lost.read(10, 0.0)
    if first == "the lost one":
        assert numbers(await well.read(10, 1.0)) == [0]
    stored[0] = 1
    await lost.close()
    await log.append([a_record("orders", 1)])
    assert numbers(await well.read(10, 1.0)) == [1]
    await log.close()
