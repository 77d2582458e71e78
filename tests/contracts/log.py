"""What every log must do (`stream/log.py`), in terms that any of them can meet: per partition, gaps in offsets allowed.

A backend's test file subclasses `LogContract` and supplies two fixtures:

- `open_log`: a function that opens the same log once more, as another process would;
- `forget`: makes the log lose what lies before given positions of a topic, by whatever means it has for that (retention, an admin call).

and, where topics must be made beforehand, `topic` and `second_topic`. The suite closes what it opens, some of it twice.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from uuid import uuid4

import pytest

from stream.log import Log, PositionLost, Reader, Span, Unavailable
from stream.record import Entry, Record
from tests.turns import turns_until

OpenLog = Callable[[], Awaitable[Log]]
Forget = Callable[[Log, str, Mapping[int, int]], Awaitable[None]]

PATIENCE_S = 120.0
"""For what must come at all: a group may have to be joined first, on a machine that has other things to do."""

NOW_MS = time.time_ns() // 1_000_000
LONG_AGO_MS = NOW_MS - 2 * 86_400_000
"""Old for the tests, yet inside any retention that a broker has of its own."""


def a_record(topic: str, number: int, *, key: str = "k", body: bytes | None = None, time_ms: int = LONG_AGO_MS) -> Record:
    headers = {"source": "shopify", "topic": "orders/create", "shop": "example.myshopify.com"}
    return Record(topic, key, f"id-{number}", time_ms, headers, f'{{"n":{number}}}'.encode() if body is None else body)


def numbers(entries: Iterable[Entry]) -> list[int]:
    return [int(entry.record.id.removeprefix("id-")) for entry in entries]


def by_key(entries: Iterable[Entry]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        found[entry.record.key].append(int(entry.record.id.removeprefix("id-")))
    return found


async def from_the_first(_: Collection[int]) -> Mapping[int, int]:
    return {}


async def read_until(reader: Reader, count: int, *, max_records: int = 500) -> list[Entry]:
    """At least `count` entries; fails after PATIENCE_S."""
    entries: list[Entry] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(entries) < count:
            entries += await reader.read(max_records, 1.0)
    return entries


async def scan_all(log: Log, topic: str) -> list[Entry]:
    """Everything the log holds of `topic`, in small steps, partition by partition."""
    entries: list[Entry] = []
    for partition, span in (await log.spans(topic)).items():
        offset = span.first
        while offset < span.next and (some := await log.scan(topic, partition, offset, 7)):
            assert len(some) <= 7
            assert all(entry.partition == partition for entry in some)
            entries += some
            offset = some[-1].offset + 1
    return entries


class LogContract:
    @pytest.fixture
    def open_log(self) -> OpenLog:
        raise NotImplementedError("supplied by the backend's tests")

    @pytest.fixture
    def forget(self) -> Forget:
        raise NotImplementedError("supplied by the backend's tests")

    @pytest.fixture
    async def topic(self) -> str:
        return f"topic-{uuid4().hex}"

    @pytest.fixture
    async def second_topic(self) -> str:
        return f"second-{uuid4().hex}"

    @pytest.fixture
    def group(self) -> str:
        return f"group-{uuid4().hex}"

    @pytest.fixture
    async def log(self, open_log: OpenLog) -> AsyncIterator[Log]:
        log = await open_log()
        yield log
        await log.close()

    @pytest.fixture
    async def other(self, open_log: OpenLog) -> AsyncIterator[Log]:
        """The same log as another process has it open."""
        log = await open_log()
        yield log
        await log.close()

    # --- append

    async def test_what_append_acknowledged_is_seen_by_a_log_opened_later(self, log: Log, topic: str, open_log: OpenLog) -> None:
        await log.append([a_record(topic, 1)])
        later = await open_log()
        try:
            assert numbers(await scan_all(later, topic)) == [1]
        finally:
            await later.close()

    async def test_what_append_acknowledged_is_seen_by_a_log_that_was_open_already(self, log: Log, other: Log, topic: str) -> None:
        assert await scan_all(other, topic) == []
        await log.append([a_record(topic, 1), a_record(topic, 2)])
        assert sorted(numbers(await scan_all(other, topic))) == [1, 2]

    async def test_an_append_of_nothing_returns(self, log: Log, topic: str) -> None:
        await log.append([])
        assert await scan_all(log, topic) == []

    @pytest.mark.parametrize(
        "body",
        [b"", b"\x00", bytes(range(256)) * 20, b"\xff\xfe not UTF-8", '{"name":"Zoë 🛒"}'.encode(), b"\x93\xc4" * 9_000],
        ids=["empty", "nul", "every byte", "not utf-8", "json", "looks packed"],
    )
    async def test_a_body_comes_back_byte_for_byte(self, log: Log, topic: str, body: bytes) -> None:
        await log.append([a_record(topic, 1, body=body)])
        (entry,) = await scan_all(log, topic)
        assert entry.record.body == body

    async def test_a_body_of_ten_mebibytes_which_the_receiver_lets_in_is_kept(self, log: Log, topic: str) -> None:
        body = bytes(range(256)) * (40 * 1024)
        await log.append([a_record(topic, 1), a_record(topic, 2, body=body), a_record(topic, 3)])
        assert {len(entry.record.body) for entry in await scan_all(log, topic)} == {7, 10 << 20}

    @pytest.mark.parametrize("text", ["", "plain", "a/b c'd\"e", "ключ-鍵-🔑", "nul\x00inside", "x" * 3_000])
    async def test_key_id_time_and_headers_come_back_as_they_were(self, log: Log, topic: str, text: str) -> None:
        record = Record(topic, text, f"id {text}", 1_790_000_000_123, {"source": "backfill", "shop": text, text or "h": "v"}, b"{}")
        await log.append([record])
        (entry,) = await scan_all(log, topic)
        assert entry.record == record

    async def test_headers_may_be_any_mapping(self, log: Log, topic: str) -> None:
        await log.append([Record(topic, "k", "id", 1, MappingProxyType({"source": "meta"}), b"{}")])
        (entry,) = await scan_all(log, topic)
        assert entry.record.headers == {"source": "meta"}

    async def test_one_append_may_hold_records_of_several_topics(self, log: Log, topic: str, second_topic: str) -> None:
        await log.append([a_record(second_topic, 1), a_record(topic, 2), a_record(second_topic, 3)])
        assert numbers(await scan_all(log, topic)) == [2]
        entries = await scan_all(log, second_topic)
        assert numbers(entries) == [1, 3]
        assert {entry.record.topic for entry in entries} == {second_topic}

    async def test_records_of_one_key_stay_on_one_partition_in_the_order_of_their_appends(self, log: Log, topic: str) -> None:
        appends = [asyncio.create_task(log.append([a_record(topic, n, key=f"k{n % 7}")])) for n in range(210)]
        await asyncio.gather(*appends)
        entries = await scan_all(log, topic)
        assert by_key(entries) == {f"k{k}": list(range(k, 210, 7)) for k in range(7)}
        partitions = defaultdict(set)
        for entry in entries:
            partitions[entry.record.key].add(entry.partition)
        assert all(len(of_key) == 1 for of_key in partitions.values())

    async def test_concurrent_appends_of_two_logs_all_land_once_at_places_of_their_own(self, log: Log, other: Log, topic: str) -> None:
        async def append(to: Log, start: int) -> None:
            for n in range(start, start + 40):
                await to.append([a_record(topic, n, key=f"k{n}")])

        await asyncio.gather(*(append(to, 1_000 * i) for i, to in enumerate([log, other] * 4)))
        entries = await scan_all(log, topic)
        assert sorted(numbers(entries)) == [1_000 * i + n for i in range(8) for n in range(40)]
        assert len({entry.place for entry in entries}) == len(entries)

    async def test_a_cancelled_append_lands_all_the_same(self, log: Log, topic: str, open_log: OpenLog) -> None:
        append = asyncio.create_task(log.append([a_record(topic, 1)]))
        await asyncio.sleep(0)
        append.cancel()
        await asyncio.wait([append])
        await log.append([a_record(topic, 2)])
        await log.close()
        later = await open_log()
        try:
            assert numbers(await scan_all(later, topic)) == [1, 2]
        finally:
            await later.close()

    async def test_a_cancelled_append_takes_no_other_with_it(self, log: Log, topic: str) -> None:
        appends = [asyncio.create_task(log.append([a_record(topic, n, key=f"k{n}")])) for n in range(20)]
        await asyncio.sleep(0)
        for append in appends[::2]:
            append.cancel()
        await asyncio.gather(*appends[1::2])
        assert set(numbers(await scan_all(log, topic))) >= set(range(1, 20, 2))

    async def test_close_finishes_the_appends_that_were_begun(self, log: Log, topic: str, open_log: OpenLog) -> None:
        appends = [asyncio.create_task(log.append([a_record(topic, n, key=f"k{n}")])) for n in range(100)]
        await asyncio.sleep(0)
        await log.close()
        await asyncio.gather(*appends)
        later = await open_log()
        try:
            assert sorted(numbers(await scan_all(later, topic))) == list(range(100))
        finally:
            await later.close()

    async def test_a_closed_log_takes_no_more(self, log: Log, topic: str) -> None:
        await log.close()
        with pytest.raises(Unavailable):
            await log.append([a_record(topic, 1)])

    # --- spans and scan

    async def test_the_span_of_a_partition_without_records_is_empty(self, log: Log, topic: str) -> None:
        spans = await log.spans(topic)
        assert spans
        assert all(span.first == span.next for span in spans.values())

    async def test_spans_bound_every_entry_and_move_with_each_append(self, log: Log, topic: str) -> None:
        before = await log.spans(topic)
        for n in range(5):
            await log.append([a_record(topic, n, key=f"k{n}")])
        after = await log.spans(topic)
        assert after.keys() == before.keys()
        entries = await scan_all(log, topic)
        assert sorted(numbers(entries)) == list(range(5))
        for partition, span in after.items():
            here = [entry.offset for entry in entries if entry.partition == partition]
            assert here == sorted(set(here))
            assert all(span.first <= offset < span.next for offset in here)
            assert bool(here) == (span != before[partition])

    async def test_a_scan_begins_at_the_offset_given_and_is_empty_at_the_end(self, log: Log, topic: str) -> None:
        await log.append([a_record(topic, n) for n in range(10)])
        entries = await scan_all(log, topic)
        fourth = entries[3]
        assert numbers(await log.scan(topic, fourth.partition, fourth.offset, 4)) == [3, 4, 5, 6]
        following = (await log.spans(topic))[fourth.partition].next
        assert await log.scan(topic, fourth.partition, following, 4) == []

    # --- reading

    async def test_a_reader_told_nothing_starts_at_the_first_record(self, log: Log, topic: str, group: str) -> None:
        await log.append([a_record(topic, n, key=f"k{n}") for n in range(30)])
        reader = await log.reader(topic, group, from_the_first)
        assert sorted(numbers(await read_until(reader, 30))) == list(range(30))
        await reader.close()

    async def test_start_is_asked_about_owned_partitions_and_its_positions_are_where_reading_begins(
        self, log: Log, topic: str, group: str
    ) -> None:
        await log.append([a_record(topic, n, key=f"k{n}") for n in range(40)])
        held = await scan_all(log, topic)
        seen = {entry.partition: entry for entry in held[: len(held) // 2]}
        positions = {partition: entry.offset + 1 for partition, entry in seen.items()}
        asked: set[int] = set()

        async def start(partitions: Collection[int]) -> Mapping[int, int]:
            asked.update(partitions)
            return {partition: positions[partition] for partition in partitions if partition in positions}

        reader = await log.reader(topic, group, start)
        wanted = [entry.place for entry in held if entry.offset >= positions.get(entry.partition, 0)]
        entries = await read_until(reader, len(wanted))
        assert sorted(entry.place for entry in entries) == sorted(wanted)
        assert asked == set(await log.spans(topic))
        await reader.close()

    async def test_reads_are_in_offset_order_no_larger_than_asked_and_never_repeat(self, log: Log, topic: str, group: str) -> None:
        await log.append([a_record(topic, n, key=f"k{n}") for n in range(60)])
        reader = await log.reader(topic, group, from_the_first)
        entries: list[Entry] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(entries) < 60:
                some = await reader.read(7, 1.0)
                assert len(some) <= 7
                entries += some
        assert await reader.read(7, 0.05) == []
        assert sorted(numbers(entries)) == list(range(60))
        for partition in {entry.partition for entry in entries}:
            offsets = [entry.offset for entry in entries if entry.partition == partition]
            assert offsets == sorted(set(offsets))
        await reader.close()

    async def test_reload_asks_start_again_and_goes_on_from_there(self, log: Log, topic: str, group: str) -> None:
        await log.append([a_record(topic, n) for n in range(10)])
        held = await scan_all(log, topic)
        stored: dict[int, int] = {}

        async def start(partitions: Collection[int]) -> Mapping[int, int]:
            return {partition: stored[partition] for partition in partitions if partition in stored}

        reader = await log.reader(topic, group, start)
        assert numbers(await read_until(reader, 10)) == list(range(10))
        stored[held[6].partition] = held[6].offset
        await reader.reload()
        assert numbers(await read_until(reader, 4)) == [6, 7, 8, 9]
        await reader.close()

    async def test_reload_forgets_what_was_read_ahead(self, log: Log, topic: str, group: str) -> None:
        await log.append([a_record(topic, n) for n in range(10)])
        reader = await log.reader(topic, group, from_the_first)
        assert numbers(await read_until(reader, 1, max_records=1)) == [0]
        await reader.reload()
        assert numbers(await read_until(reader, 10)) == list(range(10))
        await reader.close()

    async def test_an_empty_read_waits_as_long_as_it_may_and_no_longer(self, log: Log, topic: str, group: str) -> None:
        await log.append([a_record(topic, 1)])
        reader = await log.reader(topic, group, from_the_first)
        await read_until(reader, 1)
        for wait_s in (0.0, 0.3):
            begun_s = time.monotonic()
            read = asyncio.create_task(reader.read(10, wait_s))
            spent_s = await turns_until(read.done)
            assert wait_s - 0.01 <= time.monotonic() - begun_s
            assert await read == []
            assert spent_s < wait_s + 1.0
        await reader.close()

    async def test_a_waiting_read_is_woken_by_an_append_of_another_process(self, log: Log, other: Log, topic: str, group: str) -> None:
        await log.append([a_record(topic, 1)])
        reader = await log.reader(topic, group, from_the_first)
        await read_until(reader, 1)
        waiting = asyncio.create_task(reader.read(10, PATIENCE_S))
        await asyncio.sleep(0.05)  # nothing to await: the read has to be inside its wait
        await other.append([a_record(topic, 2)])
        assert await turns_until(waiting.done) < 1.0
        assert numbers(await waiting) == [2]
        await reader.close()

    async def test_two_groups_each_read_everything(self, log: Log, topic: str, group: str) -> None:
        await log.append([a_record(topic, n, key=f"k{n}") for n in range(20)])
        readers = [await log.reader(topic, f"{group}-{i}", from_the_first) for i in range(2)]
        for entries in await asyncio.gather(*(read_until(reader, 20) for reader in readers)):
            assert sorted(numbers(entries)) == list(range(20))
        for reader in readers:
            await reader.close()

    async def test_a_report_is_a_hint_that_neither_fails_nor_moves_the_reader(self, log: Log, topic: str, group: str) -> None:
        await log.append([a_record(topic, n) for n in range(6)])
        reader = await log.reader(topic, group, from_the_first)
        first = (await read_until(reader, 1, max_records=1))[0]
        await reader.report({first.partition: first.offset + 4, 10_000: 1})
        assert numbers(await read_until(reader, 5)) == [1, 2, 3, 4, 5]
        await reader.close()

    # --- positions outside what is held, and retention

    async def test_a_position_before_the_first_record_kept_is_lost_and_says_so(
        self, log: Log, topic: str, group: str, forget: Forget
    ) -> None:
        await log.append([a_record(topic, n) for n in range(5)])
        await log.append([a_record(topic, n) for n in range(5, 10)])
        held = await scan_all(log, topic)
        partition = held[0].partition
        await forget(log, topic, {partition: held[5].offset})

        async def start(_: Collection[int]) -> Mapping[int, int]:
            return {partition: held[2].offset}

        await self.expect_lost(log, topic, group, start, partition, held[2].offset)

    async def test_a_position_beyond_the_end_is_lost_and_says_so(self, log: Log, topic: str, group: str) -> None:
        await log.append([a_record(topic, 1)])
        (entry,) = await scan_all(log, topic)
        beyond = entry.offset + 100

        async def start(_: Collection[int]) -> Mapping[int, int]:
            return {entry.partition: beyond}

        await self.expect_lost(log, topic, group, start, entry.partition, beyond)

    async def expect_lost(
        self, log: Log, topic: str, group: str, start: Callable[[Collection[int]], Awaitable[Mapping[int, int]]],
        partition: int, position: int,
    ) -> None:  # fmt: skip
        reader = await log.reader(topic, group, start)
        with pytest.raises(PositionLost) as lost:
            await read_until(reader, 1)
        assert (lost.value.topic, lost.value.partition, lost.value.position) == (topic, partition, position)
        assert lost.value.span == (await log.spans(topic))[partition]
        await reader.close()

    async def test_the_first_position_kept_and_the_end_are_not_lost(self, log: Log, topic: str, group: str, forget: Forget) -> None:
        for n in range(4):
            await log.append([a_record(topic, n)])
        held = await scan_all(log, topic)
        partition = held[0].partition
        await forget(log, topic, {partition: held[2].offset})
        for position, found in ((held[2].offset, [2, 3]), (held[3].offset + 1, [])):

            async def start(_: Collection[int], position: int = position) -> Mapping[int, int]:
                return {partition: position}

            reader = await log.reader(topic, f"{group}-{position}", start)
            await log.append([a_record(topic, 9)])
            assert numbers(await read_until(reader, len(found) + 1)) == [*found, *[9] * (1 if found else 2)]
            await reader.close()

    async def test_offsets_are_not_used_again_after_everything_was_forgotten(
        self, log: Log, topic: str, forget: Forget, open_log: OpenLog
    ) -> None:
        for n in range(3):
            await log.append([a_record(topic, n)])
        held = await scan_all(log, topic)
        partition, following = held[-1].partition, (await log.spans(topic))[held[-1].partition].next
        await forget(log, topic, {partition: following})
        assert (await log.spans(topic))[partition] == Span(following, following)
        await log.close()
        later = await open_log()
        try:
            await later.append([a_record(topic, 3)])
            (entry,) = await scan_all(later, topic)
            assert entry.offset >= following
        finally:
            await later.close()

    async def test_retention_takes_nothing_that_is_young_unread_or_of_a_partition_not_named(self, log: Log, topic: str) -> None:
        for n in range(40):
            await log.append([a_record(topic, n, key=f"k{n % 8}", time_ms=LONG_AGO_MS if n < 32 else NOW_MS)])
        held = await scan_all(log, topic)
        partitions = {entry.partition: [e.offset for e in held if e.partition == entry.partition] for entry in held}
        unread = {partition: offsets[len(offsets) // 2] for partition, offsets in partitions.items()}
        untouched = max(unread) if len(unread) > 1 else None
        if untouched is not None:
            del unread[untouched]

        assert await log.retain(topic, 0, unread) == 0
        went = await log.retain(topic, LONG_AGO_MS + 1, unread)
        left = await scan_all(log, topic)
        assert went == len(held) - len(left)
        for entry in held:
            if entry.partition == untouched or entry.offset >= unread[entry.partition] or entry.record.time_ms > LONG_AGO_MS:
                assert entry in left
        assert await log.retain(topic, NOW_MS + 1, {}) == 0
