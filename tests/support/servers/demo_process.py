"""`orderwire demo` as a process of its own, and what it leaves behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.servers.forks import Forked

SMALL = ("--customers", "40", "--rate", "200")
on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="processes are found in /proc"
)


@asynccontextmanager
async def demo(folder: Path, *arguments: str, **variables: str) -> AsyncIterator["DemoProcess"]:
    """The command, its data below `folder`. It and its children are forks of what has imported
    them; `test_terminal` starts them as a shell does. A process that a failed test leaves behind is
    ended."""
    output = folder.with_name(f"{folder.name}.printed")
    environment = {**os.environ, "TMPDIR": str(folder), **variables}
    process = Forked(["demo", *arguments], environment, folder, output)
    try:
        yield DemoProcess(process, output)
    finally:
        if process.poll() is None:
            process.kill()
        for left in processes_below(folder):
            os.kill(left, signal.SIGKILL)


class DemoProcess:
    """A running `orderwire demo`."""

    def __init__(self, process: Forked, output: Path) -> None:
        self._process, self._output = process, output

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def until(self, text: str) -> str:
        """What the command has printed, once `text` is in it."""
        while text not in (printed := self._printed()):
            assert self.returncode is None, printed
            await asyncio.sleep(0.02)
        return printed

    async def rest(self) -> str:
        """All that it has printed, once it has ended."""
        await asyncio.to_thread(self._process.wait)
        return self._printed()

    def _printed(self) -> str:
        return self._output.read_text() if self._output.exists() else ""


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
