"""The file of the embedded log: its format and every statement.

A topic is a table; a row is a *batch*, the records of one commit as one msgpack array, so a commit
is one INSERT however many records it has.
"""

import sqlite3
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stream.log.contract import Span, Unavailable
from stream.record import Entry, Record

PAGE_BYTES = 16_384
"""Measured against smaller pages: docs/facts/streaming.md, "SQLite"."""
BATCH_RECORDS, BATCH_BYTES = 512, 512 << 10
READ_BYTES = 4 << 20
"""One read stops after this many bytes of records, some 2 ms of decoding, for it runs on the event
loop."""

RESTART_TIMEOUT_MS = 20

DROP_BATCHES, DROP_BYTES = 256, 4 << 20
"""One retention step looks at no more than this, so that an append behind it waits a few
milliseconds."""

TABLE = """CREATE TABLE IF NOT EXISTS batches_{id} (
    last INTEGER PRIMARY KEY, count INTEGER NOT NULL, newest_ms INTEGER NOT NULL,
    records BLOB NOT NULL)"""
# SQLite computes the last offset in the INSERT, under the write lock: several processes may append.
INSERT = """INSERT INTO batches_{id} (last, count, newest_ms, records) VALUES (
    (SELECT max(floor - 1, coalesce((SELECT max(last) FROM batches_{id}), -1))
    FROM topics WHERE id = {id}) + ?1, ?1, ?2, ?3)"""
READ = "SELECT last, count, records FROM batches_{id} WHERE last >= ? ORDER BY last"
HOLDS = "SELECT 1 FROM batches_{id} WHERE last >= ? LIMIT 1"
NEW_TOPICS = "SELECT id, name, NULL FROM topics WHERE id > ?"
LAST = "SELECT {id}, NULL, max(last) FROM batches_{id}"
SPAN = """SELECT (SELECT last - count + 1 FROM batches_{id} ORDER BY last LIMIT 1),
    max(floor, coalesce((SELECT max(last) + 1 FROM batches_{id}), 0)) FROM topics WHERE id = {id}"""
OLDEST = (
    "SELECT last, count, newest_ms, length(records) FROM batches_{id} WHERE last < ? ORDER BY last "
    "LIMIT ?"
)
REPLACE = "UPDATE batches_{id} SET records = ? WHERE last = ?"
DELETE = "DELETE FROM batches_{id} WHERE last = ?"
RAISE_FLOOR = "UPDATE topics SET floor = max(floor, ?) WHERE id = ?"
"""`floor` lies above every offset that retention has dropped. So all rows of a topic may go, and
still no offset is given twice."""


class Encoded(NamedTuple):
    """A record ready to be written."""

    topic: str
    time_ms: int
    data: bytes


class CommitBatch(NamedTuple):
    """A row of a topic's table, with the columns of `INSERT`."""

    records_count: int
    newest_ms: int
    records: bytes


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a record cannot hold a {type(value).__name__}")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoder = msgspec.msgpack.Decoder(list[Record])


def encode(record: Record) -> Encoded:
    """Raises ValueError or TypeError if a field cannot be written (a lone surrogate in a
    string)."""
    return Encoded(record.topic, record.time_ms, _encoder.encode(record))


def batches(records: Sequence[Encoded]) -> Iterator[CommitBatch]:
    """Rows for records of one topic, in order; small enough that a reader never decodes much for
    one record."""
    start, size = 0, 0
    for index, record in enumerate(records):
        if index > start and (
            index - start == BATCH_RECORDS or size + len(record.data) > BATCH_BYTES
        ):
            yield _batch(records[start:index])
            start, size = index, 0
        size += len(record.data)
    yield _batch(records[start:])


def _batch(records: Sequence[Encoded]) -> CommitBatch:
    # A msgpack array: 0xdd, its length in four bytes, then the elements as they are.
    head = struct.pack(">BI", 0xDD, len(records))
    return CommitBatch(
        len(records), max(r.time_ms for r in records), b"".join([head, *[r.data for r in records]])
    )


def unavailable(path: Path, error: sqlite3.Error) -> Unavailable:
    """The log's error for a failed statement."""
    return Unavailable(
        f"log {path}: {error} ({getattr(error, 'sqlite_errorname', type(error).__name__)})"
    )


