"""Isolates ticks: one that raises affects neither another projection nor another shop."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from processors.engine.processor import Tick
from stream.store.contract import Store, StoreError

SHOPS_AT_ONCE = 20
PAUSES_S = (5.0, 30.0, 120.0, 600.0)
"""Before a tick that raised is asked again; the last one repeats."""

log = structlog.get_logger()


class FailingTick(NamedTuple):
    """A tick that raised when last called. `shop` None: of no shop in particular."""

    tick: str
    shop: str | None
    reason: str


@dataclass(slots=True)
class _Pause:
    failures: int = 0
    until_s: float = 0.0
    reason: str = ""


@dataclass(slots=True)
class OneTick:
    """The tick of one projection.

    It is called for all shops together, in one transaction. If that raises, it is called shop by
    shop, a few per second, until a round passes without a failure; a failing shop is reported and
    waits, longer each time.
    """

    processor: str
    name: str
    tick: Tick
    shops: Sequence[str]
    _by_shop: bool = False
    _turn: int = 0
    _round_failed: bool = False
    _paused: dict[str | None, _Pause] = field(default_factory=dict)

    def failing(self) -> list[FailingTick]:
        """What raised when last called."""
        paused = tuple(self._paused.items())  # a thread may add to it meanwhile
        return [FailingTick(self.name, shop, each.reason) for shop, each in paused]

    def run(self, store: Store, now_ms: int, now_s: float) -> None:
        """Call the tick. `now_s`: seconds from any moment on. Raises StoreError."""
        if not self._by_shop:
            if self._ask(store, now_ms, now_s, None):
                return
            self._by_shop, self._turn, self._round_failed = True, 0, False
        for shop in self.shops[self._turn : self._turn + SHOPS_AT_ONCE]:
            if not self._ask(store, now_ms, now_s, shop):
                self._round_failed = True
        self._turn += SHOPS_AT_ONCE
        if self._turn >= len(self.shops):
            self._by_shop = self._round_failed
            self._turn, self._round_failed = 0, False

    def _ask(self, store: Store, now_ms: int, now_s: float, shop: str | None) -> bool:
        pause = self._paused.get(shop)
        if pause is not None and now_s < pause.until_s:
            return False
        try:
            with store.begin() as transaction:
                self.tick(transaction, now_ms, shop)
        except StoreError:
            raise
        except Exception as error:
            self._note(shop, now_s, error)
            return False
        if pause is not None:
            del self._paused[shop]
            log.info("tick works again", processor=self.processor, tick=self.name, shop=shop)
        return True

    def _note(self, shop: str | None, now_s: float, error: Exception) -> None:
        pause = self._paused.setdefault(shop, _Pause())
        pause.until_s = now_s + PAUSES_S[min(pause.failures, len(PAUSES_S) - 1)]
        pause.failures += 1
        pause.reason = f"its tick failed: {type(error).__name__}"
        log.error(
            "tick failed",
            processor=self.processor,
            tick=self.name,
            shop=shop,
            next_in_s=round(pause.until_s - now_s),
            exc_info=error,
        )
