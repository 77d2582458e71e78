"""Reads a topic once for all processors of a process. Each keeps its own position: one that is
behind the others reads by itself until it has caught up, and delays none of them."""

import asyncio
import time
from collections.abc import Collection, Mapping
from typing import Final

from stream.log.contract import SETTLE_S, Log, LogError, PositionLost, Reader, Start
from stream.record import Entry

MOST_BYTES: Final = 12 << 20
"""Bodies that one processor was given and another was not. Past it the slower one reads by itself.
"""
EARLY_S: Final = 0.002
"""Timers may fire so early; waiting for the rest would be another look at the log for nothing."""
FAR: Final = 2_000
"""Records by which a processor must be ahead of the reading before that jumps to it. Fewer are
read, and skipped."""


class SharedReaders:
    """The readers of one process. The consumer group of a topic has the topic's name."""

    def __init__(self, log: Log, most_bytes: int = MOST_BYTES) -> None:
        self._log, self._most_bytes = log, most_bytes
        self._topics: dict[str, _Topic] = {}

    async def reader(self, topic: str, processor: str, start: Start) -> Reader:
        """As `stream.log.contract.Log.reader`, for a processor of this process. It connects with
        its first read."""
        if topic not in self._topics:
            self._topics[topic] = _Topic(self._log, topic, self._most_bytes)
        return SharedReader(self._topics[topic], start)


class SharedReader:
    """`stream.log.contract.Reader` of one processor. Called by one task at a time."""

    def __init__(self, topic: "_Topic", start: Start) -> None:
        """Use `SharedReaders.reader`."""
        self._topic, self.start = topic, start
        self.next: dict[int, int] = {}
        """By partition: the offset that this processor is given next; none before its first."""
        self.cursor = 0
        """The number of the next entry of the topic's reading."""
        self.reported: Mapping[int, int] = {}
        self._until: dict[int, int] = {}
        """Where the topic's reading was when this processor joined it."""
        self._generation: int | None = None
        topic.members.add(self)

    @property
    def placed(self) -> bool:
        """Whether its positions are those of the topic's present partitions."""
        return self._generation == self._topic.generation

    def place(self, positions: Mapping[int, int]) -> None:
        """Join the topic's reading where it is now, with these positions."""
        self.next, self._generation = dict(positions), self._topic.generation
        self._join()

    def behind(self) -> list[int]:
        """The partitions of which it has records to read by itself."""
        return [each for each, until in self._until.items() if self.next.get(each, 0) < until]

    async def read(self, max_records: int, wait_s: float) -> list[Entry]:
        """As `stream.log.contract.Reader.read`."""
        topic, deadline_s = self._topic, time.monotonic() + wait_s
        while True:
            await self._place_anew()
            if not topic.misplaced():
                entries = await self._catch_up(max_records) or await self._take(max_records)
                if entries:
                    return entries
            left_s = max(0.0, deadline_s - time.monotonic())
            new = await topic.read_on(self, max_records, left_s)
            if not new and time.monotonic() + EARLY_S >= deadline_s:
                return []

    async def reload(self) -> None:
        """As `stream.log.contract.Reader.reload`; the other processors read on."""
        self._generation = None

    async def report(self, positions: Mapping[int, int]) -> None:
        """As `stream.log.contract.Reader.report`."""
        self.reported = {**self.reported, **positions}
        await self._topic.report()

    async def close(self) -> None:
        """Leave; the last one leaves the group."""
        await self._topic.leave(self)

    async def _place_anew(self) -> None:
        topic = self._topic
        while topic.generation and not self.placed:
            generation = topic.generation
            positions = await self.start(topic.partitions)
            await self._check(positions)
            if topic.generation == generation:
                self.place(positions)

    async def _check(self, positions: Mapping[int, int]) -> None:
        """Raise PositionLost for a position after the log's end. Without it the processor would
        wait until the log reaches that, and miss what comes before."""
        topic, settled_s = self._topic, time.monotonic() + SETTLE_S
        after = dict(positions)
        # Not stamina: nothing raises while the log may only be behind.
        while after:
            spans = await topic.log.spans(topic.name)
            after = {each: at for each, at in after.items() if at > spans[each].next}
            if after and time.monotonic() >= settled_s:
                partition, at = after.popitem()
                raise PositionLost(topic.name, partition, at, spans[partition])
            if after:
                await asyncio.sleep(0.25)

    def _join(self) -> None:
        self.cursor, self._until = self._topic.end, dict(self._topic.next)

    async def _catch_up(self, max_records: int) -> list[Entry]:
        """What comes before the topic's reading."""
        if self.cursor < self._topic.first:  # What it was to be given next is gone.
            self._join()
        for partition in self.behind():
            if entries := await self._scan(partition, self._until[partition], max_records):
                return entries
        return []

    async def _take(self, max_records: int) -> list[Entry]:
        """What the topic's reading has for it."""
        taken: list[Entry] = []
        if self.behind() or not self.placed:
            return taken
        for entry in self._topic.since(self.cursor):
            partition, offset = entry.partition, entry.offset
            if len(taken) == max_records:
                break
            if offset > self.next.get(partition, offset):
                # Most likely a gap that the log has of itself.
                if taken or (found := await self._scan(partition, offset, max_records)):
                    return taken or found
                if self.next[partition] < offset or not self.placed:
                    return []
            self.cursor += 1
            if offset == self.next.get(partition, offset):
                taken.append(entry)
                self.next[partition] = offset + 1
        self._topic.trim()
        return taken

    async def _scan(self, partition: int, until: int, max_records: int) -> list[Entry]:
        """Entries before `until` of a partition, outside the topic's reading."""
        log, name, at = self._topic.log, self._topic.name, self.next.get(partition)
        found = await log.scan(name, partition, at or 0, max_records)
        if at is not None and (not found or found[0].offset > at):
            span = (await log.spans(name))[partition]
            if at < span.first:
                raise PositionLost(name, partition, at, span)
        entries = [each for each in found if each.offset < until]
        if found:  # Else its broker has yet to learn of them.
            self.next[partition] = min(found[-1].offset + 1, until)
        return entries