class LogFile:
    """One connection, used by one thread at a time.

    Methods raise sqlite3.Error; the transaction of a method that raised is rolled back.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout_s: float,
        wal_limit_bytes: int,
        max_pages: int | None = None,
    ) -> None:
        # Never made here: a file that was removed is missed, not silently begun anew.
        self._db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        # In WAL mode FULL syncs at every commit (sqlite.org/pragma.html#pragma_synchronous).
        self._db.execute("PRAGMA synchronous=FULL")
        # Bodies are personal data: what retention or a redaction removes is overwritten with zeros.
        self._db.execute("PRAGMA secure_delete=ON")
        # Checkpoints have a thread of their own (`stream/log/sqlite/threads.py`).
        self._db.execute("PRAGMA wal_autocheckpoint=0")
        self._db.execute(
            f"PRAGMA journal_size_limit={wal_limit_bytes:d}"
        )  # of the WAL, when it starts over
        if sys.platform == "darwin":
            self._db.execute(
                "PRAGMA fullfsync=1"
            )  # there, fsync alone leaves the data in the drive's cache
        if max_pages is not None:
            self._db.execute(f"PRAGMA max_page_count={max_pages:d}")
        self._ids: dict[str, int] = {}
        self._newest_id = 0
        """Of the topics that `with_records` has seen."""

    def append(self, records: Sequence[Encoded]) -> None:
        """Make `records` durable in one transaction, each topic's in order."""
        by_topic: dict[str, list[Encoded]] = {}
        for record in records:
            by_topic.setdefault(record.topic, []).append(record)
        rows = [
            (self._ensure(topic), batch)
            for topic, of_topic in by_topic.items()
            for batch in batches(of_topic)
        ]
        if (
            len(rows) == 1
        ):  # a statement of its own is its own transaction: one step instead of three
            table, batch = rows[0]
            self._db.execute(INSERT.format(id=table), batch)
            return
        with WriteTransaction(self._db):
            for table, batch in rows:
                self._db.execute(INSERT.format(id=table), batch)

    def read(self, topic: str, offset: int, max_records: int) -> list[Entry]:
        """Up to `max_records` entries from `offset` on; fewer where they pass `READ_BYTES`."""
        table = self._find(topic)
        entries: list[Entry] = []
        if table is None:
            return entries
        size = 0
        rows = self._db.execute(READ.format(id=table), (offset,))
        for last, count, blob in rows:
            base = last - count + 1
            skip = max(offset - base, 0)
            wanted = _decoder.decode(blob)[skip : skip + max_records - len(entries)]
            entries += [Entry(record, 0, place) for place, record in enumerate(wanted, base + skip)]
            size += len(blob)
            if len(entries) == max_records or size >= READ_BYTES:
                break
        rows.close()
        return entries

    def identity(self) -> str:
        """What distinguishes this log from any other (`opening`)."""
        return str(self._db.execute("SELECT id FROM identity").fetchone()[0])

    def owner(self) -> str:
        """The deployment that said last that it reads this log; "" where nobody has."""
        row = self._db.execute("SELECT name FROM owner").fetchone()
        return "" if row is None else str(row[0])

    def own(self, name: str) -> int:
        """Note the deployment that reads this log."""
        with WriteTransaction(self._db):
            self._db.execute("DELETE FROM owner")
            self._db.execute("INSERT INTO owner VALUES (?)", (name,))
        return 1

    def rewrite(
        self,
        topic: str,
        offset: int,
        until: int,
        rewrite: Callable[[Record], Record | None],
        at_most_bytes: int,
    ) -> tuple[int, int]:
        """Replace records from `offset` to `until` (exclusive) in place, a few batches of them.

        `rewrite` answers None for what stays. Returns where to go on, and how many were replaced.
        """
        table = self._find(topic)
        if table is None:
            return until, 0
        size, replaced, changed, after = 0, 0, list[tuple[bytes, int]](), until
        rows = self._db.execute(READ.format(id=table), (offset,))
        for last, count, blob in rows:
            base = last - count + 1
            if base >= until:
                break
            records = _decoder.decode(blob)
            after = min(last + 1, until)
            for place, record in enumerate(records, base):
                new = rewrite(record) if offset <= place < until else None
                if new is not None:
                    records[place - base] = new
                    replaced += 1
                    changed.append((b"", last))
            if changed and changed[-1][1] == last:
                whole = [encode(record) for record in records]
                changed = [each for each in changed if each[1] != last]
                changed.append((_batch(whole).records, last))
            size += len(blob)
            if size >= at_most_bytes:
                break
        else:
            after = until
        rows.close()
        if changed:
            with WriteTransaction(self._db):
                self._db.executemany(REPLACE.format(id=table), changed)
        return after, replaced

    def truncate_wal(self) -> bool:
        """Copy all of the WAL into the file and cut it off; False where somebody was in the way."""
        return int(self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]) == 0

    def holds(self, topic: str, offset: int) -> bool:
        """Whether there is a record at or after `offset`."""
        table = self._find(topic)
        if table is None:
            return False
        return self._db.execute(HOLDS.format(id=table), (offset,)).fetchone() is not None

    def with_records(self, wanted: Sequence[tuple[str, int]]) -> list[bool]:
        """`holds` of several topics, with one statement however many there are."""
        tables = sorted({table for topic, _ in wanted if (table := self._ids.get(topic))})
        sql = " UNION ALL ".join([NEW_TOPICS, *(LAST.format(id=table) for table in tables)])
        last = dict[int, int]()
        more = False
        for table, name, newest in self._db.execute(sql, (self._newest_id,)):
            if name is None:
                last[table] = -1 if newest is None else newest
            else:
                self._ids[name], more = table, True
                self._newest_id = max(self._newest_id, table)
        if more:
            return self.with_records(wanted)
        return [last.get(self._ids.get(topic, 0), -1) >= offset for topic, offset in wanted]

    def span(self, topic: str) -> Span:
        table = self._find(topic)
        if table is None:
            return Span(0, 0)
        first, following = self._db.execute(SPAN.format(id=table)).fetchone()
        return Span(following if first is None else first, following)

    def drop(self, topic: str, older_than_ms: int, unread: int) -> int:
        """One step of retention among the oldest batches. Returns how many records were deleted; 0
        when there is nothing left to do.

        A batch is deleted when all its records are older than `older_than_ms` and before `unread`.
        Old batches behind a young one (a wrong clock) are found within the step's reach.
        """
        table = self._find(topic)
        if table is None:
            return 0
        with WriteTransaction(self._db):
            went, size, lasts = 0, 0, []
            oldest = self._db.execute(OLDEST.format(id=table), (unread, DROP_BATCHES)).fetchall()
            for last, count, newest_ms, length in oldest:
                if newest_ms < older_than_ms and size < DROP_BYTES:
                    lasts.append((last,))
                    went += count
                    size += length
            if lasts:
                self._db.executemany(DELETE.format(id=table), lasts)
                self._db.execute(RAISE_FLOOR, (lasts[-1][0] + 1, table))
        return went

    def topics(self) -> list[str]:
        """The names of all topics that ever had a record."""
        return [row[0] for row in self._db.execute("SELECT name FROM topics ORDER BY name")]

    def bytes_of(self, topic: str) -> int:
        """Bytes of a topic's records."""
        table = self._find(topic)
        if table is None:
            return 0
        size = self._db.execute(f"SELECT coalesce(sum(length(records)), 0) FROM batches_{table:d}")
        return int(size.fetchone()[0])

    def version(self) -> int:
        """Changes when another connection, of this process or another, has committed."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def checkpoint(self) -> tuple[int, int]:
        """Copy the WAL into the file as far as nobody has to wait. Returns bytes in the WAL, and
        how many of them are copied."""
        _, frames, copied = self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return max(frames, 0) * PAGE_BYTES, max(copied, 0) * PAGE_BYTES

    def restart_wal(self) -> int:
        """Copy the rest and let the next commit restart the WAL. Returns 0 if it did, 1 if others
        were in the way for too long.

        It holds the write lock while it waits for readers: hence a short timeout of its own.
        """
        (before,) = self._db.execute("PRAGMA busy_timeout").fetchone()
        self._db.execute(f"PRAGMA busy_timeout={RESTART_TIMEOUT_MS}")
        try:
            return int(self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0])
        finally:
            self._db.execute(f"PRAGMA busy_timeout={before:d}")

    def close(self) -> None:
        self._db.close()

    def _find(self, topic: str) -> int | None:
        table = self._ids.get(topic)
        if table is None:
            row = self._db.execute("SELECT id FROM topics WHERE name = ?", (topic,)).fetchone()
            if row is None:
                return None
            table = self._ids[topic] = int(row[0])
        return table

    def _ensure(self, topic: str) -> int:
        table = self._find(topic)
        if table is not None:
            return table
        with WriteTransaction(self._db):
            self._db.execute("INSERT OR IGNORE INTO topics (name) VALUES (?)", (topic,))
            row = self._db.execute("SELECT id FROM topics WHERE name = ?", (topic,)).fetchone()
            self._db.execute(TABLE.format(id=row[0]))
        return int(row[0])


class WriteTransaction:
    """BEGIN IMMEDIATE to COMMIT; rolled back when anything in it raises, COMMIT included."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
