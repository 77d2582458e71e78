"""How fresh an answer is: newer than its question, unless that would take longer than an answer
may; and how often models are fitted."""

import asyncio
import threading
from collections.abc import Callable

import numpy as np
import pytest

from aggregates.rfm.answer.cell_arrays import Columns
from aggregates.rfm.answer.overview import RfmSettings, RfmView
from aggregates.rfm.fold.customer import BTYD_CELLS, LAST_DAY_CELLS, RFM_CELLS, SPEND_CELLS
from aggregates.rfm.value.fit import IDLE, Fit, Fits
from query.freshness import Freshness
from stream.store.contract import Cells, StoreUnavailable


class Held:
    """A refresh that is counted when it begins, and ends when it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.done = 0

    def __call__(self) -> None:
        self.begun.release()
        self.go.acquire()
        self.done += 1

    async def begins(self) -> None:
        await asyncio.to_thread(self.begun.acquire)


async def test_a_question_waits_for_a_refresh_that_began_after_it_came() -> None:
    held = Held()
    freshness = Freshness(held, patience_s=60)
    first = asyncio.create_task(freshness.fresh(known=True))
    await held.begins()
    later = [asyncio.create_task(freshness.fresh(known=True)) for _ in range(3)]
    held.go.release()
    await first
    assert not any(task.done() for task in later)
    held.go.release()
    await asyncio.gather(*later)
    assert held.done == 2
    await freshness.settle()


async def test_a_question_that_comes_after_the_end_is_one_to_ask_again() -> None:
    freshness = Freshness(lambda: None, patience_s=60)
    await freshness.fresh(known=True)
    await freshness.settle()
    with pytest.raises(StoreUnavailable, match="ending"):
        await freshness.fresh(known=True)


async def test_patience_ends_and_the_answer_goes_by_what_is_there() -> None:
    held = Held()
    freshness = Freshness(held, patience_s=0.001)
    await freshness.fresh(known=True)
    assert held.done == 0
    held.go.release()
    await freshness.settle()
    assert held.done == 1


async def test_with_nothing_there_yet_a_question_waits() -> None:
    held = Held()
    freshness = Freshness(held, patience_s=0.0)
    held.go.release()
    await freshness.fresh(known=False)
    assert held.done == 1
    await freshness.settle()


async def test_a_store_that_is_away_is_reported_to_those_who_ask_and_asked_again() -> None:
    outcomes: list[Callable[[], None]] = []
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def refresh() -> None:
        if not outcomes:
            loop.call_soon_threadsafe(asked.set)
            return
        outcomes.pop()()

    def away() -> None:
        raise StoreUnavailable("away")

    freshness = Freshness(refresh, patience_s=60)
    outcomes.append(away)
    with pytest.raises(StoreUnavailable):
        await freshness.fresh(known=True)
    outcomes.append(away)
    keeping = asyncio.create_task(freshness.keep(0.0))
    await asked.wait()
    keeping.cancel()
    await freshness.settle()


def view(version: int, repeaters: int = 0) -> RfmView:
    """A shop whose cells are in their `version`; `repeaters` customers bought twice."""

    def columns(cells: Cells, *rows: tuple[int, ...]) -> Columns:
        table = np.array(rows, dtype=np.int64).reshape(-1, len(cells.key) - 1 + len(cells.measures))
        return Columns.of(cells, list(table.T), version)

    btyd = columns(BTYD_CELLS, (1, 20_000, 20_010, repeaters, repeaters, 0, 0))
    return RfmView(
        "s",
        "s",
        "USD",
        20_000,
        True,
        columns(RFM_CELLS),
        columns(LAST_DAY_CELLS),
        btyd,
        columns(SPEND_CELLS),
        (0, 0, 0),
        (),
    )


async def fitted_at(fits: Fits, version: int, day: int = 20_000) -> int:
    fit: Fit = await fits.current(view(version), day, RfmSettings(refit_s=60))
    return fit.fitted_ms


async def test_models_are_fitted_again_after_a_change_and_for_a_small_part_of_the_time() -> None:
    now_ms = 0
    fits = Fits(lambda: now_ms, patience_s=60)
    assert await fitted_at(fits, version=1) == 0
    first = await fits.current(view(1), 20_000, RfmSettings())
    now_ms = int(IDLE * first.took_ms)
    assert await fitted_at(fits, version=2) == 0
    now_ms += 1
    assert await fitted_at(fits, version=1) == 0
    assert await fitted_at(fits, version=2) == now_ms
    now_ms += 60_000
    assert await fitted_at(fits, version=2) == now_ms - 60_000
    assert await fitted_at(fits, version=2, day=20_001) == now_ms


async def test_questions_that_come_together_share_one_fit() -> None:
    clock = iter(range(100))
    fits = Fits(lambda: next(clock), patience_s=60)
    found = await asyncio.gather(*(fitted_at(fits, version=1) for _ in range(5)))
    assert len(set(found)) == 1


async def test_why_nothing_can_be_predicted_is_said() -> None:
    fit = await Fits(lambda: 0, patience_s=60).current(view(1, repeaters=3), 20_100, RfmSettings())
    assert (fit.purchase, fit.value) == (None, None)
    assert fit.reason is not None
    assert fit.reason.startswith("3 customers have ordered again")
