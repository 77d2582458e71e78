"""A tick that looks at every entity of every shop once a day, a thousand at a time."""

from collections.abc import Callable
from typing import Final, NamedTuple

from stream.store.contract import Transaction

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SCANNED: Final = 1_024
"""Entities looked at in a tick, which takes 40 ms where all of them change: on SQLite nobody else
writes meanwhile. Two pages of orders (`stream/store/packed.py`)."""
SHOPS_AT_ONCE: Final = 50


class Seen(NamedTuple):
    """What a visit has looked at; fewer than it might: the shop has no more."""

    entities: int
    last: str
    """The last of their ids."""


Visit = Callable[[Transaction, str, str, int, int], Seen]
"""(transaction, shop, last id seen, most entities to look at, now in Unix ms)."""


class DailyPass:
    """A `processors.engine.processor.Tick`. State left by a rollback costs a day at most."""

    def __init__(self, visit: Visit, begin_ms: int | None = None) -> None:
        """The first pass begins at `begin_ms`; where none is given, an hour after the first tick:
        a process that has just begun has other work."""
        self._visit, self._begin_ms = visit, begin_ms
        self._shops: list[str] = []
        self._last = ""

    def __call__(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Go on with the pass of today, or begin it; with `shop` only as far as that shop's turn
        has come."""
        if not self._shops:
            if self._begin_ms is None:
                self._begin_ms = now_ms + HOUR_MS
            if now_ms < self._begin_ms:
                return
            found = transaction.query("SELECT DISTINCT shop FROM projection ORDER BY shop")
            self._shops = [row[0] for row in found]
            self._begin_ms, self._last = now_ms + DAY_MS, ""
        left = SCANNED
        for _ in range(SHOPS_AT_ONCE):
            if not self._shops or left <= 0:
                return
            if shop in (None, self._shops[0]):
                seen = self._visit(transaction, self._shops[0], self._last, left, now_ms)
            else:
                seen = Seen(0, "")  # Another shop's visit has failed: its turn is over.
            if seen.entities < left:
                self._shops.pop(0)
                self._last = ""
            else:
                self._last = seen.last
            left -= seen.entities
