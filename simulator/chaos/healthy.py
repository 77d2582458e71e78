"""Waits for an installation to be up."""

import asyncio
import time

import aiohttp

from simulator.chaos.installation import ROLES, Installation
from simulator.chaos.quiet import Stuck

STEADY_S = 6.0
"""By then a role has opened all that it needs."""


async def until_healthy(there: Installation, patience_s: float) -> None:
    """Wait until the receiver takes deliveries. Raises Stuck."""
    deadline = time.monotonic() + patience_s
    async with there.http(timeout_s=2) as http:
        while True:
            try:
                async with http.get(f"{there.receiver}/healthz") as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, OSError, TimeoutError):
                pass
            if time.monotonic() > deadline:
                raise Stuck(f"the receiver is not healthy after {patience_s:.0f} s")
            await asyncio.sleep(0.1)


async def until_steady(there: Installation, patience_s: float) -> None:
    """Wait until every role has run for `STEADY_S`, and deliveries are taken. Raises Stuck."""
    deadline, since_s = time.monotonic() + patience_s, time.monotonic()
    before = there.pids()
    while set(before.values()) < {"", *ROLES} or time.monotonic() - since_s < STEADY_S:
        if time.monotonic() > deadline:
            raise Stuck(f"not every role runs after {patience_s:.0f} s")
        await asyncio.sleep(0.2)
        now = there.pids()
        if now != before:
            before, since_s = now, time.monotonic()
    await until_healthy(there, patience_s)
