"""What every log must do with what it is given: `append`, and what `spans` and `scan` then see
(`stream/log/contract.py`)."""

import asyncio
from collections import defaultdict
from types import MappingProxyType

import pytest

from stream.log.contract import Log, Unavailable
from stream.record import Record
from tests.contracts.log_kit import (
    OpenLog,
    a_record,
    by_key,
    numbers,
    scan_all,
)


class Appending:
    async def test_what_append_acknowledged_is_seen_by_a_log_opened_later(
        self, log: Log, topic: str, open_log: OpenLog
    ) -> None:
        await log.append([a_record(topic, 1)])
        later = await open_log()
        try:
            assert numbers(await scan_all(later, topic)) == [1]
        finally:
            await later.close()

    async def test_what_append_acknowledged_is_seen_by_a_log_that_was_open_already(
        self, log: Log, other: Log, topic: str
    ) -> None:
        assert await scan_all(other, topic) == []
        await log.append([a_record(topic, 1), a_record(topic, 2)])
        assert sorted(numbers(await scan_all(other, topic))) == [1, 2]

    async def test_an_append_of_nothing_returns(self, log: Log, topic: str) -> None:
        await log.append([])
        assert await scan_all(log, topic) == []

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\x00",
            bytes(range(256)) * 20,
            b"\xff\xfe not UTF-8",
            '{"name":"Zoë 🛒"}'.encode(),
            b"\x93\xc4" * 9_000,
        ],
        ids=["empty", "nul", "every byte", "not utf-8", "json", "looks packed"],
    )
    async def test_a_body_comes_back_byte_for_byte(self, log: Log, topic: str, body: bytes) -> None:
        await log.append([a_record(topic, 1, body=body)])
        (entry,) = await scan_all(log, topic)
        assert entry.record.body == body

    async def test_a_body_of_ten_mebibytes_which_the_receiver_lets_in_is_kept(
        self, log: Log, topic: str
    ) -> None:
        body = bytes(range(256)) * (40 * 1024)
        await log.append([a_record(topic, 1), a_record(topic, 2, body=body), a_record(topic, 3)])
        assert {len(entry.record.body) for entry in await scan_all(log, topic)} == {7, 10 << 20}

    @pytest.mark.parametrize(
        "text", ["", "plain", "a/b c'd\"e", "ключ-鍵-🔑", "nul\x00inside", "x" * 3_000]
    )
    async def test_key_id_time_and_headers_come_back_as_they_were(
        self, log: Log, topic: str, text: str
    ) -> None:
        record = Record(
            topic,
            text,
            f"id {text}",
            1_790_000_000_123,
            {"source": "backfill", "shop": text, text or "h": "v"},
            b"{}",
        )
        await log.append([record])
        (entry,) = await scan_all(log, topic)
        assert entry.record == record

    async def test_headers_may_be_any_mapping(self, log: Log, topic: str) -> None:
        await log.append([Record(topic, "k", "id", 1, MappingProxyType({"source": "meta"}), b"{}")])
        (entry,) = await scan_all(log, topic)
        assert entry.record.headers == {"source": "meta"}

    async def test_one_append_may_hold_records_of_several_topics(
        self, log: Log, topic: str, second_topic: str
    ) -> None:
        await log.append([a_record(second_topic, 1), a_record(topic, 2), a_record(second_topic, 3)])
        assert numbers(await scan_all(log, topic)) == [2]
        entries = await scan_all(log, second_topic)
        assert numbers(entries) == [1, 3]
        assert {entry.record.topic for entry in entries} == {second_topic}

    async def test_records_of_one_key_stay_on_one_partition_in_the_order_of_their_appends(
        self, log: Log, topic: str
    ) -> None:
        appends = [
            asyncio.create_task(log.append([a_record(topic, n, key=f"k{n % 7}")]))
            for n in range(210)
        ]
        await asyncio.gather(*appends)
        entries = await scan_all(log, topic)
        assert by_key(entries) == {f"k{k}": list(range(k, 210, 7)) for k in range(7)}
        partitions = defaultdict(set)
        for entry in entries:
            partitions[entry.record.key].add(entry.partition)
        assert all(len(of_key) == 1 for of_key in partitions.values())

    async def test_concurrent_appends_of_two_logs_all_land_once_at_places_of_their_own(
        self, log: Log, other: Log, topic: str
    ) -> None:
        async def append(to: Log, start: int) -> None:
            for n in range(start, start + 40):
                await to.append([a_record(topic, n, key=f"k{n}")])

        await asyncio.gather(*(append(to, 1_000 * i) for i, to in enumerate([log, other] * 4)))
        entries = await scan_all(log, topic)
        assert sorted(numbers(entries)) == [1_000 * i + n for i in range(8) for n in range(40)]
        assert len({entry.place for entry in entries}) == len(entries)

    async def test_a_cancelled_append_lands_all_the_same(
        self, log: Log, topic: str, open_log: OpenLog
    ) -> None:
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
        appends = [
            asyncio.create_task(log.append([a_record(topic, n, key=f"k{n}")])) for n in range(20)
        ]
        await asyncio.sleep(0)
        for append in appends[::2]:
            append.cancel()
        await asyncio.gather(*appends[1::2])
        assert set(numbers(await scan_all(log, topic))) >= set(range(1, 20, 2))

    async def test_close_finishes_the_appends_that_were_begun(
        self, log: Log, topic: str, open_log: OpenLog
    ) -> None:
        appends = [
            asyncio.create_task(log.append([a_record(topic, n, key=f"k{n}")])) for n in range(100)
        ]
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

    async def test_the_span_of_a_partition_without_records_is_empty(
        self, log: Log, topic: str
    ) -> None:
        spans = await log.spans(topic)
        assert spans
        assert all(span.first == span.next for span in spans.values())

    async def test_spans_bound_every_entry_and_move_with_each_append(
        self, log: Log, topic: str
    ) -> None:
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

    async def test_a_scan_begins_at_the_offset_given_and_is_empty_at_the_end(
        self, log: Log, topic: str
    ) -> None:
        await log.append([a_record(topic, n) for n in range(10)])
        entries = await scan_all(log, topic)
        fourth = entries[3]
        assert numbers(await log.scan(topic, fourth.partition, fourth.offset, 4)) == [3, 4, 5, 6]
        following = (await log.spans(topic))[fourth.partition].next
        assert await log.scan(topic, fourth.partition, following, 4) == []
