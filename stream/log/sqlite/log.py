"""The embedded log, the default: topics in one SQLite file, for one machine. A record is on disk
(fsynced WAL) when `append` returns. It is also the file of the spool."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Self, TypeVar
from uuid import uuid4

from stream.log.contract import Owner, Span, Start, Unavailable
from stream.log.sqlite.file import Encoded, LogFile, encode, unavailable
from stream.log.sqlite.opening import prepare
from stream.log.sqlite.place import Place
from stream.log.sqlite.reader import PARTITION, SqliteReader
from stream.log.sqlite.reading_lock import ReadingLock
from stream.log.sqlite.threads import Checkpointer, Writer
from stream.log.sqlite.watch import Watch, announce
from stream.record import Entry, Record

T = TypeVar("T")

READ_BUSY_TIMEOUT_S = 0.1
"""Readers wait only while another process recovers the file after a crash; they do so on the event
loop, so not for long."""


class SqliteLog:
    """`stream.log.contract.Log` on one file, which several processes may have open.

    Belongs to the event loop that opened it. Appends that arrive during a commit form the next one
    (group commit without a timer). At 64 connections a commit has 29 records on average, so a timer
    would gather little more. 64 concurrent appends of 5 kB cost 23-26 us of CPU per record
    (`bench/receiving/log_append.py`).
    """

    def __init__(
        self,
        place: Place,
        *,
        file: LogFile,
        watch: Watch,
        writer: Writer,
        checkpointer: Checkpointer,
        max_queued_bytes: int,
    ) -> None:
        """Use `open`."""
        self._path, self._place, self._file, self._watch = place.path, place, file, watch
        self._writer, self._checkpointer = writer, checkpointer
        self._max_queued_bytes = max_queued_bytes
        self._reading = ReadingLock(place.path)
        self._loop = asyncio.get_running_loop()
        self._records: list[Encoded] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._queued_bytes = 0
        self._committing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path | str,
        *,
        busy_timeout_s: float = 1.5,
        max_queued_bytes: int = 64 << 20,
        poll_s: float = 0.008,
        checkpoint_every_s: float = 0.1,
        wal_limit_bytes: int = 16 << 20,
        max_pages: int | None = None,
        setting: str = "ORDERWIRE_LOG_URL",
    ) -> Self:
        """Open the log at `path`; create it and its folder if it does not exist.

        - `busy_timeout_s`: how long an append waits for another process's commit.
        - `max_queued_bytes`: what appends may hold in memory before they are refused.
        - `poll_s`: how often a waiting reader polls for commits if the system has no inotify
          (`watch.py`).
        - `checkpoint_every_s`, `wal_limit_bytes`: when the WAL is copied, and from what size on
          writers wait so that it can restart: 16 to 23 ms, against 72 to 76 ms with 0.5 s and 64
          MiB (12,000 records/s of 5 kB), and 44 ms where every fsync takes 8 ms.
        - `max_pages`: the file's largest size in pages, None for no limit.
        - `setting`: the name of the setting that names the file, for errors.

        Raises LogError if the operator must act (not a log, cannot be written, newer format),
        Unavailable if it is locked.
        """
        path = Path(path)
        await asyncio.to_thread(prepare, path, timeout_s=busy_timeout_s, setting=setting)
        connect = partial(
            LogFile,
            path,
            busy_timeout_s=busy_timeout_s,
            wal_limit_bytes=wal_limit_bytes,
            max_pages=max_pages,
        )
        place = Place(path)
        try:
            file = LogFile(
                path, busy_timeout_s=READ_BUSY_TIMEOUT_S, wal_limit_bytes=wal_limit_bytes
            )
        except sqlite3.Error as error:  # It went away at this moment.
            raise unavailable(path, error) from error
        writer = Writer(path, connect)
        return cls(
            place,
            file=file,
            watch=Watch(path, file, poll_s),
            writer=writer,
            checkpointer=Checkpointer(
                connect, writer, every_s=checkpoint_every_s, wal_limit_bytes=wal_limit_bytes
            ),
            max_queued_bytes=max_queued_bytes,
        )

    async def append(self, records: Sequence[Record]) -> None:
        """Make `records` durable in one transaction. Raises Unavailable: disk full or failing,
        locked too long, queue full, closed."""
        self._refuse_when_closed()
        encoded = [encode(record) for record in records]
        if not encoded:
            return
        size = sum([len(record.data) for record in encoded])
        if self._queued_bytes and self._queued_bytes + size > self._max_queued_bytes:
            raise Unavailable(
                f"log {self._path}: {self._queued_bytes} bytes wait to be written, limit "
                f"{self._max_queued_bytes}"
            )
        self._queued_bytes += size
        self._records += encoded
        done = self._loop.create_future()
        self._waiters.append(done)
        if not self._committing:
            self._committing = True
            self._idle.clear()
            self._loop.call_soon(self._commit)
        # Cancelling cancels only this future: the group goes on without it.
        await done

    def _commit(self) -> None:
        """Give the gathered appends to the writer."""
        records, self._records = self._records, []
        waiters, self._waiters = self._waiters, []
        self._writer.submit(
            partial(_append, self._place, records), partial(self._committed, records, waiters)
        )

    def _committed(
        self, records: list[Encoded], waiters: list[asyncio.Future[None]], outcome: int | Exception
    ) -> None:
        self._queued_bytes -= sum([len(record.data) for record in records])
        if self._waiters:
            self._commit()
        else:
            self._committing = False
            self._idle.set()
        for done in waiters:
            if done.done():
                continue
            if isinstance(outcome, Exception):
                done.set_exception(Unavailable(str(outcome)))
            else:
                done.set_result(None)
        self._watch.check()

    async def reader(self, topic: str, group: str, start: Start) -> SqliteReader:
        """The only member of `group`: on one machine a processor runs once, which the store's fence
        ensures."""
        self._refuse_when_closed()
        return SqliteReader(
            self._place, self._file, self._watch, lambda: self._closed, topic, start
        )

    async def spans(self, topic: str) -> Mapping[int, Span]:
        return self._query(lambda file: {PARTITION: file.span(topic)})

    async def identity(self, topic: str) -> str:
        """An id that the file was given when it was made; a copy keeps it."""
        return self._query(lambda file: file.identity())

    async def owner(self) -> Owner | None:
        """Who has the lock of the one reader, which ends with its process. The name in the file
        says who that is; each answer is another sign of life."""
        if self._reading.acquire():
            return None
        name = self._query(lambda file: file.owner())
        return Owner(name or "somebody", uuid4().hex)

    async def own(self, name: str) -> None:
        """Take the lock where it is free, and write the name."""
        if not self._reading.acquire() or self._query(lambda file: file.owner()) == name:
            return
        step: asyncio.Future[int] = self._loop.create_future()
        self._writer.submit(lambda file: file.own(name), partial(_settle, step))
        await step

    async def scan(self, topic: str, partition: int, offset: int, max_records: int) -> list[Entry]:
        if partition != PARTITION:
            return []
        return self._query(lambda file: file.read(topic, offset, max_records))

    async def retain(self, topic: str, older_than_ms: int, unread: Mapping[int, int]) -> int:
        """As `Log.retain`, by whole commits: a record is deleted when all records of its commit may
        be deleted.

        Runs in small steps on the writer thread, so that appends pass in between.
        """
        went = 0
        while PARTITION in unread:
            self._refuse_when_closed()
            step: asyncio.Future[int] = self._loop.create_future()
            self._writer.submit(
                lambda file: file.drop(topic, older_than_ms, unread[PARTITION]),
                partial(_settle, step),
            )
            dropped = await step
            if not dropped:
                break
            went += dropped
        return went

    async def close(self) -> None:
        """Refuse new appends, finish those under way, end both threads."""
        if self._closed:
            return
        self._closed = True
        self._reading.release()
        self._watch.close()
        await self._idle.wait()
        await asyncio.to_thread(self._checkpointer.close)
        await asyncio.to_thread(self._writer.close)
        self._file.close()

    def _query(self, query: Callable[[LogFile], T]) -> T:
        self._refuse_when_closed()
        self._place.check()
        try:
            return query(self._file)
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable(f"log {self._path}: closed")


def _append(place: Place, records: list[Encoded], file: LogFile) -> int:
    place.check()
    file.append(records)
    place.check()  # once more, before anything is acknowledged
    announce(place.path)
    return len(records)


def _settle(step: asyncio.Future[int], outcome: int | Exception) -> None:
    if step.done():
        return
    if isinstance(outcome, Exception):
        step.set_exception(outcome)
    else:
        step.set_result(outcome)
