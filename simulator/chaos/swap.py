"""Takes the log's file away while both shops send, and gives it back. What is acknowledged then
is in a file that nobody finds again, so nothing may be acknowledged."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from simulator.chaos.healthy import until_steady
from simulator.chaos.installation import Installation
from simulator.chaos.traffic import ShopTraffic
from simulator.proof.sums import Differences

NOTICED_S = 1.5
"""By then the receiver must have noticed; an answer may still be on its way for a moment."""
AWAY_S = 2.0
"""Beyond that; meanwhile nothing may be acknowledged."""


async def log_away(
    there: Installation, traffic: Sequence[ShopTraffic], patience_s: float
) -> tuple[float, Differences]:
    """Seconds that the file was away, and what was wrong; `serve` is restarted afterwards. Raises
    Stuck."""

    def acknowledged() -> int:
        return sum(one.answered.total() for one in traffic)

    # A receiver that starts meanwhile would begin a new file, and acknowledge into that.
    await until_steady(there, patience_s)
    began_s = time.monotonic()
    aside = [(path, path.with_name(f"away-{path.name}")) for path in _files(there.data)]
    for path, away in aside:
        path.rename(away)
    try:
        await asyncio.sleep(NOTICED_S)
        before = acknowledged()
        await asyncio.sleep(AWAY_S)
        more = acknowledged() - before
    finally:
        for path, away in aside:
            away.rename(path)
    wrong = [f"{more} deliveries were acknowledged without it"] if more else []
    for_s = time.monotonic() - began_s
    # As the log line says: a role that opened the path meanwhile has a file of its own.
    await there.let_end()
    await there.stop()
    there.launch()
    there.keep()
    return for_s, wrong


def _files(data: Path) -> list[Path]:
    files = [data / f"log.db{end}" for end in ("", "-wal", "-shm")]
    return [path for path in files if path.exists()]
