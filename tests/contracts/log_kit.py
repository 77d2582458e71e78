"""What the tests of any log need: records, and reading until something has come."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping

from stream.log.contract import Log, Reader
from stream.record import Entry, Record

OpenLog = Callable[[], Awaitable[Log]]

Forget = Callable[[Log, str, Mapping[int, int]], Awaitable[None]]

PATIENCE_S = 120.0
"""For what must come at all: a group may have to be joined first, on a machine that has other
things to do."""

NOW_MS = time.time_ns() // 1_000_000

LONG_AGO_MS = NOW_MS - 2 * 86_400_000
"""Old for the tests, yet inside any retention that a broker has of its own."""


def a_record(
    topic: str,
    number: int,
    *,
    key: str = "k",
    body: bytes | None = None,
    time_ms: int = LONG_AGO_MS,
) -> Record:
    headers = {"source": "shopify", "topic": "orders/create", "shop": "example.myshopify.com"}
    return Record(
        topic,
        key,
        f"id-{number}",
        time_ms,
        headers,
        f'{{"n":{number}}}'.encode() if body is None else body,
    )


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
