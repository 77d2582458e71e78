"""A record is decoded once for all processors near it, and no processor waits long for another."""

import asyncio
import time
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from processors.engine import shared_decoding
from processors.engine.runner import Runner
from processors.engine.shared_decoding import AHEAD, NEAR, SharedDecoding, Wait
from processors.shopify.tolerance import Rejected
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Entry, Record
from stream.store.sql.store import SqlStore
from tests.processors.engine.counting import Counting, at_work, counted, met, records


def entry(offset: int, body: bytes = b"body", partition: int = 0) -> Entry:
    return Entry(Record("orders", "k", str(offset), 0, {"shop": "s"}, body), partition, offset)


class Decoder:
    """Counts what it decodes."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, each: Entry) -> bytes | None:
        self.calls.append((each.partition, each.offset))
        if each.record.body == b"bad":
            raise Rejected("bad_body")
        return bytes(bytearray(each.record.body))  # Another object each time.


def both_at(shared: SharedDecoding[bytes], offset: int) -> None:
    """Both processors have read up to here."""
    for name in ("one", "other"):
        shared.skip(name, entry(offset - 1))


def test_two_processors_at_the_same_place_get_one_result() -> None:
    decoder = Decoder()
    shared = SharedDecoding(decoder)
    both_at(shared, 0)
    first = [shared.share("one").decode(entry(offset)) for offset in range(3)]
    second = [shared.share("other").decode(entry(offset)) for offset in range(3)]
    assert decoder.calls == [(0, 0), (0, 1), (0, 2)]
    assert all(mine is theirs for mine, theirs in zip(first, second, strict=True))


def test_other_bytes_at_the_same_place_are_decoded_anew() -> None:
    shared = SharedDecoding(Decoder())
    both_at(shared, 0)
    shared.decode("one", entry(0, b"before it was rewritten"))
    assert shared.decode("other", entry(0, b"after")) == b"after"


def test_a_rejected_record_is_rejected_for_both() -> None:
    shared = SharedDecoding(Decoder())
    both_at(shared, 0)
    for name in ("one", "other"):
        with pytest.raises(Rejected):
            shared.decode(name, entry(0, b"bad"))


def test_nothing_is_kept_for_a_processor_that_is_far_behind_or_reads_alone() -> None:
    decoder = Decoder()
    shared = SharedDecoding(decoder)
    shared.decode("one", entry(0))
    shared.skip("other", entry(0))
    shared.decode("one", entry(NEAR + 2))
    shared.decode("other", entry(NEAR + 2))
    assert decoder.calls == [(0, 0), (0, NEAR + 2), (0, NEAR + 2)]


def test_a_record_that_the_other_has_no_use_for_is_not_kept() -> None:
    decoder = Decoder()
    shared = SharedDecoding(decoder, most_bytes=1)
    both_at(shared, 0)
    shared.decode("one", entry(0, b"x"))
    shared.skip("other", entry(0, b"x"))
    shared.decode("one", entry(1, b"y"))  # There is room for one byte.
    shared.decode("other", entry(1, b"y"))
    assert decoder.calls == [(0, 0), (0, 1)]


def test_what_is_kept_is_bounded_in_bytes() -> None:
    decoder = Decoder()
    shared = SharedDecoding(decoder, most_bytes=10)
    both_at(shared, 0)
    for offset in range(5):
        shared.decode("one", entry(offset, b"12345"))
    decoder.calls.clear()
    for offset in range(5):
        shared.decode("other", entry(offset, b"12345"))
    assert decoder.calls == [(0, 0), (0, 1), (0, 2)]


@given(
    moves=st.lists(
        st.tuples(st.sampled_from(["one", "other", "third"]), st.integers(0, 1), st.integers(0, 6)),
        max_size=40,
    ),
    most_bytes=st.integers(0, 20),
)
def test_every_processor_gets_the_events_of_its_records_whatever_the_others_read(
    moves: list[tuple[str, int, int]], most_bytes: int
) -> None:
    shared = SharedDecoding(Decoder(), most_bytes)
    for name, partition, offset in moves:
        body = f"{partition}/{offset}".encode()
        assert shared.decode(name, entry(offset, body, partition)) == body


async def test_a_processor_that_is_a_batch_ahead_waits_until_the_other_reads_on() -> None:
    shared = SharedDecoding(Decoder())
    both_at(shared, 0)
    shared.skip("one", entry(AHEAD))
    waiting = asyncio.create_task(shared.share("one").wait())
    done, _ = await asyncio.wait({waiting}, timeout=3 * shared_decoding.CHECK_S)
    assert not done
    shared.skip("other", entry(10))
    await asyncio.wait_for(waiting, shared_decoding.WAIT_S / 2)


@pytest.mark.parametrize("ahead", [1, AHEAD, NEAR + 1])
async def test_a_processor_waits_for_none_that_is_near_enough_or_too_far(ahead: int) -> None:
    shared = SharedDecoding(Decoder())
    both_at(shared, 0)
    shared.skip("one", entry(ahead - 1))
    await asyncio.wait_for(shared.share("one").wait(), shared_decoding.CHECK_S)


async def test_a_processor_waits_once_for_one_that_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_decoding, "WAIT_S", 0.1)
    shared = SharedDecoding(Decoder())
    both_at(shared, 0)
    shared.skip("one", entry(AHEAD))
    began = time.monotonic()
    await shared.share("one").wait()
    assert time.monotonic() - began >= 0.1
    began = time.monotonic()
    for offset in range(AHEAD, AHEAD + 50):
        shared.skip("one", entry(offset))
        await shared.share("one").wait()
    assert time.monotonic() - began < 0.1


class Sharing(Counting):
    """As `Counting`, by shared results."""

    def __init__(self, name: str, shared: SharedDecoding[str]) -> None:
        super().__init__()
        self.name = name
        self.share = shared.share(name)

    def decode(self, each: Entry) -> str | None:
        return self.share.decode(each)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_two_runners_fold_a_backlog_and_one_that_stops_delays_the_other_once(
    log: SqliteLog, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_decoding, "WAIT_S", 0.3)
    shared = SharedDecoding(Counting().decode)
    one, other = Sharing("one", shared), Sharing("other", shared)
    waits = list[float]()

    async def timed() -> None:
        began = time.monotonic()
        await one.share.wait()
        waits.append(time.monotonic() - began)

    def runner(each: Sharing, wait: Wait) -> Runner[str]:
        metrics = ProcessorMetrics(CollectorRegistry(), each.name)
        return Runner(each, log, store, metrics=metrics, before_backlog=wait)

    first, second = backlog(0, 3_000), backlog(3_000, 6_000)
    await log.append(first)
    async with at_work(runner(one, timed)), at_work(runner(other, other.share.wait)):
        await met(done(store, 3_000, "one", "other"))
    assert counted(store) == dict.fromkeys(range(3_000), 2)
    waits.clear()
    await log.append(second)
    async with at_work(runner(one, timed)):
        await met(done(store, 6_000, "one"))
    assert counted(store) == dict.fromkeys(range(3_000), 2) | dict.fromkeys(range(3_000, 6_000), 1)
    assert sum(each >= 0.3 for each in waits) <= 1


def backlog(first: int, end: int) -> list[Record]:
    """Records that came long ago."""
    return [
        msgspec.structs.replace(each, time_ms=0) for each in records(*map(str, range(first, end)))
    ]


def done(store: SqlStore, records: int, *processors: str) -> Callable[[], bool]:
    """Whether these have read so many."""

    def all_read() -> bool:
        with store.snapshot() as snapshot:
            return {p.processor for p in snapshot.positions() if p.records >= records} >= set(
                processors
            )

    return all_read
