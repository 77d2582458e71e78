"""A wall clock that is set while `serve` runs holds up no sale, neither then nor afterwards."""

import asyncio
import json
from itertools import islice
from pathlib import Path

import pytest

from simulator.servers.wall_clock import WallClock
from tests.system.checks import assert_all
from tests.system.harness import System
from tests.system.load import traffic
from tests.system.serve_process import PATIENCE_S, needs_proc

pytestmark = needs_proc
HOUR_S, DAY_S = 3_600, 86_400


@pytest.mark.timeout(600)
async def test_sales_are_sent_though_the_clock_goes_back_an_hour_or_ahead_a_day(
    tmp_path: Path,
) -> None:
    clock = WallClock(tmp_path / "clock")
    async with System(tmp_path, environment=clock.environment()) as system:
        await system.start()
        deliveries = traffic(system)
        sent = await system.send(islice(deliveries, 40))
        await system.settled()
        for number, offset_s in enumerate((-HOUR_S, DAY_S, 0), start=1):
            clock.step(offset_s)
            more = await system.send(islice(deliveries, 40))
            assert not more.traffic.unexpected
            sent.deliveries += more.deliveries
            sent.traffic.acknowledged += more.traffic.acknowledged
            await system.settled()  # By now, not when the clock says so.
            async with asyncio.timeout(PATIENCE_S):
                while len(steps(system)) < number:  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(0.05)
        assert await system.stop() == 0
        await assert_all(system, sent)
        assert steps(system) == [-1, 25, -24]


def steps(system: System) -> list[int]:
    """Hours of each step that was logged."""
    lines = [line for line in system.output().splitlines() if "clock stepped" in line]
    return [round(json.loads(line)["by_s"] / HOUR_S) for line in lines]
