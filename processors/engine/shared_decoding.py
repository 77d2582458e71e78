"""Decodes a record once for all processors of a process that read its topic at about the same
place. A processor that is far behind, or stopped, delays no other and decodes for itself."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from stream.record import Entry, Record

Event = TypeVar("Event")
Shared = TypeVar("Shared", covariant=True)
AHEAD: Final = 500
"""Records that a processor with a backlog may be ahead of another before it waits: a batch."""
NEAR: Final = 4 * AHEAD
"""Nobody waits for a processor that is further behind, and nothing is kept for it."""
MOST_BYTES: Final = 12 << 20
"""Bodies of decoded records that another processor has yet to read."""
WAIT_S: Final = 1.0
"""Longest wait for another processor; then none until that one has read on."""
CHECK_S: Final = 0.01


class Share(Protocol[Shared]):
    """One processor's way to a `SharedDecoding`."""

    def decode(self, entry: Entry) -> Shared | None:
        """As `processors.engine.processor.Processor.decode`."""
        ...

    def skip(self, entry: Entry) -> None:
        """The processor has no use for this record."""
        ...


class Unshared(Generic[Event]):
    """A `Share` of a processor that decodes for itself."""

    def __init__(self, decode: Callable[[Entry], Event | None]) -> None:
        self.decode = decode

    def skip(self, entry: Entry) -> None: ...


@dataclass(slots=True)
class _Kept(Generic[Event]):
    record: Record
    event: Event | None
    readers: int
    """Processors that have yet to read it."""


class SharedDecoding(Generic[Event]):
    """The decoded records of one topic. Thread-safe: processors decode in threads of their own."""

    def __init__(
        self, decode: Callable[[Entry], Event | None], most_bytes: int = MOST_BYTES
    ) -> None:
        """`decode` is pure: one result serves every processor."""
        self._decode, self._most_bytes = decode, most_bytes
        self._lock = threading.Lock()
        self._kept: dict[tuple[int, int], _Kept[Event]] = {}
        self._bytes = 0
        self._next: dict[str, dict[int, int]] = {}
        """By processor and partition: the offset that it decodes next."""
        self._in_vain: set[str] = set()
        """Processors that waited for nothing, while no other has read on."""

    def share(self, processor: str) -> "ProcessorsShare[Event]":
        """The share of a processor."""
        return ProcessorsShare(self, processor)

    def decode(self, processor: str, entry: Entry) -> Event | None:
        """The event of a record: another's, if that was decoded from the same bytes."""
        with self._lock:
            kept = self._pass(processor, entry)
        if kept is not None and kept.record == entry.record:
            return kept.event
        event = self._decode(entry)
        with self._lock:
            self._keep(processor, entry, event)
        return event

    def skip(self, processor: str, entry: Entry) -> None:
        """The processor reads past this record."""
        with self._lock:
            self._pass(processor, entry)

    def ahead(self, processor: str) -> int:
        """Records by which it is ahead of the last of those that are near."""
        with self._lock:
            mine = self._next.get(processor, {})
            others = [theirs for name, theirs in self._next.items() if name != processor]
            behind = [
                [mine[each] - theirs[each] for each in mine.keys() & theirs] for theirs in others
            ]
        return max((sum(n for n in each if 0 < n <= NEAR) for each in behind), default=0)

    async def wait(self, processor: str) -> None:
        """Let the others come near, at most `WAIT_S`."""
        until = time.monotonic() + WAIT_S
        while processor not in self._in_vain and self.ahead(processor) > AHEAD:
            if time.monotonic() >= until:
                self._in_vain.add(processor)
                return
            await asyncio.sleep(CHECK_S)

    def _pass(self, processor: str, entry: Entry) -> _Kept[Event] | None:
        self._next.setdefault(processor, {})[entry.partition] = entry.offset + 1
        if self._in_vain:
            self._in_vain &= {processor}
        place = (entry.partition, entry.offset)
        kept = self._kept.get(place)
        if kept is not None:
            kept.readers -= 1
            if kept.readers < 1:
                self._drop(place)
        return kept

    def _keep(self, processor: str, entry: Entry, event: Event | None) -> None:
        place = (entry.partition, entry.offset)
        readers = 0
        for name, theirs in self._next.items():
            if name != processor and (at := theirs.get(entry.partition)) is not None:
                readers += 0 <= entry.offset - at <= NEAR
        if not readers or place in self._kept:
            return
        self._kept[place] = _Kept(entry.record, event, readers)
        self._bytes += len(entry.record.body)
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, place: tuple[int, int]) -> None:
        self._bytes -= len(self._kept.pop(place).record.body)


class ProcessorsShare(Generic[Event]):
    """A `Share`, and what its runner awaits before it reads on in a backlog."""

    def __init__(self, shared: SharedDecoding[Event], processor: str) -> None:
        self._shared, self._processor = shared, processor

    def decode(self, entry: Entry) -> Event | None:
        return self._shared.decode(self._processor, entry)

    def skip(self, entry: Entry) -> None:
        self._shared.skip(self._processor, entry)

    async def wait(self) -> None:
        """Let other processors come near."""
        await self._shared.wait(self._processor)


Wait = Callable[[], Awaitable[None]]


async def for_nobody() -> None:
    """The `wait` of a processor that shares nothing."""
