"""Rebuilds projections beside the folds of a process role, one page after the other.

What to rebuild is read from the store (projections of another version, requested rebuilds, replaced
generations), so any process can start, continue or finish a rebuild.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog

from processors.engine.projection import Projection
from processors.engine.rebuild import Pending, RebuildWork, look, note_failure, register, run
from stream.store.contract import Store, StoreBroken, StoreUnavailable

LOOK_EVERY_S: Final = 1.0
REST: Final = 0.2
"""Share of a step's duration that the next one waits, so that folds of the same shop get the lock.
"""
PAUSE_S: Final = 60.0
"""How long a shop's projection waits after a step of it failed."""
log = structlog.get_logger()


async def rebuild(
    store: Store,
    projections: Mapping[str, Projection],
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    show: Callable[[frozenset[Pending]], None] = lambda _: None,
) -> None:
    """Rebuild what has to be, until cancelled. One shop's failure pauses only that shop. `show` is
    called at each look, with the shops that a projection does not count."""
    not_before_s: dict[Pending, float] = {}
    begun: frozenset[str] = frozenset()
    registered = False
    while True:
        try:
            if not registered:
                await asyncio.to_thread(_register, store, projections)
                registered = True
            found, failed = await asyncio.to_thread(_look, store, projections)
            show(failed)
            begun = _logged(begun, found)
        except (StoreUnavailable, StoreBroken):
            await asyncio.sleep(LOOK_EVERY_S)
            continue
        due = [each for each in found if time.monotonic() >= not_before_s.get(each, 0.0)]
        for each in due:
            started_s = time.monotonic()
            projection = projections[each.name]
            try:
                await asyncio.to_thread(run, store, projection, each.shop, clock_ms())
            except StoreUnavailable:
                await asyncio.sleep(LOOK_EVERY_S)
            except Exception as error:  # A bug of ours: this program cannot count the shop's past.
                not_before_s[each] = time.monotonic() + PAUSE_S
                log.error(
                    "rebuild failed",
                    projection=each.name,
                    shop=each.shop,
                    error=type(error).__name__,
                    next_step="upgrade orderwire; it is tried again every minute",
                )
                with suppress(StoreUnavailable, StoreBroken):
                    await asyncio.to_thread(note_failure, store, each, error)
            await asyncio.sleep(REST * (time.monotonic() - started_s))
        if not due:
            await asyncio.sleep(LOOK_EVERY_S)


def _logged(begun: frozenset[str], found: Sequence[Pending]) -> frozenset[str]:
    """The projections that are rebuilt now. Logs those that begin and those that are complete, a
    line for all shops of each."""
    shops = Counter(each.name for each in found)
    for name in sorted(shops.keys() - begun):
        log.info("rebuild begun", projection=name, shops=shops[name])
    for name in sorted(begun - shops.keys()):
        log.info("rebuild complete", projection=name)
    return frozenset(shops)


def _register(store: Store, projections: Mapping[str, Projection]) -> None:
    with store.begin() as transaction:
        register(transaction, projections.values())


def _look(store: Store, projections: Mapping[str, Projection]) -> RebuildWork:
    with store.snapshot() as snapshot:
        return look(snapshot, projections.values())
