"""Measures durations in turns of the event loop, for tests that must hold on a busy machine.

A turn takes `TURN_S` at least, and none passes while the process does not run. So an upper bound in
turns holds wherever the code is right: what a timer does after 0.2 s is done within 20 turns of 10
ms, however long each takes. It does not bound what another process or the disk does.
"""

import asyncio
from collections.abc import Callable

TURN_S = 0.01


async def turns_until(true: Callable[[], bool]) -> float:
    """Wait until `true`; seconds of turns that it took, at most the seconds that passed."""
    turns = 0
    while not true():
        turns += 1
        await asyncio.sleep(TURN_S)
    return turns * TURN_S
