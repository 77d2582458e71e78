"""Detects stalled processors: one is stalled if its next unread offset has not changed for
`STILL_MS`.

A processor that works through a backlog moves, and one without unread records is not timed.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from processors.engine.feed import Feed, feed_of
from query.as_of import Spans, behind_by_partition
from query.status.answer import Role
from stream.store.contract import Position

STILL_MS: Final = 20_000
SILENT_MS: Final = 15_000
"""Seven missed heartbeats; a restarting role is back sooner."""


class NextOffsets:
    """The next offset of each processor when last asked. One per application."""

    def __init__(self, began_ms: int) -> None:
        self._began_ms = began_ms
        self._unread: dict[tuple[Feed, int], tuple[int, int]] = {}

    def reasons(
        self, feeds: Collection[Feed], positions: Sequence[Position], spans: Spans, now_ms: int
    ) -> list[str]:
        """Which of `feeds` are stalled, and for how long; topics missing from `spans` keep their
        state."""
        found = []
        for feed in feeds:
            if feed.topic not in spans:
                continue
            reached = {
                position.partition: position.unread
                for position in positions
                if feed_of(position) == feed
            }
            since_ms = now_ms
            for partition, behind in behind_by_partition(
                feed, positions, spans[feed.topic]
            ).items():
                if not behind:
                    self._unread.pop((feed, partition), None)
                    continue
                following = max(reached.get(partition, 0), spans[feed.topic][partition].first)
                known, noted_ms = self._unread.get((feed, partition), (None, now_ms))
                if known != following or noted_ms > now_ms:  # It moved, or the clock went back.
                    noted_ms = now_ms
                self._unread[feed, partition] = following, noted_ms
                since_ms = min(since_ms, noted_ms)
            if now_ms - since_ms >= STILL_MS:
                found.append(
                    f"processor {feed.processor} has not moved on {feed.topic} for "
                    f"{(now_ms - since_ms) // 1000} s"
                )
        return found

    def nobody_folds(self, roles: Iterable[Role], now_ms: int) -> bool:
        """Whether no process role has a fresh heartbeat, once this process is up long enough to
        expect one."""
        if now_ms - self._began_ms <= SILENT_MS:
            return False
        return not any(
            role.role == "process"
            and abs(now_ms - role.beat_ms) <= SILENT_MS
            and role.failed is None
            for role in roles
        )
