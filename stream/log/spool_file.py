"""The spool's file: an embedded log with a queue per topic, and the records that the log refuses
for good."""

import contextlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stream.log.contract import Span, Unavailable
from stream.log.sqlite.file import PAGE_BYTES, LogFile
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry, Record

OF_ALL_TOPICS = "spool"
"""The one queue of files that an earlier version wrote."""
SET_ASIDE = "set_aside"
SET_ASIDE_SHARE = 4
"""A quarter of the file at most: what cannot be forwarded must not take an outage's room."""
TOPIC_HEADER, REASON_HEADER = "spool_topic", "set_aside_reason"
FOR_EVER_MS = 1 << 62
STEP = 100


class SpoolState(NamedTuple):
    """What waits in the file. `oldest_s`: age of the oldest record since it was received, None
    where there is none."""

    records: int
    bytes: int
    oldest_s: float | None
    set_aside: int = 0
    """Records that the log has refused for good; not among `records`."""


class SpoolFile:
    """The open file. Belongs to the event loop that opened it."""

    def __init__(self, path: Path, log: SqliteLog, max_bytes: int) -> None:
        self.path, self._log = path, log
        self._room = max_bytes // SET_ASIDE_SHARE - _bytes_set_aside(path)

    async def append(self, records: Sequence[Record]) -> None:
        """Durable in the file. Raises Unavailable if the file is full or its disk failing."""
        await self._log.append(records)

    async def read(self, topic: str | None, offset: int, max_records: int) -> list[Entry]:
        """Entries of a topic's queue."""
        return await self._log.scan(queue_of(topic), 0, offset, max_records)

    async def span(self, topic: str | None) -> Span:
        """Span of a topic's queue."""
        return (await self._log.spans(queue_of(topic)))[0]

    async def forget(self, topic: str | None, before: int) -> None:
        """Delete a queue's records before this offset. Whole rows are deleted, so the end of one
        may stay; after a restart its beginning is sent again."""
        await self._log.retain(queue_of(topic), FOR_EVER_MS, {0: before})

    def has_room_aside(self, records: Sequence[Record]) -> bool:
        """Whether these records fit into the file's share for refused records."""
        return sum(len(record.body) for record in records) <= self._room

    async def set_aside(self, records: Sequence[Record], reason: str) -> None:
        """Keep records that the log refuses. Raises Unavailable."""
        self._room -= sum(len(record.body) for record in records)
        await self._log.append([aside(record, reason) for record in records])

    async def close(self) -> None:
        """Finish what was begun."""
        await self._log.close()


def queue_of(topic: str | None) -> str:
    """The queue's name among the file's topics."""
    return OF_ALL_TOPICS if topic is None else f"{OF_ALL_TOPICS}:{topic}"


def wrap(topic: str | None, record: Record) -> Record:
    """A record as it waits in the file."""
    return _moved(record, queue_of(topic), {**record.headers, TOPIC_HEADER: record.topic})


def unwrap(record: Record) -> Record:
    """A record as it was appended."""
    headers = dict(record.headers)
    topic = headers.pop(TOPIC_HEADER)
    headers.pop(REASON_HEADER, None)
    return _moved(record, topic, headers)


def aside(record: Record, reason: str) -> Record:
    """A refused record as it is kept in the file."""
    headers = {**record.headers, TOPIC_HEADER: record.topic, REASON_HEADER: reason}
    return _moved(record, SET_ASIDE, headers)


def _moved(record: Record, topic: str, headers: dict[str, str]) -> Record:
    return Record(topic, record.key, record.id, record.time_ms, headers, record.body)


def waiting_topics(path: Path) -> list[str | None]:
    """Topics with records in the file at `path`. Raises Unavailable."""
    with _opened(path) as file:
        names = [name for name in file.topics() if _holds_any(file, name)]
    return [
        None if name == OF_ALL_TOPICS else name.partition(":")[2]
        for name in names
        if name.partition(":")[0] == OF_ALL_TOPICS
    ]


def read_state(path: Path, now: int | None = None) -> SpoolState:
    """The state of the spool at `path`, from any process, open or not. Raises Unavailable if the
    file cannot be read."""
    if not path.exists():
        return SpoolState(0, 0, None)
    with _opened(path) as file:
        records, oldest_ms = 0, None
        for name in file.topics():
            if name.partition(":")[0] == OF_ALL_TOPICS and _holds_any(file, name):
                span = file.span(name)
                records += span.next - span.first
                found = file.read(name, span.first, 1)[0].record.time_ms
                oldest_ms = found if oldest_ms is None else min(found, oldest_ms)
        aside = file.span(SET_ASIDE)
        set_aside = aside.next - aside.first
    if oldest_ms is None:
        return SpoolState(0, 0, None, set_aside)
    age_ms = (time.time_ns() // 1_000_000 if now is None else now) - oldest_ms
    return SpoolState(records, _bytes_used(path), max(0, age_ms) / 1000, set_aside)


def read_set_aside(path: Path) -> Counter[tuple[str, str]]:
    """How many records the log has refused, by (topic, reason). Raises Unavailable."""
    found: Counter[tuple[str, str]] = Counter()
    if path.exists():
        with _opened(path) as file:
            offset = 0
            while entries := file.read(SET_ASIDE, offset, STEP):
                offset = entries[-1].offset + 1
                for entry in entries:
                    headers = entry.record.headers
                    found[headers[TOPIC_HEADER], headers[REASON_HEADER]] += 1
    return found


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[LogFile]:
    try:
        file = LogFile(path, busy_timeout_s=0.5, wal_limit_bytes=1 << 26)
        try:
            yield file
        finally:
            file.close()
    except sqlite3.Error as error:
        raise Unavailable(f"spool {path}: {error}") from error


def _holds_any(file: LogFile, name: str) -> bool:
    span = file.span(name)
    return span.first < span.next


def _bytes_used(path: Path) -> int:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=0.5)) as db:
            (pages,), (free,) = (
                db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count")
            )
    except sqlite3.Error as error:
        raise Unavailable(f"spool {path}: {error}") from error
    return int((pages - free) * PAGE_BYTES)


def _bytes_set_aside(path: Path) -> int:
    with _opened(path) as file:
        return file.bytes_of(SET_ASIDE)
