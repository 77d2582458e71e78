"""How long something took, for tests that must hold on a machine that is busy with other things.

Wall time says as much about the machine as about us. Turns of the event loop do not: each takes
`TURN_S` at least, and while the process does not run, none passes. So an upper bound in turns holds
wherever the code is right: what a timer is to do after 0.2 s is done within 20 turns of 10 ms,
however long each of them takes. What another process or the disk does meanwhile is not slowed down
by that, and is no business of such a bound.
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
