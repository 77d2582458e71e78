"""Audit runs asked for at this process that the store may not show yet."""

import asyncio
from typing import Final

JUST_ASKED_MS: Final = 30_000
"""How long such a run counts as running before the process role has read it."""


class PendingRun:
    """Runs asked for at this process that the store may not show yet."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], tuple[str, int]] = {}
        self.lock = asyncio.Lock()

    def run_id(self, shop: str, kind: str, now_ms: int) -> str | None:
        run_id, at_ms = self._asked.get((shop, kind), ("", 0))
        return run_id if run_id and 0 <= now_ms - at_ms < JUST_ASKED_MS else None

    def add(self, shop: str, kind: str, run_id: str, now_ms: int) -> None:
        self._asked[shop, kind] = (run_id, now_ms)
