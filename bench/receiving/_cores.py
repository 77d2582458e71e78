"""Who runs where: on a machine of two cores, what is measured has one and whatever loads it the
other."""

import asyncio
import os

SERVER_CORE, LOAD_CORE = 0, 1


def pin(core: int) -> None:
    """This process, and those that it starts, on one core; where the system can."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(0, {core})


def loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop
