"""Does anything stand still? Whether somebody folds at all, and whether every processor with
something to read gets on with it.

A record that is unread now and was the next to be read `STILL_MS` ago is a processor that stands
still, however seldom it is asked: one that works through a backlog moves, and one that has read
everything has nothing to move for. So nothing is scanned, and nobody is timed who is not behind.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from processors.engine.feed import Feed
from query.as_of import Spans, behind_by_partition
from query.status import Role
from stream.store.contract import Position

STILL_MS: Final = 60_000
SILENT_MS: Final = 30_000
"""Fifteen signs of life missed, as `orderwire/healthcheck.py` has it: a role that starts again is
there sooner."""


class Standing:
    """What was the next record of each processor when somebody last asked. One per application."""

    def __init__(self, began_ms: int) -> None:
        self._began_ms = began_ms
        self._unread: dict[tuple[Feed, int], tuple[int, int]] = {}

    def reasons(
        self, feeds: Collection[Feed], positions: Sequence[Position], spans: Spans, now_ms: int
    ) -> list[str]:
        """Which of `feeds` stand still, and for how long; those of topics that `spans` has not are
        left as they were."""
        found = []
        for feed in feeds:
            if feed.topic not in spans:
                continue
            reached = {
                position.partition: position.unread
                for position in positions
                if position[:2] == feed
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
                if known != following:
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
        """Whether no process role gives a sign of life, once this process is up for long enough
        that one may be, too."""
        if now_ms - self._began_ms <= SILENT_MS:
            return False
        return not any(
            role.role == "process" and now_ms - role.beat_ms <= SILENT_MS and role.failed is None
            for role in roles
        )
