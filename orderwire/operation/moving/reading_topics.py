"""Reads all entries of a topic, outside any group."""

from collections.abc import AsyncIterator, Callable

from stream.log.contract import Log, Span
from stream.record import Entry

STEP = 500
Progress = Callable[[int, int], None]
"""Called with (records done, records in all)."""


def silent(done: int, total: int) -> None:
    """A progress callback that does nothing."""


async def entries_of(
    log: Log, topic: str, starts: dict[int, int] | None = None, progress: Progress = silent
) -> AsyncIterator[list[Entry]]:
    """The entries that `topic` had when called, partition by partition, up to 500 at a time.
    Raises Unavailable.

    With `starts` only the partitions that it names, each from its offset on.
    """
    spans = await log.spans(topic)
    chosen = sorted(spans if starts is None else spans.keys() & starts)
    left = {
        partition: Span(
            max(spans[partition].first, (starts or {}).get(partition, 0)), spans[partition].next
        )
        for partition in chosen
    }
    total, done = sum(max(0, span.next - span.first) for span in left.values()), 0
    for partition, span in left.items():
        offset = span.first
        while offset < span.next:
            entries = [
                entry
                for entry in await log.scan(topic, partition, offset, STEP)
                if entry.offset < span.next
            ]
            if not entries:
                break
            done += entries[-1].offset + 1 - offset
            offset = entries[-1].offset + 1
            progress(min(done, total), total)
            yield entries