class _Topic:
    """The one reading of a topic: entries in the order in which the log's reader gave them. Those
    that every processor has taken are dropped."""

    def __init__(self, log: Log, name: str, most_bytes: int) -> None:
        self.log, self.name, self._most_bytes = log, name, most_bytes
        self.members: set[SharedReader] = set()
        self.generation = 0
        """Counts how often partitions were assigned or positions set."""
        self.partitions: frozenset[int] = frozenset()
        self.next: dict[int, int] = {}
        """By partition: the offset at which the reading goes on; none before its first record."""
        self.end = 0
        """The number of entries read so far."""
        self._entries: list[Entry] = []
        """The last of them."""
        self._bytes = 0
        self._reader: Reader | None = None
        self._reading = asyncio.Lock()
        self._driver: SharedReader
        """Whose call of the log's reader is under way."""

    @property
    def first(self) -> int:
        """The number of the oldest entry that is kept."""
        return self.end - len(self._entries)

    def since(self, cursor: int) -> list[Entry]:
        """The entries from number `cursor` on."""
        return self._entries[max(0, cursor - self.first) :]

    def trim(self) -> None:
        """Drop what all have taken, and the oldest of what is too many bytes."""
        taken = min((each.cursor for each in self.members if each.placed), default=self.end)
        dropped = max(0, taken - self.first)
        self._bytes -= _size(self._entries[:dropped])
        while self._bytes > self._most_bytes:
            self._bytes -= _size(self._entries[dropped : dropped + 1])
            dropped += 1
        del self._entries[:dropped]

    async def read_on(self, member: SharedReader, max_records: int, wait_s: float) -> bool:
        """Read, or wait for what another processor reads; whether there is anything new. Raises
        what the log's reader raises."""
        seen, until_s = (self.generation, self.end), time.monotonic() + wait_s
        try:
            async with asyncio.timeout(wait_s):
                await self._reading.acquire()
        except TimeoutError:
            return False
        try:
            if (self.generation, self.end) == seen:
                await self._read(member, max_records, max(0.0, until_s - time.monotonic()))
            return (self.generation, self.end) != seen
        finally:
            self._reading.release()

    def misplaced(self) -> bool:
        """Whether the reading is far behind a processor, or ahead of all."""
        placed = [each for each in self.members if each.placed]
        for each in placed:
            ahead = [at - self.next.get(partition, 0) for partition, at in each.next.items()]
            if sum(max(0, records) for records in ahead) > FAR:
                return True
        if not placed or len(placed) < len(self.members):
            return False
        return bool(frozenset.intersection(*(frozenset(each.behind()) for each in placed)))

    async def report(self) -> None:
        """Report the position of the slowest processor of each partition."""
        known = [each.reported for each in self.members]
        positions = {
            partition: min(each[partition] for each in known if partition in each)
            for partition in self.partitions.intersection(*known)
        }
        if self._reader is not None:
            await self._reader.report(positions)

    async def leave(self, member: SharedReader) -> None:
        """The last one closes the log's reader."""
        self.members.discard(member)
        self.trim()
        if not self.members:
            async with self._reading:
                if not self.members:
                    await self._close()

    async def _read(self, member: SharedReader, max_records: int, wait_s: float) -> None:
        if self._reader is None:
            self._reader = await self.log.reader(self.name, self.name, self._start)
        elif self.misplaced():
            await self._reader.reload()
        self._driver = member
        try:
            entries = await self._reader.read(max_records, wait_s)
        except PositionLost:
            await member.reload()  # Its positions are those of nobody any more.
            raise
        except LogError:
            await self._close()  # The next one opens another, as `Stuck` wants it.
            raise
        self._entries += entries
        self._bytes += _size(entries)
        self.end += len(entries)
        self.next.update({each.partition: each.offset + 1 for each in entries})

    async def _start(self, partitions: Collection[int]) -> Mapping[int, int]:
        """As `stream.log.contract.Start`: the furthest position known. The other processors place
        themselves when they read."""
        driver = self._driver
        positions = await driver.start(partitions)
        known = [each.next for each in self.members if each.placed and each is not driver]
        furthest = dict(positions)
        for theirs in known:
            for partition in theirs.keys() & frozenset(partitions):
                furthest[partition] = max(furthest.get(partition, 0), theirs[partition])
        self.generation += 1
        self.partitions, self.next = frozenset(partitions), dict(furthest)
        self._entries, self._bytes = [], 0
        driver.place(positions)
        return furthest

    async def _close(self) -> None:
        self.generation += 1
        self.partitions, self.next = frozenset(), {}
        self._entries, self._bytes = [], 0
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()


def _size(entries: Collection[Entry]) -> int:
    return sum(len(each.record.body) for each in entries)
