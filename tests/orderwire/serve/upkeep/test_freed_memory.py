"""Freed memory goes back to the system."""

import subprocess
import sys

import pytest

from orderwire.serve.upkeep.freed_memory import trim


@pytest.mark.skipif(trim() is None, reason="the C library has no malloc_trim")
def test_what_was_freed_between_what_stays_is_given_back_to_the_system() -> None:
    program = (
        "import asyncio\n"
        "from pathlib import Path\n"
        "from orderwire.serve.upkeep.freed_memory import keep_giving_back\n"
        "def resident_mb():\n"
        "    return int(Path('/proc/self/statm').read_text().split()[1]) * 4096 >> 20\n"
        "kept = [bytearray(100_000) for _ in range(1_000)]\n"  # below what malloc maps by itself
        "del kept[::2], kept[:-1:5]\n"
        "before = resident_mb()\n"
        "async def main():\n"
        "    task = asyncio.create_task(keep_giving_back(0.01))\n"
        "    await asyncio.sleep(0.5)\n"
        "    task.cancel()\n"
        "asyncio.run(main())\n"
        "print(before - resident_mb())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 30
