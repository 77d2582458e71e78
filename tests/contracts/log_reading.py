"""What every reader of a log must do (`stream/log/contract.py`): positions, reload, waiting, and
positions that are lost."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping

import pytest

from stream.log.contract import Log, PositionLost, Span
from stream.record import Entry
from tests.contracts.log_kit import (
    LONG_AGO_MS,
    NOW_MS,
    PATIENCE_S,
    Forget,
    OpenLog,
    a_record,
    from_the_first,
    numbers,
    read_until,
    scan_all,
)
from tests.support.servers.turns import turns_until


class Reading:
    async def test_a_reader_without_positions_starts_at_the_first_record(
        self, log: Log, topic: str, group: str
    ) -> None:
        await log.append([a_record(topic, n, key=f"k{n}") for n in range(30)])
        reader = await log.reader(topic, group, from_the_first)
        assert sorted(numbers(await read_until(reader, 30))) == list(range(30))
        await reader.close()

    async def test_a_topic_keeps_its_identity_when_the_log_is_opened_again(
        self, log: Log, topic: str, open_log: OpenLog
    ) -> None:
        await log.append([a_record(topic, 1)])
        first = await log.identity(topic)
        other = await open_log()
        try:
            assert first
            assert await other.identity(topic) == first
        finally:
            await other.close()

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
            return {
                partition: positions[partition]
                for partition in partitions
                if partition in positions
            }

        reader = await log.reader(topic, group, start)
        wanted = [
            entry.place for entry in held if entry.offset >= positions.get(entry.partition, 0)
        ]
        entries = await read_until(reader, len(wanted))
        assert sorted(entry.place for entry in entries) == sorted(wanted)
        assert asked == set(await log.spans(topic))
        await reader.close()

    async def test_reads_are_in_offset_order_no_larger_than_asked_and_never_repeat(
        self, log: Log, topic: str, group: str
    ) -> None:
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

    async def test_reload_asks_start_again_and_goes_on_from_there(
        self, log: Log, topic: str, group: str
    ) -> None:
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

    async def test_reload_forgets_what_was_read_ahead(
        self, log: Log, topic: str, group: str
    ) -> None:
        await log.append([a_record(topic, n) for n in range(10)])
        reader = await log.reader(topic, group, from_the_first)
        assert numbers(await read_until(reader, 1, max_records=1)) == [0]
        await reader.reload()
        assert numbers(await read_until(reader, 10)) == list(range(10))
        await reader.close()

    async def test_an_empty_read_waits_as_long_as_it_may_and_no_longer(
        self, log: Log, topic: str, group: str
    ) -> None:
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

    async def test_a_waiting_read_is_woken_by_an_append_of_another_process(
        self, log: Log, other: Log, topic: str, group: str
    ) -> None:
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

    async def test_a_report_is_a_hint_that_neither_fails_nor_moves_the_reader(
        self, log: Log, topic: str, group: str
    ) -> None:
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

    async def test_a_position_beyond_the_end_is_lost_and_says_so(
        self, log: Log, topic: str, group: str
    ) -> None:
        await log.append([a_record(topic, 1)])
        (entry,) = await scan_all(log, topic)
        beyond = entry.offset + 100

        async def start(_: Collection[int]) -> Mapping[int, int]:
            return {entry.partition: beyond}

        await self.expect_lost(log, topic, group, start, entry.partition, beyond)

    async def expect_lost(
        self,
        log: Log,
        topic: str,
        group: str,
        start: Callable[[Collection[int]], Awaitable[Mapping[int, int]]],
        partition: int,
        position: int,
    ) -> None:
        reader = await log.reader(topic, group, start)
        with pytest.raises(PositionLost) as lost:
            await read_until(reader, 1)
        assert (lost.value.topic, lost.value.partition, lost.value.position) == (
            topic,
            partition,
            position,
        )
        assert lost.value.span == (await log.spans(topic))[partition]
        await reader.close()

    async def test_the_first_position_kept_and_the_end_are_not_lost(
        self, log: Log, topic: str, group: str, forget: Forget
    ) -> None:
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
            assert numbers(await read_until(reader, len(found) + 1)) == [
                *found,
                *[9] * (1 if found else 2),
            ]
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

    async def test_retention_takes_nothing_that_is_young_unread_or_of_a_partition_not_named(
        self, log: Log, topic: str
    ) -> None:
        for n in range(40):
            await log.append(
                [a_record(topic, n, key=f"k{n % 8}", time_ms=LONG_AGO_MS if n < 32 else NOW_MS)]
            )
        held = await scan_all(log, topic)
        partitions = {
            entry.partition: [e.offset for e in held if e.partition == entry.partition]
            for entry in held
        }
        unread = {
            partition: offsets[len(offsets) // 2] for partition, offsets in partitions.items()
        }
        untouched = max(unread) if len(unread) > 1 else None
        if untouched is not None:
            del unread[untouched]

        assert await log.retain(topic, 0, unread) == 0
        went = await log.retain(topic, LONG_AGO_MS + 1, unread)
        left = await scan_all(log, topic)
        assert went == len(held) - len(left)
        for entry in held:
            if (
                entry.partition == untouched
                or entry.offset >= unread[entry.partition]
                or entry.record.time_ms > LONG_AGO_MS
            ):
                assert entry in left
        assert await log.retain(topic, NOW_MS + 1, {}) == 0
