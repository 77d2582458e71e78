"""Waits for an installation to be up."""

import asyncio
import time

import aiohttp

from simulator.chaos.installation import Installation
from simulator.chaos.quiet import Stuck


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
