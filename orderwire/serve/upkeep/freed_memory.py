"""Gives freed memory back to the system. glibc keeps what it cannot cut off the end of its heap:
columns of cells come and go between objects that stay."""

import asyncio
import ctypes
import sys
from collections.abc import Callable
from typing import Final

EVERY_S: Final = 10.0


def trim() -> Callable[[], object] | None:
    """`malloc_trim`, where the C library has it (glibc: musl and macOS give back by themselves)."""
    if sys.platform != "linux":
        return None
    found = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return None if found is None else lambda: found(0)


async def keep_giving_back(every_s: float = EVERY_S) -> None:
    """For ever, in a thread: it takes some milliseconds."""
    give_back = trim()
    while give_back is not None:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(give_back)
