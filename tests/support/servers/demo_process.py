"""`orderwire demo` as a process of its own, and what it leaves behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

ORDERWIRE = (sys.executable, "-c", "from orderwire.cli import main; main()", "demo")
SMALL = ("--customers", "40", "--rate", "200")
on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="processes are found in /proc"
)


@asynccontextmanager
async def demo(
    folder: Path, *arguments: str, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command, its data below `folder`. A process that a failed test leaves behind is ended."""
    process = await asyncio.create_subprocess_exec(
        *ORDERWIRE,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", **variables},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for left in processes_below(folder):
            os.kill(left, signal.SIGKILL)


async def until(process: asyncio.subprocess.Process, text: str) -> str:
    """What the command printed up to the line with `text`."""
    assert process.stdout is not None
    printed = ""
    while text not in printed:
        line = (await process.stdout.readline()).decode()
        assert line, printed
        printed += line
    return printed


async def rest(process: asyncio.subprocess.Process) -> str:
    """What it printed until its end."""
    printed, _ = await process.communicate()
    return printed.decode()


def below(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def processes_below(folder: Path) -> list[int]:
    """Processes that work in a folder below `folder`, even in one that is gone."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
